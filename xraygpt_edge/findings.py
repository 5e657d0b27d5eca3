"""Findings that a report may state or deny: the fourteen of CheXpert, unless a bundle brings its own table.

Only the standard library: a bundle's manifest, the checks of an answer and an evaluation all read these types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SIDES = ("right", "left")
"""The patient's own."""
ZONES = ("upper", "middle", "lower")
"""Of a lung."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: the words that name it, the phrases that deny it, and how the model is asked about it.

    In a phrase " ... " stands for a few other words of the clause; a plural needs no phrase of its own.
    """

    name: str
    """Lower case: "pleural effusion"."""
    words: tuple[str, ...]
    """Phrases that name it, lower case."""
    normal: tuple[str, ...] = ()
    """Phrases that deny it without naming it: "lungs are clear"."""
    question: str = ""
    """A yes/no question; `{side}` and `{zone}` in it are filled in, so it becomes one question for each place."""
    sides: tuple[str, ...] = ()
    """Sides on which it can lie; empty where a side means nothing, as for the heart."""
    zones: tuple[str, ...] = ()
    """Zones of a side that are told apart: upper, lower."""
    other: tuple[str, ...] = ()
    """Phrases in which its words mean something else: "pericardial effusion"."""
    is_device: bool = False
    """It was brought in: normal lungs do not deny it."""


@dataclass(frozen=True, slots=True)
class Place:
    """One finding at one place: a column of a table of findings, and one question to the model."""

    name: str
    """The finding's name, then side and zone where they are told apart: "effusion right"."""
    finding: str
    side: str = ""
    zone: str = ""
    question: str = ""


def places(findings: Sequence[Finding]) -> tuple[Place, ...]:
    """Everywhere that the findings' questions ask about, in the order of the findings."""
    return tuple(place for finding in findings for place in _places(finding))


def _places(finding: Finding) -> list[Place]:
    sides = finding.sides if "{side}" in finding.question else ("",)
    zones = finding.zones if "{zone}" in finding.question else ("",)
    return [
        Place(
            " ".join(part for part in (finding.name, side, zone) if part),
            finding.name,
            side,
            zone,
            finding.question.format(side=side, zone=zone),
        )
        for side in sides
        for zone in zones
    ]


NORMAL_CHEST = (
    *("normal chest", "normal film", "normal study", "normal radiograph", "normal x-ray", "normal examination"),
    *("chest is normal", "film is normal", "study is normal", "x-ray is normal", "radiograph is normal"),
    *("examination is normal", "chest is unremarkable", "unremarkable chest", "unremarkable study"),
    *("no abnormality", "no abnormalities", "nothing abnormal", "no finding", "without findings"),
)
"""Phrases that deny every finding but a device."""
_CLEAR_LUNGS = (
    *("lungs are ... clear", "lung fields are ... clear", "lungs clear", "lung is clear", "lung fields clear"),
    *("lungs and pleural spaces are clear", "clear lungs", "lungs remain clear", "lungs appear clear"),
    *("lungs are ... normal", "lungs are unremarkable", "lungs appear normal", "normal lungs", "lung is normal"),
)
_NO_FOCUS = ("no focal lung", "no focal lesion", "no focal parenchymal", "no focal abnormality", "no airspace disease")
_CLEAR_PLEURA = (
    *("pleural spaces are ... clear", "pleural spaces are ... normal", "pleura is normal", "normal pleura"),
    *("pleural spaces are unremarkable", "pleural surfaces are clear", "pleural surfaces are normal"),
    *("pleura is unremarkable", "pleural surfaces are unremarkable", "no pleural abnormality", "free of fluid and air"),
)
_CLEAR_ANGLES = (
    *("costophrenic angles are ... clear", "costophrenic angles are ... sharp", "costophrenic angle is clear"),
    *("costophrenic sulci are clear", "costophrenic sulci are sharp", "costophrenic angles are preserved"),
)
_NORMAL_HEART = (
    *("heart is ... normal", "heart size is ... normal", "normal heart size", "cardiac silhouette is ... normal"),
    *("heart size appears normal", "heart appears normal", "heart shadow is normal", "heart normal in size"),
    *("normal cardiac silhouette", "normal cardiac size", "cardiac size is ... normal", "heart is unremarkable"),
    *("cardiomediastinal silhouette is ... normal", "cardiomediastinal silhouette is ... unremarkable"),
    *("normal cardiomediastinal silhouette", "heart and mediastinum are normal", "cardiac silhouette is unremarkable"),
    *("heart size and mediastinal contours are ... normal", "cardiac and mediastinal contours are ... normal"),
    *("cardiac and mediastinal silhouettes are ... normal", "cardiac and mediastinal silhouettes are unremarkable"),
    *("cardiac, mediastinal and hilar contours are normal", "cardiac silhouette size is normal", "normal size heart"),
    *(
        "cardiomediastinal contours are ... normal",
        "heart is not enlarged",
        "heart size normal",
        "heart normal",
        "cardiac silhouette normal",
    ),
    *("cardiomediastinal contours are unremarkable", "cardiomediastinal and hilar contours are ... normal"),
)
_NORMAL_MEDIASTINUM = (
    *("cardiomediastinal silhouette is ... normal", "cardiomediastinal silhouette is ... unremarkable"),
    *("mediastinal contours are ... normal", "mediastinum is normal", "mediastinum is unremarkable"),
    *("mediastinal contours are ... unremarkable", "mediastinal silhouettes are ... normal"),
    *("cardiomediastinal contours are ... normal", "normal cardiomediastinal silhouette"),
    *("cardiomediastinal and hilar contours are ... normal", "mediastinal silhouettes are ... unremarkable"),
)
_INTACT_BONES = (
    *("bones are ... intact", "osseous structures are ... intact", "bony structures are ... intact"),
    *("bones are unremarkable", "osseous structures are unremarkable", "bony thorax is intact"),
)

CHEXPERT = (
    Finding("no finding", NORMAL_CHEST, question="Is this a normal chest radiograph?"),
    Finding(
        "enlarged cardiomediastinum",
        (
            *("widened mediastinum", "mediastinal widening", "widening of the mediastinum", "enlarged mediastinum"),
            *(
                "mediastinum ... widened",
                "mediastinum ... enlarged",
                "mediastinal enlargement",
                "enlarged cardiomediast",
            ),
            *("cardiomediastinal silhouette ... enlarged", "cardiomediastinal silhouette ... widened"),
            *("enlarged cardiomediastinum", "enlarged cardiomediastinal", "mediastinal silhouette ... enlarged"),
            "prominent mediastinum",
        ),
        (*_NORMAL_MEDIASTINUM, *NORMAL_CHEST),
        "Is the mediastinum widened?",
    ),
    Finding(
        "cardiomegaly",
        (
            *("cardiomegaly", "cardiac enlargement", "enlargement of the heart", "enlarged heart", "heart enlarged"),
            *("heart ... enlarged", "cardiac silhouette ... enlarged", "enlarged cardiac", "cardiac size ... enlarged"),
            *(
                "enlargement of the cardiac",
                "heart size ... increased",
                "heart shadow ... widened",
                "increased heart size",
            ),
            *("cardiac silhouette ... increased", "cardiac contour ... enlarged", "large heart", "heart is large"),
            *(
                "cardiomediastinal silhouette ... enlarged",
                "enlarged cardiomediastinal silhouette",
                "heart size is large",
            ),
        ),
        (*_NORMAL_HEART, *NORMAL_CHEST),
        "Is there cardiomegaly?",
    ),
    Finding(
        "lung opacity",
        (
            *("opacity", "opacities", "opacification", "infiltrate", "infiltration", "airspace disease", "haziness"),
            *("consolidation", "opacified", "air-space disease", "interstitial markings", "density", "hazy", "haze"),
        ),
        (*_CLEAR_LUNGS, *_NO_FOCUS, *NORMAL_CHEST),
        "Is there an opacity in the lungs?",
        SIDES,
    ),
    Finding(
        "lung lesion",
        (
            *("nodule", "nodular opacity", "nodular opacities", "lung mass", "mass", "masses", "lung lesion", "lesion"),
            *("tumor", "tumour", "cavity", "cavitary", "granuloma"),
        ),
        ("no focal lesion", "no focal lung lesion", *NORMAL_CHEST),
        "Is there a nodule or a mass in the lungs?",
        SIDES,
    ),
    Finding(
        "edema",
        (
            *("edema", "oedema", "vascular congestion", "heart failure", "pulmonary congestion", "venous congestion"),
            *("chf", "congestive failure", "interstitial fluid", "vascular engorgement", "fluid overload"),
        ),
        (*_CLEAR_LUNGS, "pulmonary vascularity is normal", "pulmonary vasculature is normal", *NORMAL_CHEST),
        "Is there pulmonary edema?",
    ),
    Finding(
        "consolidation",
        ("consolidation", "consolidative", "consolidated"),
        (*_CLEAR_LUNGS, *_NO_FOCUS, *NORMAL_CHEST),
        "Is there consolidation?",
        SIDES,
    ),
    Finding(
        "pneumonia",
        ("pneumonia", "bronchopneumonia", "infection", "infectious process", "infectious infiltrate", "pneumonic"),
        (*_CLEAR_LUNGS, *NORMAL_CHEST),
        "Is there pneumonia?",
        SIDES,
    ),
    Finding(
        "atelectasis",
        ("atelectasis", "atelectatic", "atelectases", "volume loss", "collapse of", "lobar collapse", "collapsed"),
        (*_CLEAR_LUNGS, *NORMAL_CHEST),
        "Is there atelectasis?",
        SIDES,
    ),
    Finding(
        "pneumothorax",
        ("pneumothorax", "pneumothoraces", "hydropneumothorax", "pleural air", "air in the pleural space"),
        (*_CLEAR_PLEURA, *NORMAL_CHEST),
        "Is there a pneumothorax?",
        SIDES,
    ),
    Finding(
        "pleural effusion",
        (
            *(
                "effusion",
                "pleural fluid",
                "hydropneumothorax",
                "hydrothorax",
                "hemothorax",
                "blunting of ... costophrenic",
            ),
            *("costophrenic angle ... blunted", "costophrenic sulcus ... blunted", "blunted ... costophrenic"),
        ),
        (*_CLEAR_PLEURA, *_CLEAR_ANGLES, *NORMAL_CHEST),
        "Is there a pleural effusion?",
        SIDES,
        other=("pericardial effusion", "pericardial and pleural effusion", "cardiac effusion"),
    ),
    Finding(
        "pleural other",
        ("pleural thickening", "pleural scarring", "pleural plaque", "fibrothorax", "pleural calcification"),
        (*_CLEAR_PLEURA, *NORMAL_CHEST),
        "Is there pleural thickening or a pleural plaque?",
        SIDES,
    ),
    Finding(
        "fracture",
        ("fracture", "fractured"),
        (*_INTACT_BONES, *NORMAL_CHEST),
        "Is there a fracture?",
        SIDES,
    ),
    Finding(
        "support devices",
        (
            *(
                "pacemaker",
                "pacer",
                "icd",
                "defibrillator",
                "picc",
                "catheter",
                "endotracheal tube",
                "et tube",
                "ng tube",
            ),
            *(
                "nasogastric tube",
                "enteric tube",
                "feeding tube",
                "chest tube",
                "tracheostomy",
                "central line",
                "port-a-cath",
            ),
            *(
                "central venous line",
                "swan-ganz",
                "dobbhoff",
                "pigtail",
                "sternotomy wire",
                "sternal wire",
                "lead",
                "stent",
            ),
            *("mediport", "orogastric tube", "tube", "lines", "venous line", "port", "device", "valve replacement"),
        ),
        question="Is there a support device, such as a tube, a line or a pacemaker?",
        sides=SIDES,
        is_device=True,
    ),
)
"""The fourteen names that CheXpert labels."""
