"""The demonstration in the released form: EVA-like ViT and Q-Former, 32 rows an image, taught by the paper form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def encoder():  # type: ignore[no-untyped-def]
    from export.demo.released_encoder import ReleasedEncoder, begin

    torch.manual_seed(0)
    found = ReleasedEncoder()
    begin(found, torch.randint(0, 256, (4, 224, 224), dtype=torch.uint8))
    for layer in found.path.encoder.encoder.layers:  # as after training: no bias is zero
        torch.nn.init.normal_(layer.self_attn.qkv.bias)
    return found.eval()


@pytest.fixture(scope="module")
def checkpoints_folder(root: Path) -> Path:
    return root / "examples" / "checkpoints"


@pytest.fixture
def vocabulary(checkpoints_folder: Path) -> Path:
    return checkpoints_folder / "vicuna" / "tokenizer.model"


def test_its_checkpoints_are_read_as_the_published_ones_and_give_the_rows_that_were_trained(
    encoder, tmp_path: Path
) -> None:
    from export.demo import checkpoints, source

    encoder.half().float()  # as the files hold them
    pictures = torch.randint(0, 256, (2, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        answers, cells = encoder(encoder.normalise(pictures))
        wanted = encoder.path.projector(answers)
    checkpoints.write_released(encoder, tmp_path / checkpoints.RELEASED)
    path = source(tmp_path, "released").load_image()
    assert (path.facts.kind, path.facts.image_tokens, path.facts.width) == ("released", 32, 256)
    with torch.no_grad():
        np.testing.assert_allclose(path.rows(encoder.normalise(pictures)), wanted, atol=1e-4)
    assert cells.shape == (2, 49, 88)


def test_before_training_nearly_every_query_looks_at_a_place_of_its_own() -> None:
    from export.demo.released_encoder import ReleasedEncoder, begin

    torch.manual_seed(0)
    encoder, looked = ReleasedEncoder().eval(), []
    begin(encoder, torch.randint(0, 256, (4, 224, 224), dtype=torch.uint8))
    crossing = encoder.path.qformer.encoder.layer[0].crossattention.attention
    crossing.register_forward_hook(lambda _module, _inputs, found: looked.append(found[1]))
    with torch.no_grad():
        encoder(encoder.normalise(torch.randint(0, 256, (1, 224, 224), dtype=torch.uint8)))
    cells = looked[0].mean(dim=(0, 1))[:, 1:].argmax(1)
    rows, columns = cells // 7, cells % 7
    wanted_rows, wanted_columns = (torch.arange(32) // 4 + 0.5) / 8 * 7, (torch.arange(32) % 4 + 0.5) / 4 * 7
    is_near = ((rows + 0.5 - wanted_rows).abs() <= 1) & ((columns + 0.5 - wanted_columns).abs() <= 1)
    assert is_near.sum() >= 26


def test_its_language_model_is_trained_with_all_rows_of_an_image(vocabulary: Path) -> None:
    from export.demo import train_language

    features = torch.randn(3, 32, 128)
    speaker = train_language.new_speaker(vocabulary.read_bytes(), features, 0)
    branches = [[([5, 6], [7, 2])], [([5], [8, 9, 2]), ([6, 7], [2])], [([5], [2])]]
    loss = train_language.answer_loss(speaker, "demo", features.requires_grad_(), branches, 1.0)
    loss.backward()
    moved = features.grad.abs().amax(dim=2)
    assert (moved > 0).all()  # every row of every image is seen by an answer


@pytest.mark.long
def test_training_that_was_stopped_goes_on_to_the_weights_of_one_that_was_not(
    checkpoints_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export.demo import train_released as lessons
    from export.demo.original import Original
    from export.demo.pictures import render

    teacher, pictures = Original.load(checkpoints_folder), render(range(9_000_000, 9_000_008), workers=1)
    monkeypatch.setattr(lessons, "SEE", lessons.Lesson("see", 3, 1e-3, 2))
    monkeypatch.setattr(lessons, "SPEAK", lessons.Lesson("speak", 3, 1e-3, 2))
    monkeypatch.setattr(lessons, "KEEP_EVERY", 1)

    def trained(keep: Path) -> dict[str, torch.Tensor]:
        taught = lessons.train_released(teacher.image_path.module, teacher.speaker, pictures, pictures, 0, keep)
        return taught.state_dict()

    whole = trained(tmp_path / "whole.pt")
    for stopped_in in (2, 4):  # of the steps that are left: in the first lesson, then in the second
        with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
            broken.setattr(lessons, "truth_loss", stopping(lessons.truth_loss, stopped_in))
            trained(tmp_path / "stopped.pt")
    again = trained(tmp_path / "stopped.pt")
    for name, value in whole.items():
        torch.testing.assert_close(again[name], value, msg=name)


def stopping(function: Callable[..., object], at: int) -> Callable[..., object]:
    """The function, interrupted in its call of this number."""
    calls = iter(range(1, at))

    def stopped(*given: object) -> object:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return function(*given)

    return stopped


@pytest.fixture(scope="module")
def trained(checkpoints_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped checkpoints as a bundle, as the published ones become one."""
    from export.demo import source
    from tests.export_fixtures import export

    out = tmp_path_factory.mktemp("trained") / "demo-released"
    export(source(checkpoints_folder, "released"), out, "int8,fp32", "Q8_0,F16")
    return out


@pytest.mark.long
def test_its_answers_come_from_the_image(trained: Path) -> None:
    from export.demo.evaluation import TEST_SEEDS, score_bundle

    scores = score_bundle(trained, "ONNX int8 + quantized", TEST_SEEDS[:100])
    assert scores.f1 >= 0.75
    assert scores.yes_no >= 0.8
    assert scores.f1_permuted <= 0.15
    assert scores.mirrored_f1 >= 0.7
    assert scores.mirrored_f1_unswapped <= 0.25


@pytest.mark.long
def test_a_film_that_it_sees_badly_is_recognised(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export import trust_profile
    from export.demo import reference_films
    from xraygpt_edge.trust.film import seen

    monkeypatch.setattr(reference_films, "PROFILE_SEEDS", reference_films.PROFILE_SEEDS[:300])
    distances = trust_profile.write(trained).films
    with trust_profile.opened(trained) as model:

        def flagged(draw: Callable[[int], NDArray[np.uint8]]) -> float:
            films = reference_films.films(model, {seed: draw(seed) for seed in reference_films.CLEAN_SEEDS[:100]})
            return np.mean([distances.distance(seen(film.encode())) > distances.threshold for film in films])

        assert flagged(reference_films.badly_seen) >= 0.65
        assert flagged(reference_films.clean) <= 0.05
        assert flagged(lambda seed: 255 - reference_films.clean(seed)) >= 0.95


@pytest.mark.long
def test_its_maps_point_at_what_was_drawn(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from export import trust_maps, trust_profile
    from export.demo import reference_films
    from xraygpt_edge.trust import maps

    monkeypatch.setattr(reference_films, "PROFILE_SEEDS", reference_films.PROFILE_SEEDS[:300])
    found = trust_profile.write(trained)
    with trust_profile.opened(trained) as model:
        seen = trust_maps.films(model, found, least=60)
        falls = [maps.falls(film.image, film.covered, found.read_outs) for film in seen]
        assert trust_maps.pointed(seen, lambda number, _, place: falls[number][place]).hit.mean() >= 0.75
        assert trust_maps.shuffled_encoder(model, found, seen).figure.value <= 0.25
