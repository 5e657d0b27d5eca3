"""The demo's sentences: always true to the case, and read back to the same labels."""

from __future__ import annotations

import re

import numpy as np
import pytest

from export.demo.findings import LABELS, Case, sample_case
from export.demo.texts import (
    REPORT_KINDS,
    TOPICS,
    answer,
    findings_of,
    parse_labels,
    parse_yes,
    question,
    yes_no_answer,
    yes_no_question,
)
from export.demo.wording import ABSENT, NO, PHRASES, QUESTIONS, SENTENCES, SHOWN

CASES = [sample_case(seed) for seed in range(1000)]


@pytest.mark.parametrize("kind", [*REPORT_KINDS, "normal", "risks"])
def test_what_a_report_says_is_read_back_as_the_truth(kind: str) -> None:
    rng = np.random.default_rng(0)
    for case in CASES:
        text = answer(case, kind, rng)
        assert parse_labels(text) == case.labels, text


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_a_yes_or_no_begins_the_answer_and_is_true(topic) -> None:
    rng = np.random.default_rng(1)
    for case in CASES[:300]:
        text = yes_no_answer(case, topic, rng)
        assert parse_yes(text) == topic.holds(case), text
        assert parse_labels(text) == case.labels & topic.labels, text


@pytest.mark.parametrize("kind", ["heart", "lungs", "pleura"])
def test_an_answer_about_one_organ_claims_nothing_about_another(kind: str) -> None:
    rng = np.random.default_rng(2)
    for case in CASES[:300]:
        assert parse_labels(answer(case, kind, rng)) <= case.labels


def test_the_severity_of_every_finding_is_in_the_report() -> None:
    rng = np.random.default_rng(3)
    for case in CASES[:300]:
        text = answer(case, "description", rng).lower()
        for finding in findings_of(case):
            assert finding.how in text
            assert finding.side in text


def test_every_label_and_side_is_asked_about() -> None:
    assert frozenset().union(*(topic.labels for topic in TOPICS)) == set(LABELS)
    alone = {next(iter(topic.labels)) for topic in TOPICS if len(topic.labels) == 1}
    assert alone == set(LABELS)


def test_a_question_about_a_side_names_that_side() -> None:
    rng = np.random.default_rng(4)
    for topic in TOPICS:
        for side in re.findall(r"\b(right|left)\b", topic.name):
            assert all(side in yes_no_question(topic, rng).lower() for _ in range(50))


@pytest.mark.parametrize("finding", PHRASES)
def test_each_finding_can_be_said_in_more_than_ten_ways(finding: str) -> None:
    assert len(PHRASES[finding]) * len(SHOWN) + len(SENTENCES[finding]) > 10
    assert all(len(set(ways)) >= 10 for ways in (*ABSENT.values(), NO))


@pytest.mark.parametrize("text", [way for ways in ABSENT.values() for way in ways])
def test_a_sentence_that_denies_claims_nothing(text: str) -> None:
    assert parse_labels(text) == frozenset()


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("", set()),
        ("I cannot say.", set()),
        ("The heart is markedly enlarged.", {"cardiomegaly"}),
        ("No. A large left pneumothorax is seen.", {"pneumothorax left"}),
        ("No pleural effusion. A nodule in the right upper zone.", {"nodule right"}),
        ("There is a pleural effusion.", set()),
        ("Patchy consolidation in the left zone.", set()),
        ("Pneumothorax on the right; pacemaker on the left.", {"pneumothorax right", "device"}),
        ("Mild pulmonary edema.", {"oedema"}),
    ],
)
def test_text_of_the_model_is_read_clause_by_clause(text: str, labels: set[str]) -> None:
    assert parse_labels(text) == labels


@pytest.mark.parametrize(
    ("text", "said"),
    [("Yes, there is.", True), (" no", False), ("Not sure", None), ("", None), ("Yesterday", None), ("NO.", False)],
)
def test_only_a_whole_yes_or_no_counts(text: str, said: object) -> None:
    assert parse_yes(text) == said


def test_the_same_generator_gives_the_same_words() -> None:
    case = Case(0, heart="mild", device="left")
    for kind in QUESTIONS:
        once, twice = (np.random.default_rng(9) for _ in range(2))
        assert question(kind, once) + answer(case, kind, once) == question(kind, twice) + answer(case, kind, twice)


def test_a_bundle_of_the_demonstration_gets_its_sentences_and_its_table_of_findings() -> None:
    from export import demo

    assert len(demo.common_sentences()) == 80  # it imports a module that is called findings
    assert [finding.name for finding in demo.stated_findings()][:2] == ["cardiomegaly", "effusion"]
