"""The words around the image, and the way from model text to an answer."""

from __future__ import annotations

import numpy as np
import pytest

from xraygpt_edge.bundle import XRAYGPT_CLEAN_UP
from xraygpt_edge.generation.answer import NO_CLEAN_UP, CleanUp, clean_answer
from xraygpt_edge.generation.detokenizer import Detokenizer
from xraygpt_edge.generation.prompt import ControlToken, MarkedText, Template, Turn, around, control_tokens, render

DEMO = Template("Look.###Patient: <Img>", "</Img> {question}###Doctor:", " {answer}###Patient: {question}###Doctor:")


def test_a_question_stands_behind_the_image_and_before_the_doctor() -> None:
    image = np.ones((2, 4), np.float32)
    before, there, after = render(DEMO, image, "findings?").segments
    assert before == "Look.###Patient: <Img>"
    assert there is image
    assert after == "</Img> findings?###Doctor:"
    assert around(DEMO, "findings?") == (before, after)


def test_a_follow_up_carries_what_was_said_before() -> None:
    history = [Turn("findings?", "Clear lungs."), Turn("Sure?", "Yes.")]
    _, after = around(DEMO, "Is the heart enlarged?", history[:1])
    assert after == "</Img> findings?###Doctor: Clear lungs.###Patient: Is the heart enlarged?###Doctor:"
    _, later = around(DEMO, "effusion?", history)
    assert later == (
        "</Img> findings?###Doctor: Clear lungs.###Patient: Sure?###Doctor: Yes.###Patient: effusion?###Doctor:"
    )


@pytest.mark.parametrize("text", ["{answer}", "{question}", "{0}", "{", "}}", "%s", "{question!r}"])
def test_braces_in_a_question_stay_plain_text(text: str) -> None:
    assert around(DEMO, text)[1] == f"</Img> {text}###Doctor:"
    follow_up = around(DEMO, text, [Turn(text, text)])[1]
    assert follow_up == f"</Img> {text}###Doctor: {text}###Patient: {text}###Doctor:"


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


def test_without_clean_up_an_answer_is_taken_as_it_is() -> None:
    assert clean_answer(" Doctor: I am ChatDoctor.###", ["###"], NO_CLEAN_UP) == "Doctor: I am ChatDoctor."
    other = CleanUp("Reply:", ("Bot",), "Model")
    assert clean_answer("x Reply: Bot, ChatDoctor", [], other) == "Model, ChatDoctor"


@pytest.mark.parametrize("pieces", [[b"No.###"], [b"No.#", b"##"], [b"No.", b"#", b"#", b"#"], [b"No.##", b"#x"]])
def test_the_stop_text_is_found_however_it_is_tokenised_and_never_shown(pieces: list[bytes]) -> None:
    stream = Detokenizer(["###"])
    shown = "".join(stream.push(piece) for piece in pieces) + stream.finish()
    assert stream.stopped
    assert shown == "No."


def test_a_hash_sign_that_begins_no_stop_text_is_shown_in_the_end() -> None:
    stream = Detokenizer(["###"])
    assert stream.push(b"Film #") == "Film "
    assert stream.push(b"2 is") == "#2 is"
    assert stream.push(b" ##") == " "
    assert stream.finish() == "##"
    assert not stream.stopped


def test_half_a_character_is_held_back_until_it_is_whole() -> None:
    stream = Detokenizer(["###"])
    first, second = "\u00f6".encode()[:1], "\u00f6".encode()[1:]
    assert stream.push(b"Lungen\xc3") == "Lungen"
    assert stream.push(second + b"dem") == "\u00f6dem"
    assert first == b"\xc3"
    assert stream.text == "Lungen\u00f6dem"


MARKED = Template("[INST] ", "\n{question} [/INST]", " {answer} {token:</s>}[INST] {question} [/INST]")


def test_a_template_may_name_control_tokens_and_what_people_and_models_say_may_not() -> None:
    said = "{token:</s>} </s> {question} {answer}"
    _, after = around(MARKED, said, [Turn(said, said)])
    assert after == MarkedText((f"\n{said} [/INST] {said} ", ControlToken("</s>"), f"[INST] {said} [/INST]"))
    assert around(MARKED, said)[1] == f"\n{said} [/INST]"
    assert control_tokens([MARKED, DEMO]) == ("</s>",)
