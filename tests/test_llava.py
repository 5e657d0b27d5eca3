"""LLaVA-Rad and LLaVA-Med: small models of other sizes in the published layouts, beside transformers' own classes."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model

from export import llava, synthetic_llava
from export.checkpoints import load_tensors
from export.errors import ExportRefused
from export.low_rank import read_adapter
from export.synthetic_llava import MED, RAD, Sizes
from export.vicuna import open_vicuna, wanted_names
from tests.export_fixtures import export
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.bundle import load
from xraygpt_edge.generation.prompt import Turn

pytestmark = [pytest.mark.long, pytest.mark.export]

LLAMA = {"layers": 2, "width": 192, "heads": 3, "head_width": 64, "mlp_width": 320, "vocabulary": 500}
SIZES = {
    "llava-rad": Sizes(70, 128, 3, replace(RAD, **LLAMA, kv_heads=3), rank=3),
    "llava-med": Sizes(56, 64, 4, replace(MED, **LLAMA, kv_heads=1)),
}


def written(kind, folder):
    write = synthetic_llava.write_rad if kind == "llava-rad" else synthetic_llava.write_med
    write(SIZES[kind], folder, torch.Generator().manual_seed(3))
    return folder


@pytest.fixture(scope="module")
def rad(tmp_path_factory):
    return written("llava-rad", tmp_path_factory.mktemp("rad"))


@pytest.fixture(scope="module")
def med(tmp_path_factory):
    return written("llava-med", tmp_path_factory.mktemp("med"))


@pytest.fixture(scope="module")
def rad_bundle(rad, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "rad"
    export(llava.rad(rad / "llava-rad", rad / "vicuna"), out, "int8,fp32", "F16")
    return out


@pytest.fixture(scope="module")
def med_bundle(med, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "med"
    export(llava.med(med / "llava-med"), out, "int8,fp32", "F16")
    return out


def projected(hidden, tensors, prefix):
    first, second = ({end: tensors[f"{prefix}{n}.{end}"].float() for end in ("weight", "bias")} for n in (0, 2))
    inner = torch.nn.functional.gelu(hidden @ first["weight"].T + first["bias"])
    return inner @ second["weight"].T + second["bias"]


@torch.no_grad()
def test_the_rows_of_llava_rad_are_dinov2s_last_but_one(rad):
    sizes = SIZES["llava-rad"]
    config = Dinov2Config(
        hidden_size=sizes.width, num_hidden_layers=sizes.depth, num_attention_heads=2, image_size=70, patch_size=14
    )
    whole, tensors = Dinov2Model(config).eval(), load_tensors(rad / "llava-rad" / llava.RAD_TOWER)
    trunk = {name.removeprefix("module.visual.trunk."): tensor for name, tensor in tensors.items()}
    state = {"embeddings.cls_token": trunk["cls_token"], "embeddings.position_embeddings": trunk["pos_embed"]}
    state |= {f"embeddings.patch_embeddings.projection.{e}": trunk[f"patch_embed.proj.{e}"] for e in ("weight", "bias")}
    for n in range(sizes.depth):
        theirs, ours = f"blocks.{n}", f"encoder.layer.{n}"
        for e in ("weight", "bias"):
            for part, value in zip(("query", "key", "value"), trunk[f"{theirs}.attn.qkv.{e}"].chunk(3), strict=True):
                state[f"{ours}.attention.attention.{part}.{e}"] = value
            state[f"{ours}.attention.output.dense.{e}"] = trunk[f"{theirs}.attn.proj.{e}"]
            state |= {f"{ours}.{part}.{e}": trunk[f"{theirs}.{part}.{e}"] for part in ("norm1", "norm2")}
            state |= {f"{ours}.mlp.{part}.{e}": trunk[f"{theirs}.mlp.{part}.{e}"] for part in ("fc1", "fc2")}
        state |= {f"{ours}.layer_scale{k}.lambda1": trunk[f"{theirs}.ls{k}.gamma"] for k in (1, 2)}
    whole.load_state_dict(state, strict=False)
    picture = torch.randn(1, 3, 70, 70)
    hidden = whole(picture, output_hidden_states=True).hidden_states[-2][:, 1:]
    expected = projected(hidden, load_tensors(rad / "llava-rad" / llava.RAD_PROJECTOR), llava.RAD_PREFIX)
    path = llava.rad(rad / "llava-rad", rad / "vicuna").load_image()
    assert path.facts.image_tokens == 25
    torch.testing.assert_close(path.module(picture), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_rows_of_llava_med_are_the_last_but_one_of_the_encoder_in_the_checkpoint(med):
    sizes = SIZES["llava-med"]
    config = CLIPVisionConfig(
        hidden_size=64, intermediate_size=256, num_hidden_layers=sizes.depth, num_attention_heads=1, image_size=56,
        patch_size=14, hidden_act="quick_gelu",
    )  # fmt: skip
    tensors = {}
    for shard in (med / "llava-med").glob("*.bin"):
        tensors |= load_tensors(shard)
    whole = CLIPVisionModel(config).eval()
    own = {f"vision_model.{n.removeprefix(llava.MED_CLIP)}": t.float() for n, t in tensors.items() if "vision" in n}
    whole.load_state_dict(own)
    picture = torch.randn(1, 3, 56, 56)
    hidden = whole(picture, output_hidden_states=True).hidden_states[-2][:, 1:]
    path = llava.med(med / "llava-med").load_image()
    torch.testing.assert_close(path.module(picture), projected(hidden, tensors, llava.MED_PREFIX), atol=1e-5, rtol=1e-5)


def test_each_weight_is_merged_with_its_part_of_the_adapter_and_no_other_weight_is_changed(rad):
    base = open_vicuna(rad / "vicuna")
    adapter, raw = read_adapter(rad / "llava-rad", base.shape), load_tensors(rad / "llava-rad" / "adapter_model.bin")
    for name, weight in base.tensors(wanted_names(base.shape)):
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        found = adapter.merged(name, weight)
        if f"{stem}.lora_A.weight" not in raw:
            assert torch.equal(found, weight)
            continue
        a, b = (raw[f"{stem}.lora_{half}.weight"].double() for half in "AB")
        torch.testing.assert_close(found.double(), weight.double() + 2 * b @ a, atol=1e-6, rtol=0)
        assert not torch.equal(found, weight.float())


@pytest.mark.parametrize("kind", ["rad", "med"])
def test_a_bundle_says_what_its_model_was_made_for(kind, request):
    manifest = load(request.getfixturevalue(f"{kind}_bundle")).manifest
    assert manifest.schema == 2
    assert manifest.kind == f"llava-{kind}"
    assert manifest.image.fit == {"rad": "crop", "med": "pad-color"}[kind]
    assert manifest.views == (("frontal",) if kind == "rad" else ())
    assert manifest.n_ctx == 4096
    assert manifest.prompt.clean_up.role == ""
    assert [q.name for q in manifest.prompt.questions] == (["findings", "findings-indication"] if kind == "rad" else [])
    text = (load(request.getfixturevalue(f"{kind}_bundle")).root / "LICENSES/NOTICE.txt").read_text()
    assert "XrayGPT" not in text


def test_a_follow_up_ends_the_answer_with_the_control_token_that_no_text_becomes(rad_bundle):
    with XrayGPT.load(rad_bundle, device="cpu") as model:
        _, once = model.prompt_ids("heart?", history=[Turn("findings?", "Clear.")])
        _, spelt = model.prompt_ids("heart? </s> {token:</s>}", history=[Turn("findings? </s>", "Clear. {token:</s>}")])
        _, alone = model.prompt_ids("{token:</s>} <image> </s>")
    assert once.count(2) == spelt.count(2) == 1
    assert alone.count(2) == 0


@pytest.mark.parametrize("kind", ["rad", "med"])
def test_a_film_of_any_shape_gets_an_answer(kind, request, phantom):
    with XrayGPT.load(request.getfixturevalue(f"{kind}_bundle"), device="cpu") as model:
        answer = model.ask(phantom, "findings?", sampling=Sampling(max_tokens=3))
        assert np.isfinite(model.first_logits(phantom, "findings?")).all()
    assert answer.bundle.kind == f"llava-{kind}"


@pytest.mark.parametrize("kind", ["rad", "med"])
def test_what_turns_the_worst_row_furthest_is_not_rounded_to_int8(kind, request):
    nodes = onnx.load(request.getfixturevalue(f"{kind}_bundle") / "vision-int8.onnx").graph.node
    kept = {node.name for node in nodes if node.op_type == "MatMul"}
    assert {f"/projector/projector.{layer}/MatMul" for layer in (0, 2)} <= kept
    assert not [name for name in kept if "/mlp/" in name]


def changed(folder, tmp_path, file, change):
    """A copy of the model's folders with one JSON file changed."""
    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    path = copy / file
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return copy


def rad_refusal(folder):
    with pytest.raises(ExportRefused) as caught:
        source = llava.rad(folder / "llava-rad", folder / "vicuna")
        source.load_image()
        source.open_language(source.vicuna)
    return str(caught.value)


def test_settings_of_another_model_are_refused_all_at_once_and_by_name(rad, tmp_path):
    wrong = {
        "mm_vision_select_layer": -1,
        "mm_vision_select_feature": "cls_patch",
        "mm_projector_type": "linear",
        "mm_use_im_start_end": True,
        "mm_use_im_patch_token": True,
        "image_aspect_ratio": "pad",
        "rope_scaling": {"type": "linear", "factor": 2},
        "sliding_window": 4096,
        "attention_bias": True,
        "hidden_size": 320,
    }
    text = rad_refusal(changed(rad, tmp_path, "llava-rad/config.json", lambda c: c.update(wrong)))
    assert [key for key in wrong if key not in text] == []


def test_files_that_are_missing_are_named_all_at_once(rad, tmp_path):
    folder = tmp_path / "changed"
    shutil.copytree(rad, folder)
    names = (llava.RAD_TOWER, llava.RAD_TOWER_CONFIG, llava.RAD_PROJECTOR)
    for name in names:
        (folder / "llava-rad" / name).unlink()
    text = rad_refusal(folder)
    assert [name for name in names if f"{name} is missing" not in text] == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("bias", "all"), ("fan_in_fan_out", True), ("modules_to_save", ["lm_head"]), ("lora_alpha", None), ("r", 0)),
        *(("use_rslora", True), ("use_dora", True), ("target_modules", ["q_proj", "c_attn"]), ("peft_type", "IA3")),
    ],
)
def test_an_adapter_that_cannot_be_merged_exactly_is_refused_by_name(rad, tmp_path, setting, value):
    folder = changed(rad, tmp_path, "llava-rad/adapter_config.json", lambda c: c.update({setting: value}))
    assert setting in rad_refusal(folder)


def with_tensors(folder, tmp_path, file, change):
    """A copy of the model's folders with the tensors of one file changed."""
    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    for path in copy.glob(file):
        tensors = {name: tensor.clone() for name, tensor in load_tensors(path).items()}  # a map would be written over
        change(tensors)
        torch.save(tensors, path)
    return copy


LORA = "base_model.model.model.layers.1.mlp.up_proj.lora_"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(f"{LORA}B.weight"), "missing: lora_B of model.layers.1.mlp.up_proj.weight"),
        (lambda t: t.pop(f"{LORA}A.weight"), "missing: lora_A of model.layers.1.mlp.up_proj.weight"),
        (lambda t: t.update({f"{LORA}A.weight": torch.zeros(5, 192)}), "has shape (5, 192)"),
        (lambda t: t.update({f"{LORA}B.weight": torch.zeros(7, 3)}), "has shape (7, 3)"),
        (lambda t: t[f"{LORA}A.weight"].fill_(float("nan")), "NaN or Inf"),
        (
            lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.zeros(3, 192)}),
            "lora_A of lm_head.weight",
        ),
        (lambda t: t.update({"something": torch.zeros(3)}), "unexpected: something"),
    ],
)
def test_a_tensor_of_the_adapter_that_does_not_fit_is_named(rad, tmp_path, change, words):
    assert words in rad_refusal(with_tensors(rad, tmp_path, "llava-rad/adapter_model.bin", change))


def test_an_encoder_of_another_kind_is_refused_by_the_names_that_it_lacks(rad, tmp_path):
    def plain_vit(tensors):
        for name in [name for name in tensors if ".ls1." in name or ".ls2." in name]:
            del tensors[name]

    folder = with_tensors(rad, tmp_path, f"llava-rad/{llava.RAD_TOWER}", plain_vit)
    assert "missing: module.visual.trunk.blocks.0.ls1.gamma" in rad_refusal(folder)


def test_a_base_that_is_a_difference_is_refused(rad, tmp_path):
    folder = with_tensors(rad, tmp_path, "vicuna/*.bin", lambda t: t["model.norm.weight"].mul_(0.001))
    assert "delta" in rad_refusal(folder)


def test_what_the_image_path_never_uses_may_be_missing(med, tmp_path):
    def without_the_last_norm(tensors):
        for name in [name for name in tensors if "post_layernorm" in name]:
            del tensors[name]

    folder = with_tensors(med, tmp_path, "llava-med/*.bin", without_the_last_norm)
    assert llava.med(folder / "llava-med").load_image().facts.image_tokens == 16


def openai_clip(med, folder, factor=1.0):
    """An encoder in Hugging Face's layout, like the checkpoint's own but for a factor."""
    folder.mkdir()
    tensors = {"logit_scale": torch.ones(()), "text_projection.weight": torch.ones(2, 2)}
    for shard in (med / "llava-med").glob("*.bin"):
        own = {n: t for n, t in load_tensors(shard).items() if n.startswith(llava.MED_CLIP)}
        tensors |= {f"vision_model.{n.removeprefix(llava.MED_CLIP)}": factor * t for n, t in own.items()}
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": {}}))
    return folder


@pytest.mark.parametrize(("factor", "words"), [(1.0, "equal (to bfloat16) to"), (1.5, "which differs from")])
def test_another_encoder_may_be_asked_for_and_the_bundle_says_whether_it_is_the_same(med, tmp_path, factor, words):
    source = llava.med(med / "llava-med", openai_clip(med, tmp_path / "clip", factor))
    assert any(words in note for note in source.load_image().facts.notes)
    own = llava.med(med / "llava-med").load_image()
    assert "the image encoder is the checkpoint's own" in own.facts.notes
