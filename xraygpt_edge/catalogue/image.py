"""E-IMG, E-DCM, W-IMG, W-DCM: the radiograph and what was found in its file."""

from __future__ import annotations

from xraygpt_edge.catalogue.entry import Entry

SAFE = "The file was not changed; other files are not affected."
AGAIN = "Fetch the file again from its archive."


def _refusal(what: str, meaning: str, fix: str) -> Entry:
    return Entry(4, what, meaning, fix, SAFE)


def _warning(what: str, meaning: str) -> Entry:
    return Entry(0, what, meaning)


IMAGE: dict[str, Entry] = {
    "E-IMG-001": _refusal(
        "the file cannot be opened",
        "It does not exist, must not be read, or is a folder, a pipe or a device.",
        "Check the name and the permissions.",
    ),
    "E-IMG-002": _refusal(
        "the file is no radiograph",
        "What a file is, is decided by its first bytes and not by its name. Read are DICOM, PNG and JPEG.",
        "Export the radiograph as DICOM from your archive.",
    ),
    "E-IMG-003": _refusal(
        "the file is too large",
        "No detector makes so many pixels; a file that announces them would fill the memory.",
        "Export the radiograph at its own size.",
    ),
    "E-IMG-004": _refusal(
        "the picture is blank",
        "It holds a single grey value, so there is nothing to see and nothing to scale.",
        "Open it in a viewer to see whether the right picture was exported.",
    ),
    "E-IMG-005": _refusal(
        "the picture is damaged",
        "The file begins as PNG or JPEG and cannot be decoded to its end. Part of a picture is never used.",
        AGAIN,
    ),
    "E-IMG-006": _refusal(
        "the picture is of a kind that no radiograph has",
        "It is animated, or has one bit a pixel.",
        "Export the radiograph as DICOM or as a grey PNG.",
    ),
    "E-DCM-001": _refusal(
        "the file cannot be read as DICOM",
        "Its elements do not follow the standard's structure.",
        AGAIN,
    ),
    "E-DCM-002": _refusal(
        "the DICOM object is no image of a kind that can show a radiograph",
        "Reports, presentation states, segmentations and the like are stored beside images and look like them.",
        "Choose the image itself.",
    ),
    "E-DCM-003": _refusal(
        "the DICOM image is no radiograph",
        "Its SOP class says that another kind of machine made it. The model knows radiographs of the chest only.",
        "Choose a radiograph, or use --force if the class is wrong.",
    ),
    "E-DCM-004": _refusal(
        "the DICOM file does not say what it holds",
        "SOPClassUID is missing, so it cannot be told from a report or a segmentation.",
        AGAIN,
    ),
    "E-DCM-005": _refusal(
        "the file was cut short",
        "The header describes a picture whose pixels are missing: a copy or an export was interrupted.",
        AGAIN,
    ),
    "E-DCM-006": _refusal(
        "the picture is compressed in a way that cannot be decoded",
        "No decoder here reads this transfer syntax without the risk of wrong pixels.",
        "Export it uncompressed or as JPEG 2000.",
    ),
    "E-DCM-007": _refusal(
        "a decoder is not installed",
        "The decoder of this transfer syntax is part of the normal installation and is missing.",
        "Install xraygpt-edge again, with its dependencies.",
    ),
    "E-DCM-008": _refusal(
        "the compressed picture is damaged",
        "Its decoder refuses it. Part of a picture is never used.",
        AGAIN,
    ),
    "E-DCM-009": _refusal(
        "pixels are missing",
        "The file holds fewer bytes than its header announces.",
        AGAIN,
    ),
    "E-DCM-010": _refusal(
        "there are more bytes than the picture needs",
        "Rows, columns or frames may be wrong, and the picture would be sheared or cropped.",
        "Export the file again, or use --force if a viewer shows it right.",
    ),
    "E-DCM-011": _refusal(
        "the file holds several pictures",
        "A cine loop, a tomosynthesis or a dual-energy study: which frame is meant must be said.",
        "Choose one with --frame N.",
    ),
    "E-DCM-012": _refusal(
        "there is no such frame",
        "The number of frames in the header, in the file and in --frame do not fit.",
        "Choose another with --frame N, or fetch the file again.",
    ),
    "E-DCM-013": _refusal(
        "the header does not describe a picture that can be read",
        "An element that decoding needs is absent, or has a value that makes no sense.",
        "Export the file again from its archive.",
    ),
    "E-DCM-014": _refusal(
        "the picture has too many pixels",
        "No detector makes so many; a file that announces them would fill the memory.",
        "Export the radiograph at its own size.",
    ),
    "E-DCM-015": _refusal(
        "the deflated file would grow without measure",
        "A few kilobytes can inflate to gigabytes; a radiograph never does.",
        "Export it uncompressed.",
    ),
    "E-DCM-016": _refusal(
        "header and compressed picture contradict each other",
        "They name another size or depth, so one of the two is wrong.",
        AGAIN,
    ),
    "E-DCM-017": _refusal(
        "the file is a DICOMDIR, a list of other files",
        "It names pictures and holds none.",
        "Give the pictures themselves.",
    ),
    "E-DCM-021": _refusal(
        "reading took too long or too much memory",
        "A decoder did not come to an end, or asked for more memory than any radiograph needs.",
        AGAIN,
    ),
    "E-DCM-022": _refusal(
        "a decoder crashed on this file",
        "The bytes made native code fail. It ran in a process of its own, which was replaced.",
        AGAIN,
    ),
    "W-IMG-001": _warning("the picture has colours", "A radiograph has none; its brightness is used."),
    "W-IMG-002": _warning("the picture is partly transparent", "What is transparent is taken as black."),
    "W-IMG-003": _warning("the picture is very small", "Findings may be lost; take the original."),
    "W-DCM-001": _warning("the file is a radiograph of another kind", "The model knows the chest only."),
    "W-DCM-002": _warning("the file does not say that it is an X-ray image", "Its Modality names something else."),
    "W-DCM-003": _warning("the file seems to show another body part", "The model knows the chest only."),
    "W-DCM-004": _warning("the file seems to be a lateral view", "The model was trained on frontal views."),
    "W-DCM-005": _warning("the file seems to show an animal", "The model knows human chests only."),
    "W-DCM-006": _warning(
        "the file holds detector values that were not made for viewing", "The model was trained on processed images."
    ),
    "W-DCM-007": _warning("text is burned into the pixels", "It may name the patient, and may mislead the model."),
    "W-DCM-010": _warning("BitsStored is too small for the pixels", "The pixels are believed and not the header."),
    "W-DCM-011": _warning("the value does not lie in the lowest bits", "It was shifted as HighBit says."),
    "W-DCM-016": _warning("the transfer syntax is not stated", "It was concluded from the bytes."),
    "W-DCM-020": _warning("one frame of several was read", "The others were not looked at."),
    "W-DCM-030": _warning("the picture was mirrored as its header says", "PatientOrientation states it exactly."),
    "W-DCM-031": _warning("PatientOrientation is unusual", "The picture was left as it is; sides may be exchanged."),
    "W-DCM-032": _warning("the pixels are not square", "The picture was stretched, so that shapes are right."),
    "W-DCM-040": _warning("the window does not fit the pixels", "It was ignored and the whole range is shown."),
    "W-DCM-041": _warning("the window has no width", "It was ignored and the whole range is shown."),
    "W-DCM-042": _warning(
        "PresentationLUTShape contradicts PhotometricInterpretation", "The latter decides, and once."
    ),
    "W-DCM-043": _warning("the modality transformation turns the polarity round", "The picture was inverted for it."),
}
