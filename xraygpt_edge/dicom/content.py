"""What the header says about body part, view and species. Headers lie, so this only warns."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from xraygpt_edge.dicom.classes import FOR_PROCESSING
from xraygpt_edge.dicom.header import Header
from xraygpt_edge.dicom.values import items, text
from xraygpt_edge.notes import Notes

XRAY_MODALITIES = frozenset({"", "CR", "DX", "DR", "RG", "XR"})
CHEST = re.compile(r"CHEST|THORAX|LUNG|RIB|TORAX")
OTHER_PARTS = re.compile(
    r"TEETH|DENTAL|PANORAM|HIP\b|KNEE|ANKLE|FOOT|HAND\b|WRIST|ELBOW|FEMUR|PELVIS|ABDOMEN|SKULL|BREAST|MAMMO|LEG\b"
)
LATERAL = re.compile(r"\b(LATERAL|LAT|LL|RL|LLAT|RLAT)\b")
ANIMAL = re.compile(r"CANINE|FELINE|EQUINE|\bDOG\b|\bCAT\b|VETERINAR|\bVET\b")
DESCRIPTIONS = ("SeriesDescription", "StudyDescription", "ProtocolName")


def warn_of_content(dataset: Dataset, header: Header, notes: Notes) -> None:
    """Whatever makes it doubtful that this is a frontal radiograph of a human chest."""
    checks = {
        "W-DCM-002": text(dataset, "Modality") not in XRAY_MODALITIES,
        "W-DCM-003": _is_other_part(dataset),
        "W-DCM-004": _is_lateral(dataset),
        "W-DCM-005": _is_animal(dataset),
        "W-DCM-006": header.sop_class in FOR_PROCESSING or text(dataset, "PresentationIntentType") == "FOR PROCESSING",
        "W-DCM-007": text(dataset, "BurnedInAnnotation") == "YES",
    }
    for warning_id, holds in checks.items():
        if holds:
            notes.warn(warning_id)


def _is_other_part(dataset: Dataset) -> bool:
    stated = text(dataset, "BodyPartExamined")
    if stated:
        return not CHEST.search(stated)
    regions = [text(region, "CodeMeaning") for region in items(dataset, "AnatomicRegionSequence")]
    words = " ".join([*regions, *(text(dataset, keyword) for keyword in DESCRIPTIONS)])
    return bool(OTHER_PARTS.search(words)) and not CHEST.search(words)


def _is_lateral(dataset: Dataset) -> bool:
    views = [text(view, "CodeMeaning") for view in items(dataset, "ViewCodeSequence")]
    stated = " ".join([text(dataset, "ViewPosition"), *views]).strip()
    words = stated or " ".join(text(dataset, keyword) for keyword in DESCRIPTIONS)
    return bool(LATERAL.search(words))


def _is_animal(dataset: Dataset) -> bool:
    species = [text(code, "CodeMeaning") for code in items(dataset, "PatientSpeciesCodeSequence")]
    stated = " ".join([text(dataset, "PatientSpeciesDescription"), *species]).strip()
    if stated:
        return not re.search(r"HUMAN|HOMO SAPIENS", stated)
    words = [
        text(dataset, keyword) for keyword in ("PatientBreedDescription", "AcquisitionDeviceProcessingDescription")
    ]
    return bool(words[0]) or bool(ANIMAL.search(" ".join(words)))
