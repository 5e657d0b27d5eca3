"""The words around the image, and the way from model text to an answer."""

from __future__ import annotations

import pytest

from xraygpt_edge.bundle import XRAYGPT_CLEAN_UP
from xraygpt_edge.generation.prompt import CleanUp, Template, TextStream, Turn, clean_answer, render

DEMO = Template("Look.###Patient: <Img>", "</Img> {question}###Doctor:", " {answer}###Patient: {question}###Doctor:")


def test_a_question_stands_behind_the_image_and_before_the_doctor() -> None:
    prompt = render(DEMO, "findings?")
    assert prompt.before == "Look.###Patient: <Img>"
    assert prompt.after == "</Img> findings?###Doctor:"


def test_a_follow_up_carries_what_was_said_before() -> None:
    prompt = render(DEMO, "Is the heart enlarged?", [Turn("findings?", "Clear lungs.")])
    assert prompt.after == ("</Img> findings?###Doctor: Clear lungs.###Patient: Is the heart enlarged?###Doctor:")


@pytest.mark.parametrize("text", ["{answer}", "{question}", "{0}", "{", "}}", "%s", "{question!r}"])
def test_braces_in_a_question_stay_plain_text(text: str) -> None:
    assert render(DEMO, text).after == f"</Img> {text}###Doctor:"


@pytest.mark.parametrize(
    ("generated", "answer"),
    [
        (" The heart is large.### Patient: and", "The heart is large."),
        ("###Doctor: late", ""),
        (" Doctor: No effusion.", "No effusion."),
        ("I am ChatDoctor, or Chat Doctor.", "I am XrayGPT, or XrayGPT."),
        ("  plain \n", "plain"),
    ],
)
def test_an_answer_is_cut_at_the_stop_text_and_cleaned_as_the_original_does(generated: str, answer: str) -> None:
    assert clean_answer(generated, ["###"], XRAYGPT_CLEAN_UP) == answer


def test_a_bundle_without_clean_up_words_gets_its_answer_cut_and_nothing_more() -> None:
    assert clean_answer(" Doctor: I am ChatDoctor.### and", ["###"], CleanUp()) == "Doctor: I am ChatDoctor."


@pytest.mark.parametrize("pieces", [[b"No.###"], [b"No.#", b"##"], [b"No.", b"#", b"#", b"#"], [b"No.##", b"#x"]])
def test_the_stop_text_is_found_however_it_is_tokenised_and_never_shown(pieces: list[bytes]) -> None:
    stream = TextStream(["###"])
    shown = "".join(stream.push(piece) for piece in pieces) + stream.finish()
    assert stream.stopped
    assert shown == "No."


def test_a_hash_sign_that_begins_no_stop_text_is_shown_in_the_end() -> None:
    stream = TextStream(["###"])
    assert stream.push(b"Film #") == "Film "
    assert stream.push(b"2 is") == "#2 is"
    assert stream.push(b" ##") == " "
    assert stream.finish() == "##"
    assert not stream.stopped


def test_half_a_character_is_held_back_until_it_is_whole() -> None:
    stream = TextStream(["###"])
    first, second = "\u00f6".encode()[:1], "\u00f6".encode()[1:]
    assert stream.push(b"Lungen\xc3") == "Lungen"
    assert stream.push(second + b"dem") == "\u00f6dem"
    assert first == b"\xc3"
    assert stream.text == "Lungen\u00f6dem"
