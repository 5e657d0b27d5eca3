"""What the original modules computed, and what our bundles compute: the same."""

# ruff: noqa: E402 - without torch the file is skipped before it imports anything that needs it

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.export_fixtures import MEDCLIP, RELEASED, expected, export, medclip_source, released_source
from xraygpt_edge import XrayGPT
from xraygpt_edge.generation.prompt import Prompt, Turn, around
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.imaging.images import read_radiograph
from xraygpt_edge.imaging.preprocess import to_tensor

pytestmark = [pytest.mark.long, pytest.mark.shared, pytest.mark.export]

LOGITS = {"F32": 0.01, "F16": 0.012}
"""How far a first logit may be from the original's."""
MARGIN = 0.02
"""Two logits nearer than this may change places by rounding."""
COSINES = {"fp32": 0.9999999, "fp16": 0.9995, "int8": 0.995}


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    out = tmp_path_factory.mktemp("released") / "tiny"
    export(released_source(), out, "fp32,fp16,int8", "F16,F32,Q8_0")
    return out


@pytest.fixture(scope="module")
def medclip(tmp_path_factory):
    out = tmp_path_factory.mktemp("medclip") / "tiny"
    export(medclip_source(), out, "fp32,fp16,int8", "F16,Q8_0")
    return out


@pytest.fixture(params=["released", "medclip"])
def bundle(request):
    folder = {"released": RELEASED, "medclip": MEDCLIP}[request.param]
    return request.getfixturevalue(request.param), folder


def images(arrays):
    return sorted(int(name.split("_")[1]) for name in arrays if name.startswith("embeds_"))


def test_pixels_are_those_of_the_original(bundle):
    root, folder = bundle
    _, arrays = expected(folder)
    with XrayGPT.load(root, device="cpu") as model:
        for n in images(arrays):
            radiograph = read_radiograph(folder / f"images/{n}.png")
            tensor = to_tensor(radiograph, model.parts.plan.bundle.manifest.image)
            np.testing.assert_allclose(tensor, arrays[f"pixels_{n}"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("precision", COSINES)
def test_rows_are_those_of_the_original(bundle, precision):
    root, folder = bundle
    _, arrays = expected(folder)
    with XrayGPT.load(root, device="cpu", vision=precision) as model:
        for n in images(arrays):
            rows, wanted = model.embed(folder / f"images/{n}.png"), arrays[f"embeds_{n}"]
            rows, wanted = rows.astype(np.float64), wanted.astype(np.float64)
            cosine = (rows * wanted).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted, axis=1)
            assert cosine.min() >= COSINES[precision]
            if precision == "fp32":
                np.testing.assert_allclose(rows, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-5), ("fp16", 2e-3), ("int8", 0.1)])
def test_beside_the_rows_stands_what_the_original_sees_in_the_patches(released, precision, within):
    _, arrays = expected(RELEASED)
    encoder = released_source().load_image().module.encoder
    with XrayGPT.load(released, device="cpu", vision=precision) as model:
        for n in images(arrays):
            image = model.encode(RELEASED / f"images/{n}.png")
            with torch.no_grad():
                patches = encoder(pixel_values=torch.from_numpy(arrays[f"pixels_{n}"])).last_hidden_state[0, 1:].numpy()
            wanted = np.concatenate([patches.mean(axis=0), patches.std(axis=0)])
            np.testing.assert_allclose(image.patches, wanted, atol=within * np.abs(wanted).max(), rtol=0)


def test_an_encoder_without_a_q_former_tells_its_rows_alone(medclip):
    with XrayGPT.load(medclip, device="cpu") as model:
        assert model.encode(MEDCLIP / "images/0.png").patches is None


def texts_of(case, model):
    template = model.parts.plan.bundle.template(case["template"])
    if "turns" not in case:
        return around(template, case["question"])
    *past, (question, _) = case["turns"]
    return around(template, question, [Turn(*turn) for turn in past])


def test_prompts_have_the_token_ids_of_the_original_in_all_cases(released):
    facts, _ = expected(RELEASED)
    with XrayGPT.load(released, device="cpu") as model:
        for case in facts["cases"]:
            before, after = model.parts.wait_for_language().token_ids(*texts_of(case, model))
            assert before == case["ids_before"]
            assert after == case["ids_after"]
    assert len(facts["cases"]) == 28


@pytest.mark.parametrize("precision", ["F32", "F16"])
def test_answers_are_those_of_the_original_in_all_cases(released, precision):
    facts, arrays = expected(RELEASED)
    with XrayGPT.load(released, device="cpu", language=precision) as model:
        for k, case in enumerate(facts["cases"]):
            rows, scheduler = arrays[f"embeds_{case['image_index']}"], model.parts.wait_for_language()
            prompt = Prompt((tuple(case["ids_before"]), rows, tuple(case["ids_after"])))
            first = scheduler.first_logits(prompt)
            np.testing.assert_allclose(first, arrays[f"logits_{k}"], atol=LOGITS[precision], rtol=0)
            sure = next((n for n, m in enumerate(case["greedy_margins"]) if m < MARGIN), len(case["greedy_ids"]))
            answer = scheduler.submit(Request(prompt, Sampling(max_tokens=24))).result().token_ids
            assert list(answer[:sure]) == case["greedy_ids"][:sure]


def test_the_public_names_give_the_original_first_logits(released):
    facts, arrays = expected(RELEASED)
    with XrayGPT.load(released, device="cpu", vision="fp32", language="F32") as model:
        for k, case in enumerate(facts["cases"]):
            if "question" in case:
                image = RELEASED / case["image"]
                before, after = map(tuple, model.prompt_ids(case["question"], template=case["template"]))
                prompt = Prompt((before, model.embed(image), after))
                first = model.parts.wait_for_language().first_logits(prompt)
                np.testing.assert_allclose(first, arrays[f"logits_{k}"], atol=LOGITS["F32"], rtol=0)
