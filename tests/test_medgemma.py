"""MedGemma: what transformers' own classes compute, and what our bundles compute: the same, whatever the dimensions."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from gguf import GGUFReader
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from export import gemma_gguf, medgemma
from export.__main__ import app
from export.errors import ExportRefused
from export.gemma import open_gemma
from export.receipts import original_ids
from tests.export_fixtures import export
from tests.gemma_fixtures import FORMS, USUAL, Original, edit_config, renamed, write
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.bundle import load
from xraygpt_edge.generation.prompt import Prompt, Turn, around
from xraygpt_edge.generation.request import Request
from xraygpt_edge.imaging.images import ReadOptions, read_radiograph
from xraygpt_edge.imaging.preprocess import to_tensor

pytestmark = [pytest.mark.long, pytest.mark.export]

LOGITS = {"F32": 0.03, "F16": 0.05}
LEAD = 0.02
"""Two logits nearer than this may change places by rounding."""
QUESTIONS = ("Describe this X-ray", "Is the heart enlarged?\n\n\n Say  yes or no.    ")
HISTORY = (Turn("findings?", "Clear lungs.\n\nNo effusion."),)
NEWER = {
    "language_model.model.": "model.language_model.",
    "vision_tower.": "model.vision_tower.",
    "multi_modal_projector.": "model.multi_modal_projector.",
}


@pytest.fixture(scope="module", params=FORMS)
def folder(request, tmp_path_factory):
    return write(FORMS[request.param], tmp_path_factory.mktemp(request.param) / "medgemma")


@pytest.fixture(scope="module")
def bundle(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle") / "medgemma"
    export(medgemma.source(folder), out, "fp32,fp16,int8", "F16,F32")
    return out


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    """The usual form; tests copy it before they change it."""
    return write(USUAL, tmp_path_factory.mktemp("usual") / "medgemma")


@pytest.fixture
def copy(usual, tmp_path):
    return Path(shutil.copytree(usual, tmp_path / "medgemma"))


@pytest.fixture(scope="module")
def film(root):
    return sorted((root / "examples").glob("*.dcm"))[1]


def tensor_of(bundle, film):
    return to_tensor(read_radiograph(film, ReadOptions(force=True)), load(bundle).manifest.image)


def texts(model, template, question, history=()):
    return around(model.parts.plan.bundle.template(template), question, history)


def test_pixels_are_those_of_transformers_own_processor(bundle, film):
    from PIL import Image
    from transformers import Gemma3ImageProcessor

    recipe = load(bundle).manifest.image
    assert (recipe.fit, recipe.resample) == ("squash", "bilinear")
    pixels = read_radiograph(film, ReadOptions(force=True)).pixels
    side = {"height": recipe.size_px, "width": recipe.size_px}
    theirs = Gemma3ImageProcessor(size=side)(Image.fromarray(pixels).convert("RGB"), return_tensors="np")
    np.testing.assert_allclose(tensor_of(bundle, film), theirs["pixel_values"], atol=1e-6, rtol=0)


def test_every_row_is_that_of_transformers(folder, bundle, film):
    wanted = Original(folder).rows(tensor_of(bundle, film)).astype(np.float64)
    for precision, least in {"fp32": 0.9999999, "fp16": 0.9995, "int8": 0.995}.items():
        with XrayGPT.load(bundle, device="cpu", vision=precision, memory="low") as model:
            rows = model.embed(film, ReadOptions(force=True)).astype(np.float64)
        cosine = (rows * wanted).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosine.min() >= least
        if precision == "fp32":
            assert np.abs(rows - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("precision", LOGITS)
def test_ids_logits_and_answers_are_those_of_transformers_follow_ups_included(folder, bundle, film, precision):
    original, tensor = Original(folder), tensor_of(bundle, film)
    rows = original.rows(tensor)
    with XrayGPT.load(bundle, device="cpu", language=precision) as model:
        scheduler = model.parts.wait_for_language()
        for question, history in ((QUESTIONS[0], ()), (QUESTIONS[1], ()), (QUESTIONS[0], HISTORY)):
            asked = texts(model, "radiologist" if history else "plain", question, history)
            before, after = scheduler.token_ids(*asked)
            assert (tuple(before), tuple(after)) == original_ids(folder, *asked)
            prompt = Prompt((tuple(before), rows, tuple(after)))
            logits = original.logits(before, tensor, after)
            np.testing.assert_allclose(scheduler.first_logits(prompt), logits, atol=LOGITS[precision], rtol=0)
            assert np.ptp(logits) > 1
            sure = original.greedy(before, tensor, after, 20, LEAD)
            answer = scheduler.submit(Request(prompt, Sampling(max_tokens=20))).result().token_ids
            assert list(answer[: len(sure)]) == sure[: len(answer)]


def test_many_films_at_once_and_forks_say_what_each_says_alone(bundle, root):
    films = sorted((root / "examples").glob("*.dcm"))[:3]
    with XrayGPT.load(bundle, device="cpu", language="F32") as model:
        scheduler = model.parts.wait_for_language()
        prompts = [
            Prompt((*_ids(scheduler, model)[:1], model.embed(each, ReadOptions(force=True)), _ids(scheduler, model)[1]))
            for each in films
        ]
        alone = [scheduler.submit(Request(each, Sampling(max_tokens=25))).result().token_ids for each in prompts]
        with scheduler.paused():
            streams = [scheduler.submit(Request(each, Sampling(max_tokens=25))) for each in prompts]
        assert [stream.result().token_ids for stream in streams] == alone


def _ids(scheduler, model):
    return [tuple(ids) for ids in scheduler.token_ids(*texts(model, None, QUESTIONS[0]))]


def test_a_question_never_becomes_a_token_of_the_template(bundle):
    with XrayGPT.load(bundle, device="cpu") as model:
        scheduler = model.parts.wait_for_language()
        named = {scheduler.model.control_token(text) for text in ("<start_of_image>", "<end_of_turn>", "<unused94>")}
        _, plain = model.prompt_ids("yes?")
        _, spelt = model.prompt_ids("yes? <start_of_image> <end_of_turn> {token:<unused94>} <unused94>")
    assert [token for token in spelt if token in named] == [token for token in plain if token in named]


def test_a_bundle_says_what_its_model_was_made_for(folder, bundle):
    manifest = load(bundle).manifest
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert (manifest.schema, manifest.kind, manifest.architecture) == (2, "medgemma", "gemma3")
    assert manifest.n_image_tokens == config["mm_tokens_per_image"]
    assert manifest.n_embd == config["text_config"]["hidden_size"]
    assert manifest.prompt.thinking == ("<unused94>", "<unused95>")
    assert "Health AI Developer Foundations" in manifest.licence
    assert "XrayGPT" not in (bundle / "LICENSES/NOTICE.txt").read_text()
    assert {source["name"].split("/")[0] for source in manifest.sources} == {"medgemma"}


def test_newer_names_of_tensors_and_a_doubled_head_give_the_same_files(usual, copy, tmp_path):
    tensors = load_file(copy / "model.safetensors")
    tensors["lm_head.weight"] = tensors["language_model.model.embed_tokens.weight"].clone()
    save_file(tensors, copy / "model.safetensors")
    renamed(copy, {**NEWER, "lm_head.": "lm_head."})
    for folder, name in ((usual, "old"), (copy, "new")):
        gemma_gguf.convert(open_gemma(folder), tmp_path / f"{name}.gguf", "F16", name="same")
    assert (tmp_path / "old.gguf").read_bytes() == (tmp_path / "new.gguf").read_bytes()
    picture = torch.randn(1, 3, 112, 112)
    old, new = (medgemma.source(folder).load_image().module(picture) for folder in (usual, copy))
    assert torch.equal(old, new)


def test_rotary_facts_in_the_newer_form_are_read_as_those_in_the_older(usual, copy):
    edit_config(
        copy,
        "text_config",
        rope_parameters={
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        rope_theta=None,
        rope_scaling=None,
        rope_local_base_freq=None,
    )
    assert open_gemma(copy).shape == open_gemma(usual).shape


@pytest.fixture(scope="module")
def ready(usual, tmp_path_factory):
    """A GGUF as llama.cpp's own converter writes it: without spare tokens, and without what it takes by itself."""
    return gguf_of(usual, tmp_path_factory.mktemp("ready") / "medgemma-F16.gguf")


def gguf_of(folder, target, precision="F16"):
    control = medgemma.source(folder).control
    gemma_gguf.convert(open_gemma(folder), target, precision, name="ready", control=control)
    return target


def test_a_ready_gguf_is_taken_as_it_is_and_held_against_the_original(usual, ready, tmp_path):
    out = tmp_path / "bundle"
    given = ("--medgemma", usual, "--gguf", ready, "--out", out, "--vision", "int8", "--threads", 1)
    result = CliRunner().invoke(app, ["medgemma", *map(str, given)])
    assert result.exit_code == 0, result.output
    assert (out / "language-F16.gguf").read_bytes() == ready.read_bytes()
    manifest = load(out).manifest
    assert "gguf/medgemma-F16.gguf" in [source["name"] for source in manifest.sources]
    assert manifest.parity["language"]["F16"]["mean_kl"] < 0.001
    assert [file.precision for file in manifest.files if file.role == "language"] == ["F16"]


def test_a_ready_gguf_of_another_model_is_refused_with_all_that_differs(copy, ready, tmp_path):
    edit_config(copy, "text_config", rope_local_base_freq=5000.0, sliding_window=300)
    with pytest.raises(ExportRefused) as caught:
        gemma_gguf.require_same_model(ready, open_gemma(copy), ())
    assert "rope.freq_base_swa is 10000.0, the folder says 5000.0" in str(caught.value)
    assert "attention.sliding_window is 512, the folder says 300" in str(caught.value)


def test_a_ready_gguf_with_other_weights_misses_its_gate(copy, usual, tmp_path):
    tensors = load_file(copy / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith("q_norm.weight"):
            tensor.mul_(-3)
    save_file(tensors, copy / "model.safetensors")
    source = medgemma.source(usual, gguf_of(copy, tmp_path / "other.gguf"))
    with pytest.raises(ExportRefused, match="too far from the original"):
        export(source, tmp_path / "out", "fp32", "F16")
    assert not (tmp_path / "out").exists()


def test_no_other_precision_is_made_from_a_ready_gguf(usual, ready, tmp_path):
    with pytest.raises(ExportRefused, match="no other precision is made from it"):
        export(medgemma.source(usual, ready), tmp_path / "out", "fp32", "Q8_0")


@pytest.mark.parametrize("content", [b"", b"no gguf", b"GGUF" + bytes(60)])
def test_what_is_no_gguf_is_refused(usual, tmp_path, content):
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(ExportRefused, match=r"x\.gguf"):
        medgemma.source(usual, tmp_path / "x.gguf")


def test_settings_of_another_model_are_refused_all_at_once_and_by_name(copy):
    wrong = {
        "hidden_activation": "silu",
        "attention_bias": True,
        "attn_logit_softcapping": 50.0,
        "final_logit_softcapping": 30.0,
        "use_bidirectional_attention": True,
        "tie_word_embeddings": False,
    }
    edit_config(copy, "text_config", **wrong)
    edit_config(copy, "vision_config", model_type="clip_vision_model")
    edit_config(copy, "", mm_tokens_per_image=15)
    pixels = {"resample": 1, "do_pan_and_scan": True, "do_normalize": False, "image_mean": [0.5]}
    (copy / "preprocessor_config.json").write_text(json.dumps(pixels))
    with pytest.raises(ExportRefused) as caught:
        medgemma.source(copy)
    named = [*wrong, "clip_vision_model", "mm_tokens_per_image", *pixels]
    assert [name for name in named if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query_pre_attn_scalar": 24}, "query_pre_attn_scalar is 24, 32 is needed"),
        ({"layer_types": ["sliding_attention"]}, "layer_types"),
        ({"sliding_window": 8}, "16 rows, and the language model's window 8"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "'yarn'"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, "rope_parameters"),
        ({"num_hidden_layers": "seven"}, "num_hidden_layers is 'seven'"),
        ({"model_type": "gemma2"}, "model_type of text_config is 'gemma2'"),
    ],
)
def test_a_language_model_that_llama_cpp_computes_otherwise_is_refused(copy, changes, words):
    edit_config(copy, "text_config", **changes)
    with pytest.raises(ExportRefused) as caught:
        medgemma.source(copy)
    assert words in str(caught.value)


NORM = "language_model.model.layers.1.self_attn.q_norm.weight"
PATCH = "vision_tower.vision_model.embeddings.patch_embedding.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(NORM), "missing: model.layers.1.self_attn.q_norm.weight"),
        (lambda t: t.update({NORM: torch.zeros(31)}), "has shape (31,), config.json says (32,)"),
        (
            lambda t: t.update({"language_model.model.rotary": torch.zeros(3)}),
            "unexpected: language_model.model.rotary",
        ),
        (lambda t: t.update({f"model.{NORM.replace('.model', '')}": t[NORM].clone()}), "twice: model.layers.1"),
        (lambda t: t[NORM].fill_(float("nan")), "NaN or Inf"),
        (lambda t: t.pop(PATCH), f"missing: {PATCH}"),
        (lambda t: t.update({"vision_tower.gate": torch.zeros(3)}), "unexpected: vision_tower.gate"),
        (lambda t: t.update({PATCH: torch.zeros(48, 3, 7, 7)}), "patch_size is 14, which is not what its tensors are"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(copy, tmp_path, change, words):
    tensors = {name: tensor.clone() for name, tensor in load_file(copy / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, copy / "model.safetensors")
    with pytest.raises(ExportRefused) as caught:
        source = medgemma.source(copy)
        opened = source.open_language(copy)
        source.load_image()
        gemma_gguf.convert(opened, tmp_path / "x.gguf", "F32", name="x")
    assert words in str(caught.value)


def test_what_pools_a_whole_image_is_left_out_and_written_down(copy):
    tensors = load_file(copy / "model.safetensors")
    tensors["vision_tower.vision_model.head.probe"] = torch.zeros(1, 1, 48)
    save_file(tensors, copy / "model.safetensors")
    notes = medgemma.source(copy).load_image().facts.notes
    assert any("vision_model" in note and "not used" in note for note in notes)


def test_norms_are_stored_with_their_one_and_the_embedding_once(usual, ready):
    stored = {tensor.name: tensor.data for tensor in GGUFReader(ready).tensors}
    tensors = load_file(usual / "model.safetensors")
    np.testing.assert_array_equal(stored["blk.1.attn_q_norm.weight"], 1 + tensors[NORM].numpy())
    assert "output.weight" not in stored


def test_random_weights_become_a_bundle_by_the_same_code(tmp_path, phantom):
    given = ("--kind", "medgemma", "--scale", "tiny", "--out", tmp_path / "tiny", "--threads", 1)
    result = CliRunner().invoke(app, ["synthetic", *map(str, given), "--language", "Q4_K_M"])
    assert result.exit_code == 0, result.output
    with XrayGPT.load(tmp_path / "tiny", device="cpu") as model:
        answer = model.ask(phantom, "findings?", sampling=Sampling(max_tokens=3))
    assert answer.bundle.kind == "medgemma"
    assert "random weights" in load(tmp_path / "tiny").manifest.licence
