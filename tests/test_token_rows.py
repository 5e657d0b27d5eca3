"""Token embeddings: the same numbers as llama.cpp looks up itself, whatever the type of the weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.tiny import N_EMBD, write_language
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.llama import LlamaContext, LlamaModel, Span

CPU = Device("cpu", 1)
IDS = [1, 5, 299, 0, 17, 5]


def test_a_prompt_of_embeddings_gives_the_same_logits_as_one_of_token_ids_to_the_last_bit(demo: Path) -> None:
    for language in sorted(demo.glob("language-*.gguf")):
        model = LlamaModel(language, CPU)
        table = EmbeddingTable(language, model.n_embd)
        context = LlamaContext(model, 256, 64, threads=1)
        logits = []
        for content in (np.array(IDS, np.int32), table.of(IDS)):
            context.clear()
            logits += context.decode([Span(content, 0, n_logits=1)])
        context.close()
        model.close()
        np.testing.assert_array_equal(logits[0], logits[1])


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0"])
def test_embeddings_are_the_dequantized_weights(tmp_path: Path, kind: str) -> None:
    wanted = np.random.default_rng(3).normal(size=(40, 64)).astype(np.float32)
    stored = gguf.quants.quantize(wanted, gguf.GGMLQuantizationType[kind])
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("first.weight", wanted[:3])
    writer.add_tensor("token_embd.weight", stored, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = EmbeddingTable(tmp_path / "x.gguf", 64).of([0, 39, 7])
    np.testing.assert_array_equal(found, gguf.quants.dequantize(stored, gguf.GGMLQuantizationType[kind])[[0, 39, 7]])


def test_a_token_that_does_not_exist_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    table = EmbeddingTable(write_language(tmp_path / "x.gguf"), N_EMBD)
    for token in (-1, 10**6):
        with pytest.raises(ValueError, match=str(token)):
            table.of([token])


def test_no_tokens_have_no_embeddings(tmp_path: Path) -> None:
    assert EmbeddingTable(write_language(tmp_path / "x.gguf"), N_EMBD).of([]).shape == (0, N_EMBD)


def test_a_file_without_token_embeddings_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_tensor("first.weight", np.zeros((3, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(BundleIncompatible, match="no token embedding"):
        EmbeddingTable(tmp_path / "x.gguf", 64)
