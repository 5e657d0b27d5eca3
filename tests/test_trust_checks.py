"""The rules that need no model: what they mark, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from export.demo.findings import sample_case
from export.demo.table import FINDINGS
from export.demo.texts import answer
from export.demo.wording import QUESTIONS
from tests.drawn_dicom import as_bytes, chest, dataset
from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.imaging.images import ReadOptions, read_bytes
from xraygpt_edge.trust import CHEXPERT, Film, check, claims, film_of
from xraygpt_edge.trust.checks import RULES

COMPARISONS = (
    "The effusion is unchanged.",
    "The effusion has improved.",
    "Pulmonary oedema has slightly worsened since the last film.",
    "Again seen is a left pacemaker.",
    "There is little change in the opacity.",
    "A new consolidation lies in the left lower zone.",
    "Compared to the prior study the heart is larger.",
    "No interval change.",
    "The pneumothorax is smaller than before.",
    "There is interval improvement of the oedema.",
    "The cardiac silhouette remains enlarged.",
    "The opacity persists.",
    "The previously seen nodule is not visible.",
    "Continued elevation of the diaphragm.",
    "Stable appearance of the chest.",
    "The effusion is no longer seen.",
    "Worsening consolidation on the right.",
    "Increasing opacity at the base.",
    "The tube has been removed.",
    "Still there is a small pneumothorax.",
    "Similar to the earlier film.",
    "The consolidation has almost completely cleared.",
    "Resolving oedema.",
    "Redemonstrated are multiple nodules.",
    "The left effusion has increased in size.",
)
NO_COMPARISONS = (
    "The heart is mildly increased in size.",
    "Evidence of prior surgery.",
    "Calcified nodule from prior granulomatous disease.",
    "No prior studies are available.",
    "The remainder of the lungs is clear.",
    "Status post prior sternotomy.",
    "The lungs are clear.",
    "A rounded nodule projects over the right upper zone.",
    "Large amount of pleural fluid.",
)


def flags(text: str, film: Film | None = None, reason: str = "stop", table=CHEXPERT) -> list[tuple[str, ...]]:
    return [s.flags for s in check(claims(text, table), table, film, reason)]


def test_every_rule_has_its_words() -> None:
    assert all(CATALOGUE[name].code == 0 for name in RULES)
    assert sorted(RULES) == sorted(name for name in CATALOGUE if name.startswith("W-TXT"))


@pytest.mark.parametrize("text", COMPARISONS)
def test_a_comparison_is_marked(text: str) -> None:
    assert flags(text) == [("W-TXT-001",)]


@pytest.mark.parametrize("text", NO_COMPARISONS)
def test_a_word_that_only_looks_like_a_comparison_is_not(text: str) -> None:
    assert flags(text) == [()]


@pytest.mark.parametrize(
    "text",
    [
        "COMPARISON: None. FINDINGS: The lungs are clear.",
        "Comparison: Radiograph of the previous week.\n\nThe lungs are clear.",
        "COMPARISONS:\nChest radiograph, earlier today.\n\nIMPRESSION: No effusion.",
        "INDICATION: Worsening cough. FINDINGS: No effusion.",
        "HISTORY: New fever since yesterday.\n\nFINDINGS: No effusion.",
    ],
)
def test_the_section_of_a_report_about_other_films_is_no_comparison(text: str) -> None:
    assert set(flags(text)) == {()}


def test_a_comparison_below_the_findings_is_marked_whatever_the_headings() -> None:
    marks = flags("COMPARISON: None. FINDINGS: The effusion is unchanged. Compared to the prior film it is smaller.")
    assert marks == [(), ("W-TXT-001",), ("W-TXT-001",)]


def test_a_comparison_is_allowed_where_an_earlier_film_was_given() -> None:
    assert flags("The effusion is unchanged.", Film(n_images=2, has_earlier=True)) == [()]


def test_a_denial_marks_both_sentences_that_contradict_each_other() -> None:
    text = "There is a left effusion. The heart is normal. No pleural effusion."
    assert flags(text) == [("W-TXT-002",), (), ("W-TXT-002",)]


@pytest.mark.parametrize(
    "text",
    [
        "There is a left effusion. No right pleural effusion.",
        "There is a small effusion. No large pleural effusion.",
        "There is an old fracture. No acute fracture.",
        "Consolidation in the right lower lobe. The left lung is clear.",
        "No pleural effusion. No pleural effusion on the left.",
    ],
)
def test_what_fits_together_is_not_marked_as_a_contradiction(text: str) -> None:
    assert all("W-TXT-002" not in found for found in flags(text))


def test_a_view_that_was_not_given_is_marked() -> None:
    assert flags("A nodule is seen on the lateral view.") == [("W-TXT-003",)]
    assert flags("PA and lateral views of the chest.") == [("W-TXT-003",)]
    assert flags("A nodule is seen on the lateral view.", Film(n_images=2)) == [()]
    assert flags("A nodule is seen on the lateral view.", Film(is_lateral=True)) == [()]
    assert flags("A nodule is seen on the frontal view.", Film(is_lateral=True)) == [("W-TXT-003",)]
    assert flags("A nodule in the lateral aspect of the right lung.") == [()]
    assert flags("A lateral view would help.") == [()]


def test_a_side_is_marked_where_the_file_is_doubtful_about_sides() -> None:
    text = "There is a left effusion. The heart is enlarged."
    assert flags(text, Film(sides_are_doubtful=True)) == [("W-TXT-004",), ()]
    assert flags(text) == [(), ()]


@pytest.mark.parametrize(
    ("changes", "film"),
    [
        ({}, Film()),
        ({"ViewPosition": "LL"}, Film(is_lateral=True)),
        ({"PatientOrientation": ["H", "L"]}, Film(sides_are_doubtful=True)),
        ({"ImageLaterality": "R"}, Film(sides_are_doubtful=True)),
        ({"Laterality": "L"}, Film(sides_are_doubtful=True)),
        ({"Laterality": "B"}, Film()),
    ],
)
def test_what_a_file_says_of_view_and_side_reaches_the_rules(changes: dict, film: Film) -> None:
    source = read_bytes(as_bytes(dataset(chest(), **changes)), ReadOptions()).radiograph.source
    assert film_of(source) == film
    assert film_of(source, 2, has_earlier=True).has_earlier


def test_a_denied_device_is_marked_beside_a_named_one() -> None:
    assert flags("A pacemaker lies on the left. No lines or tubes.") == [("W-TXT-005",), ("W-TXT-005",)]
    assert flags("A pacemaker lies on the left. No pacemaker on the right.") == [(), ()]


@pytest.mark.parametrize("text", ["A nodule of 3 mm.", "The tube ends 5 cm above the carina.", "A 2.5-cm mass."])
def test_a_measurement_is_marked(text: str) -> None:
    assert flags(text) == [("W-TXT-006",)]


def test_a_repeated_sentence_and_one_that_was_cut_off_are_marked() -> None:
    assert flags("The lungs are clear. The lungs are clear.") == [(), ("W-TXT-007",)]
    assert flags("The lungs are clear. The heart is", reason="length") == [(), ("W-TXT-007",)]
    assert flags("The lungs are clear.", reason="length") == [()]


def test_true_answers_of_the_demonstration_have_no_mark_and_a_planted_denial_is_found() -> None:
    random = np.random.default_rng(6)
    denials = {
        "cardiomegaly": "The heart is not enlarged.",
        "effusion": "There is no pleural effusion.",
        "pneumothorax": "No pneumothorax is seen.",
        "consolidation": "The lungs are free of consolidation and nodules.",
        "nodule": "No consolidation or nodule is seen.",
        "oedema": "No oedema is seen.",
    }
    found = planted = 0
    for seed in range(31_000_000, 31_000_120):
        case = sample_case(seed)
        for kind in QUESTIONS:
            text = answer(case, kind, random)
            repeats = {("W-TXT-007",)} if kind == "both" else set()
            assert set(flags(text, table=FINDINGS)) <= {(), *repeats}, text
        text = answer(case, "description", random)
        for name in {label.split()[0] for label in case.labels} & set(denials):
            planted += 1
            found += any("W-TXT-002" in marks for marks in flags(f"{text} {denials[name]}", table=FINDINGS))
    assert planted > 100
    assert found / planted >= 0.99
