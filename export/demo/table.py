"""The demonstration's own table of findings: what its bundle says that reports of phantoms state and deny."""

from __future__ import annotations

from xraygpt_edge.findings import NORMAL_CHEST, SIDES, Finding

_CLEAR_LUNGS = ("lungs are clear", "clear lungs", "lung fields are clear")
_NO_FOCUS = ("no focal lung disease", "no focal opacity", "no focal lesion")
_CLEAR_PLEURA = ("pleural spaces are clear", "pleura is normal", "normal pleura")

FINDINGS = (
    Finding(
        "cardiomegaly",
        (
            *("cardiomegaly", "cardiac enlargement", "enlargement of the heart", "heart ... enlarged"),
            *("heart ... increased", "heart ... widened", "silhouette ... enlarged"),
        ),
        (
            *("heart is normal", "heart size is normal", "normal heart size", "cardiac silhouette is normal"),
            *("heart shadow is normal", "heart is of normal size", *NORMAL_CHEST),
        ),
        "Is there cardiomegaly?",
    ),
    Finding(
        "effusion",
        ("effusion", "pleural fluid"),
        (*_CLEAR_PLEURA, "costophrenic angles are clear", "pleural spaces are free of fluid", *NORMAL_CHEST),
        "Is there a {side} pleural effusion?",
        SIDES,
    ),
    Finding(
        "pneumothorax",
        ("pneumothorax",),
        (*_CLEAR_PLEURA, "pleural spaces are free of fluid and air", "no free air", *NORMAL_CHEST),
        "Is there a {side} pneumothorax?",
        SIDES,
    ),
    Finding(
        "consolidation",
        ("consolidation",),
        (*_CLEAR_LUNGS, *_NO_FOCUS, *NORMAL_CHEST),
        "Is there consolidation in the {side} {zone} zone?",
        SIDES,
        ("upper", "lower"),
    ),
    Finding(
        "nodule",
        ("nodule",),
        (*_CLEAR_LUNGS, *_NO_FOCUS, *NORMAL_CHEST),
        "Is there a nodule in the {side} lung?",
        SIDES,
        ("upper", "lower"),
    ),
    Finding("oedema", ("oedema", "edema"), (*_CLEAR_LUNGS, *NORMAL_CHEST), "Is there pulmonary oedema?"),
    Finding("device", ("pacemaker", "device"), question="Is there a pacemaker?", sides=SIDES, is_device=True),
)
"""`places(FINDINGS)` are the demonstration's labels, in their order."""
