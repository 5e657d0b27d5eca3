"""Files that are not what they should be: each is refused in words, and no bundle appears."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import json
import os
import shutil

import pytest

torch = pytest.importorskip("torch")

from export import released
from export.checkpoints import load_tensors
from export.errors import ExportRefused
from export.vicuna import open_vicuna
from tests.export_fixtures import RELEASED, VICUNA, export, medclip_source, released_files, released_source

pytestmark = [pytest.mark.shared, pytest.mark.export]


def changed(tmp_path, which, change, wrapper=None):
    """The released files, one of them rewritten."""
    files = released_files()
    tensors = dict(load_tensors(files[which]))
    change(tensors)
    target = tmp_path / files[which].name
    torch.save({wrapper: tensors} if wrapper else tensors, target)
    return {**files, which: target}


def refusal(files, depth=None):
    with pytest.raises(ExportRefused) as caught:
        released.load(released.Files(**files), depth)
    return str(caught.value)


def test_a_missing_ln_vision_is_named(tmp_path):
    files = changed(tmp_path, "blip2", lambda t: t.pop("ln_vision.weight"), "model")
    assert "missing: ln_vision.weight" in refusal(files)


def test_all_missing_tensors_are_named_at_once(tmp_path):
    def drop(tensors):
        for name in ("ln_vision.bias", "query_tokens", "Qformer.bert.encoder.layer.1.output_query.dense.bias"):
            del tensors[name]

    text = refusal(changed(tmp_path, "blip2", drop, "model"))
    assert text.count("missing: ") == 3


def test_one_extra_trainable_tensor_in_the_checkpoint_is_named(tmp_path):
    files = changed(tmp_path, "checkpoint", lambda t: t.update(query_tokens=torch.zeros(1, 32, 128)), "model")
    assert "unexpected: query_tokens" in refusal(files)


@pytest.mark.parametrize("which", ["eva", "blip2"])
def test_an_unknown_tensor_is_named(tmp_path, which):
    files = changed(tmp_path, which, lambda t: t.update({"blocks.0.attn.gate": torch.zeros(2)}))
    assert "unexpected: blocks.0.attn.gate" in refusal(files)


def test_a_projector_for_another_q_former_is_refused(tmp_path):
    def narrow(tensors):
        tensors["llama_proj.weight"] = tensors["llama_proj.weight"][:, :64].clone()

    assert "projector.weight has shape (256, 64)" in refusal(changed(tmp_path, "checkpoint", narrow))


def test_a_projector_for_another_language_model_is_refused(tmp_path):
    def short(tensors):
        tensors["llama_proj.weight"] = tensors["llama_proj.weight"][:128].clone()
        tensors["llama_proj.bias"] = tensors["llama_proj.bias"][:128].clone()

    source = released_source(changed(tmp_path, "checkpoint", short))
    with pytest.raises(ExportRefused, match="embeddings of 128, the language model takes 256"):
        export(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(tmp_path, value):
    def spoil(tensors):
        tensors["blocks.1.mlp.fc1.weight"][3, 5] = value

    assert "NaN or Inf: blocks.1.mlp.fc1.weight" in refusal(changed(tmp_path, "eva", spoil))


def test_quantized_weights_are_refused(tmp_path):
    files = changed(tmp_path, "eva", lambda t: t.update({"cls_token": t["cls_token"].to(torch.int8)}))
    assert "type torch.int8: cls_token" in refusal(files)


def test_more_blocks_than_there_are_cannot_be_used():
    assert "3 blocks, 4 are needed" in refusal(released_files(), depth=4)


class Trap:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, zipped):
    trap = tmp_path / "trap.pth"
    torch.save({"model": Trap(tmp_path / "witness")}, trap, _use_new_zipfile_serialization=zipped)
    assert "could run code" in refusal({**released_files(), "checkpoint": trap})
    assert not (tmp_path / "witness").exists()


@pytest.mark.parametrize(
    "content", [b"", b"garbage", (RELEASED / "eva_vit_g.pth").read_bytes()[:90000] if RELEASED.is_dir() else b""]
)
def test_half_a_file_is_refused(tmp_path, content):
    broken = tmp_path / "eva_vit_g.pth"
    broken.write_bytes(content)
    assert "eva_vit_g.pth" in refusal({**released_files(), "eva": broken})


def test_what_the_image_path_leaves_out_is_written_down():
    notes = released.load(released.Files(**released_files()), vision_depth=2).facts.notes
    assert "not used from eva_vit_g.pth: blocks.2 (13)" in notes


def vicuna_with(tmp_path, change_config=None, change_tensors=None, name="vicuna"):
    folder = tmp_path / name
    shutil.copytree(VICUNA, folder)
    for path in folder.iterdir():
        path.chmod(0o644)
    if change_config:
        config = json.loads((folder / "config.json").read_text())
        change_config(config)
        (folder / "config.json").write_text(json.dumps(config))
    if change_tensors:
        for shard in sorted(folder.glob("*.bin")):
            tensors = {name: tensor.clone() for name, tensor in load_tensors(shard).items()}
            change_tensors(tensors)
            torch.save(tensors, shard)
    return folder


def vicuna_refusal(folder):
    with pytest.raises(ExportRefused) as caught:
        open_vicuna(folder)
    return str(caught.value)


def test_a_delta_is_refused_with_what_to_do(tmp_path):
    def subtract(tensors):
        for tensor in tensors.values():
            tensor.mul_(0.001)

    assert "apply_delta" in vicuna_refusal(vicuna_with(tmp_path, change_tensors=subtract))
    assert "apply_delta" in vicuna_refusal(vicuna_with(tmp_path, name="vicuna-7b-delta-v0"))


def test_another_architecture_is_refused(tmp_path):
    folder = vicuna_with(tmp_path, lambda config: config.update(model_type="mistral", rope_scaling={"type": "x"}))
    text = vicuna_refusal(folder)
    assert "mistral" in text
    assert "rope_scaling" in text


def test_a_missing_shard_is_named(tmp_path):
    folder = vicuna_with(tmp_path)
    (folder / "pytorch_model-00002-of-00002.bin").unlink()
    assert "pytorch_model-00002-of-00002.bin" in vicuna_refusal(folder)


def test_a_missing_and_an_extra_tensor_are_both_named(tmp_path):
    def swap(tensors):
        if "lm_head.weight" in tensors:
            tensors["score.weight"] = tensors.pop("lm_head.weight")

    text = vicuna_refusal(vicuna_with(tmp_path, change_tensors=swap))
    assert "missing: lm_head.weight" in text
    assert "unexpected: score.weight" in text


@pytest.mark.long
def test_an_infinite_weight_of_the_language_model_is_named_and_leaves_no_gguf(tmp_path):
    def spoil(tensors):
        if "model.layers.1.mlp.up_proj.weight" in tensors:
            tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = float("inf")

    source = medclip_source(vicuna_with(tmp_path, change_tensors=spoil))
    with pytest.raises(ExportRefused, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        export(source, tmp_path / "out")
    assert not list(tmp_path.rglob("*.gguf"))


@pytest.mark.long
@pytest.mark.parametrize("number", [2.0**17])
def test_a_weight_beyond_half_precision_is_named(tmp_path, number):
    def grow(tensors):
        for name in list(tensors):
            tensors[name] = tensors[name].float()
        if "model.layers.0.mlp.up_proj.weight" in tensors:
            tensors["model.layers.0.mlp.up_proj.weight"][0, 0] = number

    source = medclip_source(vicuna_with(tmp_path, change_tensors=grow))
    with pytest.raises(ExportRefused, match="F16 cannot hold"):
        export(source, tmp_path / "out")
