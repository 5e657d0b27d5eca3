"""The demo's prompts and its own SentencePiece vocabulary, made like LLaMA's."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
import sentencepiece

from .findings import sample_case
from .texts import TOPICS, answer, question, yes_no_answer, yes_no_question
from .wording import QUESTIONS

VOCABULARY = 1024
STOP = "###"
DEMO_BEFORE = (
    "You are an experienced Doctor, give the following medical scan: <Img>ImageContent</Img>. "
    "You will be able to see the medical scan once I provide it to you. "
    "Please answer my questions.###Patient: <Img>"
)
BEFORE = {"demo": DEMO_BEFORE, "train": "###Patient: <Img>"}


def after(template: str, turns: list[tuple[str, str]], asked: str) -> str:
    """The text after the image: finished turns (question, answer), then the question that is asked."""
    if template == "demo":
        told = "".join(f" {q}###Doctor: {a}###Patient:" for q, a in turns)
        return f"</Img>{told} {asked}###Doctor:"
    told = "".join(f" {q} ###Doctor: {a}###Patient:" for q, a in turns)
    return f"</Img>{told} {asked} ###Doctor: "


EVERY_CHARACTER = " ".join(chr(code) for code in range(33, 127))


def train_vocabulary(seed: int, cases: int = 3000) -> bytes:
    """Train the vocabulary on prompts, questions and answers; returns the bytes of tokenizer.model."""
    return vocabulary_of(_corpus(np.random.default_rng((seed, 3)), cases))


def vocabulary_of(lines: Iterable[str]) -> bytes:
    """Train a vocabulary on lines of text; returns the bytes of tokenizer.model."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=VOCABULARY,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        split_digits=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return model.getvalue()


def _corpus(rng: np.random.Generator, cases: int) -> list[str]:
    lines = [EVERY_CHARACTER]
    for seed in range(cases):
        case = sample_case(seed)
        lines.append(DEMO_BEFORE)
        for kind in QUESTIONS:
            lines += [after("demo", [], question(kind, rng)), answer(case, kind, rng)]
        for topic in TOPICS:
            lines += [after("train", [], yes_no_question(topic, rng)), yes_no_answer(case, topic, rng)]
    return lines
