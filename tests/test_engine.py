"""The Python names that scripts rely on, on a whole tiny bundle and on the demonstration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import N_EMBD, write_bundle
from xraygpt_edge import Sampling, XrayGPT
from xraygpt_edge.chat import Conversation
from xraygpt_edge.errors import InputRefused, OutOfTime, UsageError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[XrayGPT]:
    with XrayGPT.load(write_bundle(tmp_path_factory.mktemp("bundles") / "tiny"), device="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.png"
    pixels = np.linspace(0, 255, 200 * 300).reshape(200, 300).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_rows_prompt_ids_and_logits_are_what_the_contract_says(tiny: XrayGPT, film: Path) -> None:
    rows = tiny.embed(film)
    before, after = tiny.prompt_ids("findings?", template="demo")
    first = tiny.first_logits(film, "findings?", template="demo")
    assert (rows.shape, rows.dtype) == ((2, N_EMBD), np.float32)
    assert before[0] == 1
    assert 1 not in after
    assert (first.shape, first.dtype) == ((tiny.parts.decoder.n_vocab,), np.float32)


def test_the_first_token_of_an_answer_is_the_likeliest_of_the_first_logits(tiny: XrayGPT, film: Path) -> None:
    answer = tiny.ask(film, "findings?", sampling=Sampling(max_tokens=3))
    assert answer.token_ids[0] == int(tiny.first_logits(film, "findings?").argmax())


def test_text_is_shown_as_it_is_generated_and_is_the_text_of_the_answer(tiny: XrayGPT, film: Path) -> None:
    shown: list[str] = []
    answer = tiny.ask(film, "findings?", sampling=Sampling(max_tokens=20), show=shown.append)
    assert len(shown) > 3
    assert "".join(shown).strip() == answer.text


def test_a_bundle_says_how_many_tokens_of_context_it_takes(tmp_path: Path, film: Path) -> None:
    with XrayGPT.load(write_bundle(tmp_path / "short", n_ctx=64), device="cpu") as model:
        assert model.ask(film, "findings?", sampling=Sampling(max_tokens=1)).token_ids
        with pytest.raises(UsageError, match="takes 64"):
            model.ask(film, "findings?", sampling=Sampling(max_tokens=64))


def test_a_bundle_of_schema_1_answers_as_that_of_schema_2(tiny: XrayGPT, tmp_path: Path, film: Path) -> None:
    root = write_bundle(tmp_path / "old")
    path = root / "manifest.json"
    facts = json.loads(path.read_text("utf-8"))
    facts |= {"schema": 1, "rows": facts.pop("n_image_tokens"), "width": facts.pop("n_embd")}
    del facts["architecture"]
    path.write_text(json.dumps(facts), "utf-8")
    sampling = Sampling(max_tokens=12)
    with XrayGPT.load(root, device="cpu") as old:
        found = old.ask(film, "findings?", sampling=sampling)
        wanted = tiny.ask(film, "findings?", sampling=sampling)
    assert (found.token_ids, found.text, found.bundle.kind) == (wanted.token_ids, wanted.text, wanted.bundle.kind)


def test_one_radiograph_never_colours_the_answer_about_the_next(tiny: XrayGPT, film: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.fromarray(np.tile(np.arange(250, dtype=np.uint8), (250, 1))[:, ::-1].copy()).save(other)
    sampling = Sampling(max_tokens=12)
    first, between, again = (tiny.ask(path, "findings?", sampling=sampling).token_ids for path in (film, other, film))
    assert first == again
    with XrayGPT.load(tiny.parts.bundle.root, device="cpu") as fresh:
        assert fresh.ask(other, "findings?", sampling=sampling).token_ids == between


def test_a_refused_file_leaves_the_model_usable(tiny: XrayGPT, film: Path, tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("not a radiograph")
    with pytest.raises(InputRefused):
        tiny.ask(tmp_path / "text.dcm", "findings?")
    assert tiny.ask(film, "findings?", sampling=Sampling(max_tokens=2)).token_ids


def test_no_time_at_all_is_an_error_and_little_time_cuts_the_answer(tiny: XrayGPT, film: Path) -> None:
    with pytest.raises(OutOfTime):
        tiny.ask(film, "findings?", sampling=Sampling(timeout_s=0.0))


def test_a_conversation_forgets_its_oldest_turns_and_never_the_image(tiny: XrayGPT, film: Path) -> None:
    talk = Conversation(tiny, tiny.look(film), Sampling(max_tokens=20))
    for number in range(8):
        talk.ask(f"question {number} " + "x" * 60)
    assert talk.forgotten > 0
    assert len(talk.turns) + talk.forgotten == 8
    with pytest.raises(UsageError):
        talk.ask("x" * 2000)


def test_the_demonstration_answers_a_follow_up(demo: Path, phantom: Path) -> None:
    with XrayGPT.load(demo, device="cpu") as model:
        talk = Conversation(model, model.look(phantom), Sampling(max_tokens=60))
        first, second = talk.ask("Describe the given chest x-ray image in detail."), talk.ask("Is the heart enlarged?")
    assert first.bundle.demo
    assert second.text.lower().startswith(("yes", "no"))
    assert second.finish_reason == "stop"
