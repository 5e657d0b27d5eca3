"""`--memory`: what is in memory at the same time, and what is not said differently for it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.tiny import write_bundle
from xraygpt_edge import Sampling, XrayGPT, devices, loading
from xraygpt_edge.devices import Device
from xraygpt_edge.encoder import Encoder
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted
from xraygpt_edge.generation.gguf_file import cache_bytes
from xraygpt_edge.generation.llama import LlamaModel
from xraygpt_edge.generation.packing import padded
from xraygpt_edge.loading import LoadOptions

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
    close, load = Encoder.close, loading.begin_language
    monkeypatch.setattr(Encoder, "close", lambda self: (events.append("encoder closed"), close(self))[1])
    monkeypatch.setattr(loading, "begin_language", lambda plan: (events.append("language model"), load(plan))[1])
    with XrayGPT.load(demo, "cpu", memory="low") as model:
        first = model.ask(phantom, "findings?", sampling=SHORT)
        assert events == ["encoder closed", "language model"]
        assert model.ask(phantom, "findings?", sampling=SHORT).token_ids == first.token_ids


def broken(*_: object, **__: object) -> None:
    raise BundleIncompatible("E-BND-023", "language.gguf")


def test_what_loading_in_the_background_finds_wrong_ends_the_question(
    demo: Path, phantom: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xraygpt_edge.generation.scheduler.LlamaModel", broken)
    with XrayGPT.begin(demo, LoadOptions("cpu")) as model, pytest.raises(BundleIncompatible):
        model.ask(phantom, "findings?")
    with pytest.raises(BundleIncompatible):
        XrayGPT.load(demo, "cpu")


@pytest.mark.parametrize("stage", ["choose", "begin_language", "load_encoder"])
def test_what_cannot_be_loaded_leaves_no_process_behind(
    demo: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    before = set(psutil.Process().children())
    monkeypatch.setattr(loading, stage, broken)
    with pytest.raises(BundleIncompatible):
        XrayGPT.load(demo, "cpu")
    left = [process for process in psutil.Process().children() if process not in before]
    for process in left:
        process.kill()
    assert left == []


def test_little_memory_is_enough_for_low_where_auto_is_refused(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enough = loading.needed_bytes(loading.choose(demo, LoadOptions("cpu", memory="low")))
    monkeypatch.setattr(devices, "available_memory_bytes", lambda: enough)
    loading.choose(demo, LoadOptions("cpu", memory="low"))
    with pytest.raises(ResourceExhausted, match="needs"):
        loading.choose(demo, LoadOptions("cpu"))


def test_an_image_of_many_rows_is_counted_before_anything_is_loaded(tmp_path: Path) -> None:
    def beside_the_weights(rows: int) -> int:
        plan = loading.choose(write_bundle(tmp_path / str(rows), rows=rows), LoadOptions("cpu"))
        return loading.needed_bytes(plan) - plan.vision_file.size - plan.language_file.size

    few, many = beside_the_weights(2), beside_the_weights(300)
    language = tmp_path / "300" / "language-F32.gguf"
    assert many - few == 300 * cache_bytes(language)
    model = LlamaModel(language, Device("cpu", 1))
    assert cache_bytes(language) == model.kv_bytes
    model.close()


def test_a_batch_holds_fewer_answers_where_memory_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = loading.choose(write_bundle(tmp_path / "tiny", rows=300), LoadOptions("cpu", threads=1))
    one = padded(300 + loading.USUAL_TOKENS) * cache_bytes(plan.bundle.path_of(plan.language_file))
    for free, count in ((0, 1), (4 * one, 2), (10**12, 16)):
        monkeypatch.setattr(devices, "available_memory_bytes", lambda free=free: loading.needed_bytes(plan) + free)
        assert loading.answers_at_once(plan) == count
