"""What LLaVA-Rad's and LLaVA-Med's own programs computed, and what our bundles compute: the same."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from export import llava
from tests.export_fixtures import SHARED, expected, export
from xraygpt_edge import XrayGPT
from xraygpt_edge.bundle import load
from xraygpt_edge.generation.prompt import Prompt, Turn, around
from xraygpt_edge.generation.request import Request, Sampling
from xraygpt_edge.imaging.images import ReadOptions, read_radiograph
from xraygpt_edge.imaging.preprocess import to_tensor

pytestmark = [pytest.mark.shared, pytest.mark.export, pytest.mark.slow]

FIXTURES = SHARED / "llava_tiny"
RAD, MED = FIXTURES / "rad", FIXTURES / "med"
LOGITS = {"F32": 0.03, "F16": 0.05}
ANYTHING = ReadOptions(force=True)
"""LLaVA-Med's pictures are drawn, and look like no chest."""
MARGIN = 0.02
"""Two logits nearer than this may change places by rounding."""
COSINES = {"fp32": 0.9999999, "fp16": 0.9995, "int8": 0.995}


@pytest.fixture(scope="module")
def rad(tmp_path_factory):
    out = tmp_path_factory.mktemp("rad") / "tiny"
    export(llava.rad(RAD / "llava-rad", RAD / "vicuna-7b-v1.5"), out, "fp32,fp16,int8", "F16,F32")
    return out


@pytest.fixture(scope="module")
def med(tmp_path_factory):
    out = tmp_path_factory.mktemp("med") / "tiny"
    export(llava.med(MED / "llava-med-v1.5-mistral-7b"), out, "fp32,fp16,int8", "F16,F32")
    return out


@pytest.fixture(params=["rad", "med"])
def bundle(request):
    return request.getfixturevalue(request.param), FIXTURES / request.param


def images(arrays):
    return sorted(int(name.split("_")[1]) for name in arrays if name.startswith("embeds_"))


def test_pixels_are_those_of_the_published_program(bundle):
    root, folder = bundle
    _, arrays = expected(folder)
    recipe = load(root).manifest.image
    for n in images(arrays):
        tensor = to_tensor(read_radiograph(folder / f"images/{n}.png", ANYTHING), recipe)
        np.testing.assert_allclose(tensor, arrays[f"pixels_{n}"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("precision", COSINES)
def test_every_row_is_that_of_the_published_program(bundle, precision):
    root, folder = bundle
    _, arrays = expected(folder)
    with XrayGPT.load(root, device="cpu", vision=precision, memory="low") as model:
        for n in images(arrays):
            rows, wanted = model.embed(folder / f"images/{n}.png", ANYTHING), arrays[f"embeds_{n}"]
            rows, wanted = rows.astype(np.float64), wanted.astype(np.float64)
            cosine = (rows * wanted).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted, axis=1)
            assert cosine.min() >= COSINES[precision]
            if precision == "fp32":
                assert np.abs(rows - wanted).max() <= 1e-5 * np.abs(wanted).max()


def texts_of(case, model):
    template = model.parts.plan.bundle.template(case["template"])
    if "turns" not in case:
        return around(template, case["question"])
    *past, (question, _) = case["turns"]
    return around(template, question, [Turn(*turn) for turn in past])


@pytest.mark.parametrize("precision", LOGITS)
def test_token_ids_and_answers_are_those_of_the_published_program_in_all_cases(bundle, precision):
    root, folder = bundle
    facts, arrays = expected(folder)
    with XrayGPT.load(root, device="cpu", language=precision) as model:
        scheduler = model.parts.wait_for_language()
        for k, case in enumerate(facts["cases"]):
            before, after = scheduler.token_ids(*texts_of(case, model))
            assert (before, after) == (case["ids_before"], case["ids_after"])
            rows = arrays[f"embeds_{case['image_index']}"]
            prompt = Prompt((tuple(before), rows, tuple(after)))
            first = scheduler.first_logits(prompt)
            np.testing.assert_allclose(first, arrays[f"logits_{k}"], atol=LOGITS[precision], rtol=0)
            sure = next((n for n, m in enumerate(case["greedy_margins"]) if m < MARGIN), len(case["greedy_ids"]))
            answer = scheduler.submit(Request(prompt, Sampling(max_tokens=24))).result().token_ids
            assert list(answer[:sure]) == case["greedy_ids"][:sure]
    assert len(facts["cases"]) == {"rad": 12, "med": 8}[folder.name]
