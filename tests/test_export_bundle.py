"""The finished folder: the same each time, whole or absent, and checked against the original."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import errno
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file

from export import language_gguf, medclip, receipts, released, synthetic
from export.checkpoints import load_tensors
from export.errors import ExportRefused, GateMissed
from export.prompts import XRAYGPT
from tests.export_fixtures import VICUNA, export, medclip_source, released_source
from tests.test_export_refusals import vicuna_with
from xraygpt_edge import bundle as bundles
from xraygpt_edge.files import sha256_of
from xraygpt_edge.proof.receipts import load as load_receipts

pytestmark = [pytest.mark.shared, pytest.mark.export]


def hashes(folder):
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.long
@pytest.mark.parametrize("source", [released_source, pytest.param(medclip_source, marks=pytest.mark.slow)])
def test_the_same_files_give_the_same_bundle(tmp_path, source):
    for number in (1, 2):
        export(source(), tmp_path / str(number) / "tiny", "int8,fp32,fp16", "Q8_0,Q4_K_M")
    assert hashes(tmp_path / "1/tiny") == hashes(tmp_path / "2/tiny")


def test_a_bundle_verifies_and_names_its_sources_and_tools(tmp_path):
    export(released_source(), tmp_path / "tiny", "int8,fp16", "Q8_0,Q4_K_M")
    bundle = bundles.load(tmp_path / "tiny")
    manifest = bundle.manifest
    assert bundles.verify(bundle) == []
    assert (manifest.kind, manifest.n_image_tokens, manifest.n_embd) == ("released", 32, 256)
    assert (manifest.schema, manifest.architecture, manifest.n_ctx) == (2, "llama", 2048)
    assert manifest.prompt.clean_up == XRAYGPT.clean_up
    assert {source["name"] for source in manifest.sources} >= {"eva", "blip2", "checkpoint", "vicuna/config.json"}
    assert manifest.tools["torch"]
    assert [f.precision for f in manifest.files if f.role == "language"] == ["Q4_K_M", "Q8_0"]
    assert {f.role for f in manifest.files} == {"vision", "language", "receipts", "parity", "licence"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.long
def test_nothing_of_the_exports_place_and_time_is_in_the_bundle(tmp_path):
    export(medclip_source(), tmp_path / "tiny")
    for path in (tmp_path / "tiny").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.long
def test_receipts_say_what_the_original_computed(tmp_path):
    export(released_source(), tmp_path / "tiny")
    cases = load_receipts(tmp_path / "tiny/receipts.npz")
    again = receipts.reference_embeddings(released_source().load_image())
    for case, embeddings in zip(cases, again, strict=True):
        np.testing.assert_allclose(case.embeddings, embeddings, atol=1e-5)
        assert case.logits.argmax(axis=1).tolist() == list(case.answer)


@pytest.mark.long
def test_an_interrupted_export_goes_on_where_it_was(tmp_path, monkeypatch):
    made = []
    convert = language_gguf.convert
    monkeypatch.setattr(language_gguf, "convert", lambda *a, **k: (made.append(a[2]), convert(*a, **k)))
    with monkeypatch.context() as patch:
        patch.setattr(receipts, "make_cases", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export(medclip_source(), tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()
    export(medclip_source(), tmp_path / "tiny")
    assert made == ["F16"]


@pytest.mark.long
def test_a_full_disk_leaves_no_file_under_a_final_name(tmp_path, monkeypatch):
    written = language_gguf.GGUFWriter.write_tensor_data
    calls = []

    def full(self, *arguments, **options):
        calls.append(1)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(self, *arguments, **options)

    monkeypatch.setattr(language_gguf.GGUFWriter, "write_tensor_data", full)
    with pytest.raises(OSError, match="No space"):
        export(medclip_source(), tmp_path / "tiny")
    assert not list(tmp_path.rglob("*.gguf"))
    assert not list(tmp_path.rglob("*.gguf.partial"))
    assert not (tmp_path / "tiny").exists()


def test_a_bundle_that_exists_is_not_overwritten(tmp_path):
    (tmp_path / "tiny").mkdir()
    with pytest.raises(ExportRefused, match="exists already"):
        export(medclip_source(), tmp_path / "tiny")


@pytest.mark.long
@pytest.mark.parametrize(("dtype", "layout"), [(torch.float32, "safetensors"), (torch.bfloat16, "bin")])
def test_every_number_type_and_file_type_converts(tmp_path, dtype, layout):
    folder = vicuna_with(tmp_path)
    for shard in sorted(folder.glob("*.bin")):
        tensors = {name: tensor.to(dtype) for name, tensor in load_tensors(shard).items()}
        shard.unlink()
        if layout == "bin":
            torch.save(tensors, shard)
        else:
            save_file(tensors, folder / shard.name.replace("pytorch_model", "model").replace(".bin", ".safetensors"))
    if layout == "safetensors":
        index = json.loads((folder / "pytorch_model.bin.index.json").read_text())
        index["weight_map"] = {
            name: home.replace("pytorch_model", "model").replace(".bin", ".safetensors")
            for name, home in index["weight_map"].items()
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    result = export(medclip_source(folder), tmp_path / "tiny")
    assert result.figures["language"]["F16"]["mean_kl"] < 1e-4


@pytest.mark.long
def test_image_files_in_half_precision_export_as_well(tmp_path):
    source = released_source()
    files = {}
    for name, path in source.files.items():
        files[name] = tmp_path / path.name
        half = {k: t.half() if t.is_floating_point() else t for k, t in load_tensors(path).items()}
        torch.save({"model": half}, files[name])
    export(released_source(files), tmp_path / "tiny", "fp32", "Q8_0")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["released", "medclip"])
def test_other_dimensions_in_the_same_layout_export_unchanged(tmp_path, monkeypatch, kind):
    sizes = synthetic.Dimensions(
        eva=synthetic.Blip2VisionConfig(
            hidden_size=264, num_hidden_layers=2, num_attention_heads=3, intermediate_size=520, image_size=112
        ),
        qformer=synthetic.Blip2QFormerConfig(
            hidden_size=192,
            num_hidden_layers=5,
            num_attention_heads=3,
            intermediate_size=320,
            encoder_hidden_size=264,
            cross_attention_frequency=2,
        ),
        queries=8,
        swin=synthetic.SwinConfig(
            embed_dim=24, depths=[1, 2, 1], num_heads=[1, 2, 4], patch_size=8, window_size=7, mlp_ratio=2.0
        ),
        projected=128,
        llama=synthetic.LlamaShape(2, 192, 6, 2, 32, 288, 700, 1024, 1e-5, 10000.0, tied=False),
    )
    monkeypatch.setattr(synthetic, "TINY", sizes)
    source = synthetic.make(kind, "tiny", 3, tmp_path / "made")
    folder = source.vicuna
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_key_value_heads": 2, "torch_dtype": "float32"}))
    result = export(source, tmp_path / "tiny", "int8,fp16", "Q8_0,Q4_K_M")
    manifest = bundles.load(tmp_path / "tiny").manifest
    assert (manifest.n_image_tokens, manifest.n_embd) == ((8 if kind == "released" else 1), 192)
    assert result.figures["language"]["F16"]["mean_kl"] < 1e-5


def unpermuted(weight, _heads):
    return weight


def swapped_norms():
    block = dict(released.EVA_BLOCK)
    for end in ("weight", "bias"):
        block[f"norm1.{end}"], block[f"norm2.{end}"] = block[f"norm2.{end}"], block[f"norm1.{end}"]
    return block


@pytest.mark.long
def test_a_wrong_order_of_q_and_k_is_caught(tmp_path, monkeypatch):
    monkeypatch.setattr(language_gguf, "rotary_order", unpermuted)
    with pytest.raises(GateMissed, match="language F16: mean_kl"):
        export(medclip_source(), tmp_path / "tiny")
    assert not (tmp_path / "tiny").exists()


@pytest.mark.long
def test_swapped_names_in_the_language_model_are_caught(tmp_path, monkeypatch):
    names = dict(language_gguf.LAYER)
    names["input_layernorm"], names["post_attention_layernorm"] = "ffn_norm", "attn_norm"
    monkeypatch.setattr(language_gguf, "LAYER", names)
    with pytest.raises(GateMissed, match="language F16: mean_kl"):
        export(medclip_source(), tmp_path / "tiny")


DEFECTS = {
    "swapped norms": (released, "EVA_BLOCK", swapped_norms()),
    "ln_vision skipped": (released.nn.LayerNorm, "forward", lambda _self, values: values),
    "wrong head size": (released, "EVA_HEAD", 44),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_in_the_image_path_shows_against_the_original(tmp_path, monkeypatch, defect):
    """The comparison with what the original modules computed fails for each defect that is put in."""
    from tests.export_fixtures import RELEASED, expected

    _, arrays = expected(RELEASED)
    pixels, wanted = torch.from_numpy(arrays["pixels_0"]), arrays["embeds_0"]

    def distance():
        with torch.no_grad():
            return np.abs(released_source().load_image().rows(pixels).numpy()[0] - wanted).max()

    assert distance() < 1e-4
    owner, name, value = DEFECTS[defect]
    monkeypatch.setattr(owner, name, value)
    assert distance() > 1e-2


@pytest.mark.long
def test_a_vicuna_without_a_tokenizer_is_refused(tmp_path):
    folder = tmp_path / "vicuna"
    shutil.copytree(VICUNA, folder, ignore=shutil.ignore_patterns("tokenizer.model"))
    with pytest.raises(ExportRefused, match=r"tokenizer\.model"):
        export(medclip_source(folder), tmp_path / "tiny")


def test_the_medclip_table_of_positions_must_be_the_windows_own(tmp_path):
    path = medclip_source().files["medclip"]
    tensors = dict(load_tensors(path))
    name = next(name for name in tensors if name.endswith(medclip.INDEX))
    tensors[name] = tensors[name] * 0
    torch.save(tensors, tmp_path / "swin.bin")
    with pytest.raises(ExportRefused, match="window Swin"):
        medclip.load(medclip.Files(tmp_path / "swin.bin", medclip_source().files["checkpoint"]))
