"""Sentences and claims: what a text states, on which side, and which tokens wrote it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.demo.findings import LABELS, sample_case
from export.demo.table import FINDINGS
from export.demo.texts import TOPICS, answer, parse_labels, yes_no_answer
from export.demo.wording import QUESTIONS
from xraygpt_edge.bundle import load
from xraygpt_edge.generation.answer import CleanUp, clean_answer
from xraygpt_edge.trust import CHEXPERT, claims, places, places_said, with_tokens
from xraygpt_edge.trust.tokens import token_ends


def said(text: str) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(c.finding, c.polarity, c.sides) for s in claims(text, CHEXPERT) for c in s.claims}


def polarity(text: str, finding: str) -> set[str]:
    return {found[1] for found in said(text) if found[0] == finding}


def test_every_answer_of_the_demonstration_gives_the_labels_that_its_own_reader_gives() -> None:
    random = np.random.default_rng(3)
    for seed in range(30_000_000, 30_000_060):
        case = sample_case(seed)
        texts = [answer(case, kind, random) for kind in QUESTIONS]
        for text in texts + [yes_no_answer(case, topic, random) for topic in TOPICS]:
            assert places_said(claims(text, FINDINGS), FINDINGS, "present") == parse_labels(text), text


def test_a_true_answer_denies_nothing_that_is_drawn() -> None:
    random = np.random.default_rng(4)
    for seed in range(30_000_000, 30_000_060):
        case = sample_case(seed)
        text = answer(case, "description", random)
        assert not places_said(claims(text, FINDINGS), FINDINGS, "absent") & case.labels, text


def test_the_places_of_the_demonstration_are_its_labels_in_order(demo) -> None:
    own = load(demo).manifest.prompt.findings
    assert own == FINDINGS
    assert tuple(place.name for place in places(own)) == LABELS
    assert places(own)[1].question == "Is there a right pleural effusion?"
    assert len(places(CHEXPERT)) == len(CHEXPERT) == 14


@pytest.mark.parametrize(
    ("text", "finding", "expected"),
    [
        ("There is a small left pleural effusion.", "pleural effusion", {"present"}),
        ("No pleural effusion or pneumothorax.", "pneumothorax", {"absent"}),
        ("No pneumothorax, effusion, or consolidation.", "consolidation", {"absent"}),
        ("No pneumothorax, small left effusion.", "pleural effusion", {"present"}),
        ("No pneumothorax but a small effusion.", "pleural effusion", {"present"}),
        ("No consolidation with a small effusion.", "pleural effusion", {"present"}),
        ("Pneumothorax is not seen.", "pneumothorax", {"absent"}),
        ("The effusion has resolved.", "pleural effusion", {"absent"}),
        ("The effusion has not changed.", "pleural effusion", {"present"}),
        ("The effusion has nearly resolved.", "pleural effusion", {"present"}),
        ("The heart is not enlarged.", "cardiomegaly", {"absent"}),
        ("The heart is mildly enlarged.", "cardiomegaly", {"present"}),
        ("Heart size is normal.", "cardiomegaly", {"absent"}),
        ("The lungs are clear.", "consolidation", {"absent"}),
        ("The lungs are otherwise clear.", "consolidation", set()),
        ("The lungs are not clear.", "consolidation", set()),
        ("Opacity which may represent pneumonia.", "pneumonia", {"unsure"}),
        ("Pneumonia cannot be excluded.", "pneumonia", {"unsure"}),
        ("Pleural effusions, if any, are small.", "pleural effusion", {"unsure"}),
        ("No large pleural effusion.", "pleural effusion", set()),
        ("No acute fracture.", "fracture", set()),
        ("A pericardial effusion is present.", "pleural effusion", set()),
        ("The sensitivity to detect pneumothorax is diminished.", "pneumothorax", set()),
        ("Normal chest radiograph.", "edema", {"absent"}),
        ("Normal chest radiograph.", "support devices", set()),
        ("Pleural effusion: none.", "pleural effusion", {"absent"}),
        ("Pneumothorax: No. Heart: enlarged.", "pneumothorax", {"absent"}),
        ("Heart: normal. Lungs: clear.", "cardiomegaly", {"absent"}),
        ("Heart: normal. Lungs: clear.", "consolidation", {"absent"}),
        ("The lungs are clear except for a small opacity.", "lung opacity", {"present"}),
        ("No abnormality other than cardiomegaly.", "cardiomegaly", {"present"}),
        ("No abnormality other than cardiomegaly.", "pneumothorax", set()),
        ("No significant change in the small left effusion.", "pleural effusion", {"present"}),
        ("Atelectasis rather than pneumonia.", "pneumonia", {"absent"}),
        ("Findings: No effusion.", "pleural effusion", {"absent"}),
        ("INDICATION: Pneumonia. FINDINGS: Left pneumothorax.", "pneumonia", set()),
        ("INDICATION: Pneumonia. FINDINGS: Left pneumothorax.", "pneumothorax", {"present"}),
        ("HISTORY: Effusion.\n\nThe heart is enlarged.", "cardiomegaly", {"present"}),
    ],
)
def test_what_a_sentence_says_of_a_finding(text: str, finding: str, expected: set[str]) -> None:
    assert polarity(text, finding) == expected


def test_each_finding_of_a_sentence_keeps_its_own_side() -> None:
    found = said("There is a small right effusion and a left pneumothorax.")
    assert ("pleural effusion", "present", ("right",)) in found
    assert ("pneumothorax", "present", ("left",)) in found


def test_a_side_that_is_said_once_belongs_to_all_of_its_clause() -> None:
    found = said("Effusion and atelectasis on the left.")
    assert {("pleural effusion", "present", ("left",)), ("atelectasis", "present", ("left",))} <= found


def test_both_sides_are_two() -> None:
    assert ("pleural effusion", "present", ("right", "left")) in said("Bilateral pleural effusions.")


def test_numbers_and_abbreviations_end_no_sentence() -> None:
    text = "1. The ET tube ends 3.5 cm above the carina.\n2. Seen by Dr. Grey at 4 p.m. today."
    assert [s.text for s in claims(text, CHEXPERT)] == text.split("\n")


TEXT = st.text(
    st.sampled_from("No effusion.;:, \nright left IMPRESSION: lungs are clear 1. \u0130\ud800é\u2003"), max_size=200
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=200), TEXT))
def test_no_text_raises_and_sentences_hold_every_character_but_white_space(text: str) -> None:
    sentences = claims(text, CHEXPERT)
    covered = {n for s in sentences for n in range(s.start, s.end)}
    assert {n for n, c in enumerate(text) if not c.isspace()} <= covered
    assert all(text[s.start : s.end] == s.text == s.text.strip() for s in sentences)
    assert all(a.end <= b.start for a, b in pairwise(sentences))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.lists(st.binary(max_size=6), max_size=30))
def test_tokens_of_any_other_text_raise_nothing(text: str, pieces: list[bytes]) -> None:
    ends = token_ends(text, pieces)
    assert len(ends) == len(pieces)
    assert ends == sorted(ends)
    assert all(0 <= end <= len(text) for end in ends)
    with_tokens(claims(text, CHEXPERT), text, pieces)


def pieces_of(sentence: tuple[int, int] | None, pieces: list[bytes]) -> bytes:
    assert sentence is not None
    return b"".join(pieces[slice(*sentence)])


def test_each_sentence_knows_the_tokens_that_wrote_it() -> None:
    pieces = [b" ", b"The", b" heart", b" is", b" normal", b".", b" No", b" \xc3", b"\xa9", b"ffusion", b".", b"###"]
    text = clean_answer(b"".join(pieces).decode(), ["###"], CleanUp())
    first, second = with_tokens(claims(text, CHEXPERT), text, pieces)
    assert pieces_of(first.token_range, pieces) == b"The heart is normal."
    assert pieces_of(second.token_range, pieces) == " No éffusion.".encode()


def test_tokens_are_found_behind_a_clean_up_that_puts_in_another_name() -> None:
    pieces = [b"Doctor", b":", b" I", b" am", b" ChatDoctor", b".", b" No", b" effusion", b".", b"</s>"]
    text = clean_answer("Doctor: I am ChatDoctor. No effusion.", [], CleanUp("Doctor:", ("ChatDoctor",), "XrayGPT"))
    first, second = with_tokens(claims(text, CHEXPERT), text, pieces)
    assert pieces_of(first.token_range, pieces) == b" I am ChatDoctor."
    assert pieces_of(second.token_range, pieces) == b" No effusion."


def test_a_sentence_that_no_token_wrote_has_no_range() -> None:
    (sentence,) = with_tokens(claims("No effusion.", CHEXPERT), "No effusion.", [])
    assert sentence.token_range is None


@pytest.mark.parametrize("text", ["effusion" + " " * 200_000 + "x", "no effusion is not " * 5_000, "." * 100_000 + "x"])
def test_a_line_without_end_costs_no_more_than_its_length(text: str) -> None:
    """Were it its square, this would take minutes, and the time limit of a test would end it."""
    assert claims(text, CHEXPERT)
