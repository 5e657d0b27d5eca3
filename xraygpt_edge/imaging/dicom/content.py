"""What the header says about the content: body part, view, species, modality. Only warnings come of it.

Free text is searched for a few words and never quoted: people write names into it.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.dicom.classes import CHEST_MODALITIES, FOR_PROCESSING, SECONDARY_CAPTURE, Kind, kind_of
from xraygpt_edge.imaging.dicom.header import Header
from xraygpt_edge.imaging.dicom.values import items, text

CHEST_PARTS = frozenset({"CHEST", "THORAX", "LUNG", "LUNGS", "HEART", "RIB", "RIBS"})
OTHER_PARTS = frozenset(
    {"ABDOMEN", "ANKLE", "ARM", "BREAST", "CLAVICLE", "CSPINE", "ELBOW", "EXTREMITY", "FEMUR", "FINGER", "FOOT",
     "FOREARM", "HAND", "HEAD", "HIP", "HUMERUS", "JAW", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "SHOULDER",
     "SKULL", "SPINE", "SSPINE", "TEETH", "TOE", "TSPINE", "WRIST"}
)  # fmt: skip
"""Names that may be shown; anything else that stands in the tag is not."""
XRAY_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "PX", "IO", "MG", "XA"})
OTHER_MODALITIES = frozenset(
    {"CT", "MR", "US", "NM", "PT", "ES", "XC", "OP", "OT", "SC", "GM", "SM", "MG", "IO", "PX", "XA"}
)
LATERAL_POSITIONS = frozenset({"LL", "RL", "LATERAL", "LAT", "ML", "LM", "LLAT", "RLAT"})
LATERAL_WORDS = re.compile(r"\b(LATERAL|LAT|SEITLICH|PROFIL)\b")
DECUBITUS_WORDS = re.compile(r"DECUB")
ANIMAL_WORDS = re.compile(r"\b(CANINE|FELINE|EQUINE|BOVINE|AVIAN|VETERINAR\w*|DOG|CAT|HORSE)\b")
HUMAN_WORDS = re.compile(r"HOMO|HUMAN")
OTHER_PART_WORDS = re.compile(
    r"\b(DENTAL|PANORAM\w*|CEPHALO\w*|TEETH|MAMMO\w*|ABDOMEN|PELVIS|SKULL|KNEE|HIP|FOOT|HAND|WRIST|ANKLE|SHOULDER)\b"
)
CHEST_WORDS = re.compile(r"CHEST|THORAX|THORAC|LUNG")
SEARCHED = ("AcquisitionDeviceProcessingDescription", "SeriesDescription", "StudyDescription", "ProtocolName")


def look_at_content(dataset: Dataset, header: Header, notes: Notes) -> None:
    """Warn of everything that makes this another picture than a frontal chest radiograph of a person."""
    _body_part(dataset, header, notes)
    _modality(dataset, header, notes)
    _view(dataset, notes)
    _side(dataset, notes)
    _species(dataset, notes)
    if header.sop_class in FOR_PROCESSING or text(dataset, "PresentationIntentType") == "FOR PROCESSING":
        notes.warn("W-DCM-005")
    if text(dataset, "BurnedInAnnotation") == "YES":
        notes.warn("W-DCM-006")


def _body_part(dataset: Dataset, header: Header, notes: Notes) -> None:
    part = text(dataset, "BodyPartExamined")
    if part and not _names_chest(part):
        notes.warn("W-DCM-001", f"the header says {part}" if part in OTHER_PARTS else "by its body part")
    if part or kind_of(header.sop_class) is Kind.OTHER_RADIOGRAPH:
        return
    words = _searched(dataset)
    if OTHER_PART_WORDS.search(words) and not CHEST_WORDS.search(words):
        notes.warn("W-DCM-001", "by its description")
    elif not CHEST_WORDS.search(words):
        notes.warn("W-DCM-002")


def _names_chest(part: str) -> bool:
    return part in CHEST_PARTS or part.startswith(("CHEST", "THORAX", "LUNG"))


def _modality(dataset: Dataset, header: Header, notes: Notes) -> None:
    modality = text(dataset, "Modality")
    wanted = XRAY_MODALITIES if kind_of(header.sop_class) is Kind.OTHER_RADIOGRAPH else CHEST_MODALITIES
    if modality in wanted:
        return
    if modality in OTHER_MODALITIES:
        notes.warn("W-DCM-003", f"modality {modality}")
    elif modality or header.sop_class in SECONDARY_CAPTURE:
        notes.warn("W-DCM-003", "its modality is unknown" if modality else "it states no modality")


def _view(dataset: Dataset, notes: Notes) -> None:
    meanings = " ".join(text(item, "CodeMeaning") for item in items(dataset, "ViewCodeSequence"))
    words = f"{meanings} {text(dataset, 'AcquisitionDeviceProcessingDescription')}"
    words += f" {text(dataset, 'SeriesDescription')}"
    across = text(dataset, "PatientOrientation").split("\\")[0]
    by_words = LATERAL_WORDS.search(words) and not DECUBITUS_WORDS.search(words)
    if text(dataset, "ViewPosition") in LATERAL_POSITIONS or by_words or across in ("A", "P"):
        notes.warn("W-DCM-007")


def _side(dataset: Dataset, notes: Notes) -> None:
    """A chest has both sides: who states one of them may mean a marker, another picture, or nothing."""
    stated = {text(dataset, keyword) for keyword in ("ImageLaterality", "Laterality")}
    if stated & {"L", "R"} and _names_chest(text(dataset, "BodyPartExamined")):
        notes.warn("W-DCM-031")


def _species(dataset: Dataset, notes: Notes) -> None:
    species = text(dataset, "PatientSpeciesDescription")
    coded = " ".join(text(item, "CodeMeaning") for item in items(dataset, "PatientSpeciesCodeSequence"))
    stated = f"{species} {coded}".strip()
    if (stated and not HUMAN_WORDS.search(stated.upper())) or ANIMAL_WORDS.search(_searched(dataset)):
        notes.warn("W-DCM-008")


def _searched(dataset: Dataset) -> str:
    return " ".join(text(dataset, keyword) for keyword in SEARCHED)
