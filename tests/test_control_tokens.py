"""Control tokens in templates: which token they become, what stands behind them, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.tiny import TEMPLATES, TOKENS, write_bundle, write_language
from xraygpt_edge import XrayGPT
from xraygpt_edge.cli.console import PromptProgress
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, OutOfTime
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.llama import LlamaContext, Span
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import ControlToken, MarkedText, Prompt, Template, Turn, around
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.generation.sequence import Event
from xraygpt_edge.native import Deadline

CPU = Device("cpu", 1)
END, SPACE = TOKENS.index("</s>"), TOKENS.index("\u2581")
TEMPLATE = Template("U: ", "{question} A:", " {answer}{token:</s>}U: {question} A:")
MARKED = MarkedText(("ab", ControlToken("</s>"), "cd", ControlToken("</s>"), ""))


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language(tmp_path_factory.mktemp("language") / "language.gguf")


def ids_of(language: Path, text: MarkedText, *, spaced: bool) -> list[int]:
    scheduler = Scheduler.load(language, CPU, CoreOptions(space_after_control=spaced))
    try:
        return scheduler.token_ids(text)[0][1:]  # behind the beginning of the sequence
    finally:
        scheduler.close()


def letters(text: str) -> list[int]:
    return [TOKENS.index(letter) for letter in text]


@pytest.mark.parametrize("spaced", [True, False])
def test_a_run_behind_a_control_token_begins_with_a_space_only_where_the_tokenizer_puts_one(
    language: Path, *, spaced: bool
) -> None:
    behind = [SPACE] if spaced else []
    found = ids_of(language, MARKED, spaced=spaced)
    assert found == [SPACE, *letters("ab"), END, *behind, *letters("cd"), END]


def test_what_is_said_never_becomes_a_control_token(language: Path) -> None:
    said = "a</s>{token:</s>}"
    _, after = around(TEMPLATE, said, [Turn(said, said)])
    scheduler = Scheduler.load(language, CPU)
    (ids,) = scheduler.token_ids(after)
    scheduler.close()
    assert ids.count(END) == 1


@pytest.mark.parametrize("text", ["<nothing>", "a", "<0x41>", "</s></s>", " </s>"])
def test_a_template_that_names_no_control_token_is_refused_when_the_model_is_loaded(
    tmp_path: Path, phantom: Path, text: str
) -> None:
    demo = {**TEMPLATES["demo"], "follow_up": f"{{answer}}{{token:{text}}}{{question}}"}
    prompt = {"default": "demo", "stop": ["###"], "templates": {"demo": demo}}
    root = write_bundle(tmp_path / "tiny", prompt=prompt)
    with pytest.raises(BundleIncompatible) as caught:
        XrayGPT.load(root, "cpu")
    assert caught.value.error_id == "E-BND-026"


def test_how_far_a_long_prompt_is_can_be_seen_while_it_is_computed(
    language: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler, seen = Scheduler.load(language, CPU, CoreOptions(n_batch=64)), []
    decode = LlamaContext.decode

    def noted(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        seen.append(scheduler.prompt_progress)
        return decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", noted)
    prompt = Prompt((tuple([5] * 150),))
    scheduler.submit(Request(prompt, Sampling(max_tokens=1))).result()
    assert seen == [(0, 150), (64, 150), (128, 150)]
    assert scheduler.prompt_progress == (0, 0)
    scheduler.close()


def test_a_person_who_waits_for_a_long_prompt_is_told_how_far_it_is() -> None:
    assert (
        PromptProgress("Loading", lambda: (512, 1426)).__rich__().plain == "Reading the prompt: 512 of 1426 tokens ..."
    )
    assert PromptProgress("Loading", lambda: (0, 61)).__rich__().plain == "Loading"


def test_time_that_runs_out_between_two_decodes_of_a_long_shared_prompt_ends_it_there(
    language: Path, monkeypatch: pytest.MonkeyPatch, decodes: list[list[Span]]
) -> None:
    scheduler, ended = Scheduler.load(language, CPU, CoreOptions(n_batch=64)), SimpleQueue[Event]()
    decode = LlamaContext.decode

    def slow(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        time.sleep(0.3)
        return decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", slow)
    prompt = Prompt((tuple([5] * 300),))
    request = Request(prompt, Sampling(max_tokens=1), deadline=Deadline(0.4))
    scheduler.submit_telling(request, ended.put, after=Prefix(prompt))
    assert isinstance(ended.get(timeout=60), OutOfTime)
    scheduler.close()
    assert 1 <= len(decodes) <= 2
