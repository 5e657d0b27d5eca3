"""DICOM Secondary Capture: the text as one page of grey pixels, for viewers that show no structured report.

No film, no colour, no arrow: it cannot be taken for a radiograph, and the first and the last line say what it is.
"""

from __future__ import annotations

import textwrap
from datetime import datetime
from math import ceil

from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from xraygpt_edge.imaging.identity import Identity
from xraygpt_edge.reports.dicom_object import (
    SERIES_DESCRIPTION,
    Device,
    add_equipment,
    add_patient_and_study,
    add_times,
    object_uid,
)
from xraygpt_edge.reports.rows import Radiograph
from xraygpt_edge.text import visible

SERIES_NUMBER = 9902
BANNER = "AI TEXT - NOT FOR DIAGNOSTIC USE - NOT REVIEWED"
BANNER_SHARE = 0.045
"""Of the page's height, for the first and for the last line."""
WIDTH_PX, HEIGHT_MIN_PX, MARGIN_PX = 1280, 960, 40
TEXT_PX, LINE_PX, LINE_CHARACTERS = 26, 36, 84
WHITE, BLACK = 255, 0


def capture(radiograph: Radiograph, identity: Identity, answered_at: datetime) -> Dataset:
    """The whole object; raises InputRefused where a value cannot be copied."""
    document = Dataset()
    document.SpecificCharacterSet = "ISO_IR 192"
    add_patient_and_study(document, identity)
    document.Modality = "OT"
    document.ConversionType = "WSD"
    document.SeriesInstanceUID = object_uid("capture series", radiograph)
    document.SeriesNumber, document.InstanceNumber = SERIES_NUMBER, 1
    document.SeriesDescription = SERIES_DESCRIPTION
    add_equipment(document, Device.of(radiograph.first))
    document.SecondaryCaptureDeviceManufacturer = document.Manufacturer
    add_times(document, answered_at)
    document.ImageType = ["DERIVED", "SECONDARY"]
    document.BurnedInAnnotation = "YES"
    document.PatientOrientation = document.Laterality = ""
    _add_pixels(document, page(lines(radiograph, identity)))
    document.SOPClassUID = SecondaryCaptureImageStorage
    document.SOPInstanceUID = object_uid("capture", radiograph)
    return document


def lines(radiograph: Radiograph, identity: Identity) -> list[str]:
    """The words of the page: what was asked and answered, then what a reader must know."""
    said = [words for answer in radiograph.answers for words in (answer.question, answer.text, "")]
    paragraphs = [line for words in (*said, *radiograph.remarks(*identity.warnings)) for line in words.split("\n")]
    return [line for words in paragraphs for line in textwrap.wrap(visible(words), LINE_CHARACTERS) or [""]]


def page(text: list[str]) -> Image.Image:
    """The page, black on white, as high as its text needs."""
    body_px = LINE_PX * len(text) + 2 * MARGIN_PX
    height = max(HEIGHT_MIN_PX, ceil(body_px / (1 - 2 * BANNER_SHARE)) + 1)
    banner_px = ceil(BANNER_SHARE * height)
    image = Image.new("L", (WIDTH_PX, height), WHITE)
    draw = ImageDraw.Draw(image)
    for top in (0, height - banner_px):
        _stamp(image, top, banner_px)
    font = ImageFont.load_default(TEXT_PX)
    for number, line in enumerate(text):
        draw.text((MARGIN_PX, banner_px + MARGIN_PX + number * LINE_PX), line, BLACK, font)
    return image


def _stamp(image: Image.Image, top: int, height: int) -> None:
    """White on black over the whole width; wide letters are squeezed rather than cut."""
    font = ImageFont.load_default(height * 0.8)
    _, _, right, bottom = font.getbbox(BANNER)
    words = Image.new("L", (ceil(right), ceil(bottom)), BLACK)
    ImageDraw.Draw(words).text((0, 0), BANNER, WHITE, font)
    width = min(words.width, image.width - 2 * MARGIN_PX)
    band = Image.new("L", (image.width, height), BLACK)
    band.paste(words.resize((width, height)), ((image.width - width) // 2, 0))
    image.paste(band, (0, top))


def _add_pixels(document: Dataset, image: Image.Image) -> None:
    document.Columns, document.Rows = image.size
    document.SamplesPerPixel, document.PhotometricInterpretation = 1, "MONOCHROME2"
    document.BitsAllocated, document.BitsStored, document.HighBit, document.PixelRepresentation = 8, 8, 7, 0
    data = image.tobytes()
    document.PixelData = data + bytes(len(data) % 2)
    document["PixelData"].VR = "OB"
