"""Claims and checks on 1,000 synthetic reports with RadGraph-XL's labels: `pip install --no-deps radlabels`.

The labels are a program's own, and hold what stands in the history as well; hedged statements ("may represent") are
"definitely present" there in nine of ten cases, and unsure with us. So the goals are those of a reader who is strict.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from xraygpt_edge.trust import CHEXPERT, Sentence, check, claims

PACKAGE = importlib.util.find_spec("radlabels")
pytestmark = pytest.mark.skipif(PACKAGE is None, reason="the corpus is not installed: pip install --no-deps radlabels")

NAMES = {
    "cardiomegaly": ("cardiomegaly",),
    "pleural effusion": ("pleural_effusion",),
    "consolidation": ("consolidation",),
    "pneumothorax": ("pneumothorax",),
    # CheXpert's edema includes congestion, for which this corpus has a label of its own.
    "edema": ("pulmonary_edema", "pulmonary_congestion_pulmonary_venous_congestion"),
}
GOALS = {
    "cardiomegaly": 0.95,
    "pleural effusion": 0.93,
    "consolidation": 0.90,
    "pneumothorax": 0.85,
    "edema": 0.85,
}
DENIALS = {
    "cardiomegaly": "The heart is not enlarged.",
    "pleural effusion": "There is no pleural effusion.",
    "consolidation": "No consolidation is seen.",
    "pneumothorax": "There is no pneumothorax.",
    "edema": "There is no pulmonary edema.",
}
Report = tuple[str, tuple[Sentence, ...], set[str]]


@pytest.fixture(scope="module")
def corpus() -> list[Report]:
    """Text, sentences with marks, and the findings that are labelled as present."""
    samples = Path(PACKAGE.origin).parent / "samples"
    found = []
    for name, labels in json.loads((samples / "synthetic_labels.json").read_text("utf-8")).items():
        text = (samples / "synthetic_reports" / f"{name}.txt").read_text("utf-8")
        present = {
            finding for finding, keys in NAMES.items() if any(labels.get(k) == "definitely present" for k in keys)
        }
        found.append((text, check(claims(text, CHEXPERT), CHEXPERT), present))
    return found


def polarities(sentences: tuple[Sentence, ...], finding: str) -> set[str]:
    return {claim.polarity for s in sentences for claim in s.claims if claim.finding == finding}


@pytest.mark.parametrize("finding", GOALS)
def test_present_means_what_the_corpus_calls_present(corpus: list[Report], finding: str) -> None:
    pairs = [("present" in polarities(sentences, finding), finding in present) for _, sentences, present in corpus]
    both = sum(said and real for said, real in pairs)
    f1 = 2 * both / (sum(said for said, _ in pairs) + sum(real for _, real in pairs))
    assert f1 >= GOALS[finding], f1


def test_hardly_anything_present_is_called_absent(corpus: list[Report]) -> None:
    found = [polarities(sentences, finding) for _, sentences, present in corpus for finding in present]
    assert sum(polarity == {"absent"} for polarity in found) / len(found) <= 0.01


def test_few_reports_contradict_themselves_and_planted_denials_are_found(corpus: list[Report]) -> None:
    contradicted = [any("W-TXT-002" in s.flags for s in sentences) for _, sentences, _ in corpus]
    assert sum(contradicted) / len(corpus) <= 0.015
    planted = [
        check(claims(f"{text.rstrip()}\n\nIMPRESSION: {DENIALS[finding]}", CHEXPERT), CHEXPERT)
        for (text, _, present), is_marked in zip(corpus[::3], contradicted[::3], strict=True)
        for finding in sorted(present)
        if not is_marked
    ]
    found = sum(any("W-TXT-002" in s.flags for s in sentences) for sentences in planted)
    assert found / len(planted) >= 0.93


def test_about_a_quarter_of_what_is_said_of_a_film_compares_and_two_reports_in_three_do(corpus: list[Report]) -> None:
    marks = ["W-TXT-001" in s.flags for _, sentences, _ in corpus for s in sentences if s.is_seen]
    assert 0.2 < sum(marks) / len(marks) < 0.35
    assert 0.55 < sum(any("W-TXT-001" in s.flags for s in sentences) for _, sentences, _ in corpus) / len(corpus) < 0.7
