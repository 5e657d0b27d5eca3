"""`--memory`: what is in memory at the same time, and what is not said differently for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from xraygpt_edge import Sampling, XrayGPT, devices, loading
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.vision import Vision

SHORT = Sampling(max_tokens=8)


@pytest.mark.parametrize("memory", ["low", "fast"])
def test_the_answer_is_the_same_however_memory_is_used(demo: Path, phantom: Path, memory: loading.Memory) -> None:
    said = []
    for way in ("auto", memory):
        with XrayGPT.load(demo, "cpu", memory=way) as model:
            answer = model.ask(phantom, "findings?", sampling=SHORT)
            assert answer.engine.memory == way
            said.append(answer.token_ids)
    assert said[0] == said[1]


def test_with_little_memory_the_encoder_has_left_before_the_language_model_comes(
    demo: Path, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    close, load = Vision.close, loading.load_decoder
    monkeypatch.setattr(Vision, "close", lambda self: (events.append("encoder closed"), close(self))[1])
    monkeypatch.setattr(loading, "load_decoder", lambda choice: (events.append("language model"), load(choice))[1])
    with XrayGPT.load(demo, "cpu", memory="low") as model:
        first = model.ask(phantom, "findings?", sampling=SHORT)
        assert events == ["encoder closed", "language model"]
        assert model.ask(phantom, "findings?", sampling=SHORT).token_ids == first.token_ids


def test_what_loading_in_the_background_finds_wrong_ends_the_question(
    demo: Path, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: loading.Choice) -> None:
        raise BundleIncompatible("E-BND-023", "language.gguf")

    monkeypatch.setattr(loading, "load_decoder", broken)
    with XrayGPT.begin(demo, LoadOptions("cpu")) as model, pytest.raises(BundleIncompatible):
        model.ask(phantom, "findings?")
    with pytest.raises(BundleIncompatible):
        XrayGPT.load(demo, "cpu")


def test_little_memory_is_enough_for_low_where_auto_is_refused(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = loading.needed_bytes(loading.choose(demo, LoadOptions("cpu", memory="low")))
    monkeypatch.setattr(devices, "available_memory_bytes", lambda: enough)
    loading.choose(demo, LoadOptions("cpu", memory="low"))
    with pytest.raises(ResourceExhausted, match="needs"):
        loading.choose(demo, LoadOptions("cpu"))
