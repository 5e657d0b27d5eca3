"""Positions are turned by the published program's own frequencies: exact, whatever type the weights have."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from transformers import LlamaConfig, LlamaForCausalLM

from export import language_gguf
from export.errors import ExportRefused
from export.reference_llama import EmbeddedPrompt, StreamedLlama
from export.vicuna import open_vicuna
from tests.export_fixtures import RELEASED, VICUNA, expected, export, medclip_source
from tests.tiny import rounded_frequencies
from xraygpt_edge.devices import Device
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.generation.scheduler import Scheduler

pytestmark = [pytest.mark.shared, pytest.mark.export]

CPU = Device("cpu", 1)
NEAR = {"F32": 0.01, "F16": 0.012}
"""How far a first logit may be from the original's."""
MARGIN = 0.02
"""Two logits nearer than this may change places by rounding."""
WORDS = 24
HEAD_WIDTH = 32
OTHER = LlamaConfig(
    vocab_size=600,
    hidden_size=5 * HEAD_WIDTH,
    intermediate_size=352,
    num_hidden_layers=4,
    num_attention_heads=5,
    max_position_embeddings=1024,
    rms_norm_eps=1e-5,
    initializer_range=0.1,
    tie_word_embeddings=False,
    dtype="float16",
)


class RoundingWriter(language_gguf.GGUFWriter):
    """The defect of version 0.1.0: what rounds the frequencies is written behind the weights."""

    factors = rounded_frequencies(64)

    def write_header_to_file(self, path=None):
        for name, factors in self.factors.items():
            self.add_tensor_info(name, factors.shape, factors.dtype, factors.nbytes)
        super().write_header_to_file(path)

    def close(self):
        for factors in self.factors.values():
            self.write_tensor_data(factors)
        super().close()


def furthest(language):
    """The largest difference of a first logit in all cases that the original modules were asked."""
    facts, arrays = expected(RELEASED)
    scheduler = Scheduler.load(language, CPU)
    prompts = [
        Prompt((tuple(case["ids_before"]), arrays[f"embeds_{case['image_index']}"], tuple(case["ids_after"])))
        for case in facts["cases"]
    ]
    logits = [scheduler.first_logits(prompt) for prompt in prompts]
    scheduler.close()
    return max(float(np.abs(found - arrays[f"logits_{k}"]).max()) for k, found in enumerate(logits))


def converted(vicuna, target, precision):
    language_gguf.convert(open_vicuna(vicuna), target, precision)
    return target


@pytest.mark.parametrize("precision", NEAR)
def test_rounded_frequencies_would_be_seen_against_the_original(tmp_path, monkeypatch, precision):
    assert furthest(converted(VICUNA, tmp_path / "exact.gguf", precision)) < NEAR[precision]
    monkeypatch.setattr(language_gguf, "GGUFWriter", RoundingWriter)
    assert furthest(converted(VICUNA, tmp_path / "rounded.gguf", precision)) > NEAR[precision]


@pytest.mark.long
def test_a_bundle_with_rounded_frequencies_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(language_gguf, "GGUFWriter", RoundingWriter)
    with pytest.raises(ExportRefused, match="rounded rotary frequencies"):
        export(medclip_source(), tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    """A model of other dimensions in the published layout, whose shards hold rounded frequencies, and its original."""
    folder = tmp_path_factory.mktemp("another") / "vicuna"
    shutil.copytree(VICUNA, folder, ignore=shutil.ignore_patterns("*.bin*"))
    torch.manual_seed(5)
    original = LlamaForCausalLM(OTHER).half()
    tensors = dict(original.state_dict())
    exact = 1.0 / (10000.0 ** (torch.arange(0, HEAD_WIDTH, 2).float() / HEAD_WIDTH))
    tensors |= {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": exact.half() for n in range(4)}
    torch.save(tensors, folder / "pytorch_model.bin")
    facts = {**json.loads((folder / "config.json").read_text()), **OTHER.to_diff_dict(), "torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(facts))
    whole = LlamaForCausalLM(OTHER).float().eval()  # its own frequencies are float32 and exact
    whole.load_state_dict({name: value.float() for name, value in original.state_dict().items()})
    return folder, whole


def prompt_far_from_the_beginning():
    random = np.random.default_rng(8)
    before, after = (tuple(random.integers(3, 600, count).tolist()) for count in (150, 30))
    return EmbeddedPrompt(before, random.normal(size=(32, OTHER.hidden_size)).astype(np.float32), after)


@torch.no_grad()
def answered(original, prompt):
    """Logits (WORDS, n_vocab) along the original's own greedy answer, and its token ids."""
    table = original.model.embed_tokens.weight
    rows = torch.cat([table[list(prompt.before)], torch.from_numpy(prompt.embeddings), table[list(prompt.after)]])
    logits = []
    for _ in range(WORDS):
        logits.append(original(inputs_embeds=rows[None]).logits[0, -1])
        rows = torch.cat([rows, table[logits[-1].argmax()][None]])
    found = torch.stack(logits).numpy()
    return found, found.argmax(axis=1).tolist()


def sure_words(logits):
    """How many words of an answer lead by more than rounding can change."""
    best = np.sort(logits, axis=1)
    leads = best[:, -1] - best[:, -2]
    return next((n for n, lead in enumerate(leads) if lead < MARGIN), len(leads))


@pytest.mark.parametrize("precision", NEAR)
def test_frequencies_that_the_shards_hold_in_half_precision_are_not_used(another, tmp_path, precision):
    folder, original = another
    prompt = prompt_far_from_the_beginning()
    logits, words = answered(original, prompt)
    scheduler = Scheduler.load(converted(folder, tmp_path / f"language-{precision}.gguf", precision), CPU)
    asked = Prompt((prompt.before, prompt.embeddings, prompt.after))
    np.testing.assert_allclose(scheduler.first_logits(asked), logits[0], atol=NEAR[precision], rtol=0)
    answer = scheduler.submit(Request(asked, Sampling(max_tokens=WORDS))).result().token_ids
    scheduler.close()
    sure = sure_words(logits)
    assert sure > 3
    assert list(answer[:sure]) == words[:sure]


def test_receipts_are_computed_with_exact_frequencies(another):
    folder, original = another
    prompt = prompt_far_from_the_beginning()
    logits, _ = answered(original, prompt)
    (receipt,) = StreamedLlama(open_vicuna(folder)).answer([prompt], WORDS)
    sure = sure_words(logits)
    np.testing.assert_allclose(receipt.logits[:sure], logits[:sure], atol=1e-3, rtol=0)
