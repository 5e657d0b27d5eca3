"""The demonstration in the released form: EVA-like ViT and Q-Former, 32 rows an image, trained by the same code."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.export


@pytest.fixture(scope="module")
def encoder():  # type: ignore[no-untyped-def]
    from export.demo.train_released import ReleasedEncoder

    torch.manual_seed(0)
    found = ReleasedEncoder()
    for layer in found.path.encoder.encoder.layers:  # as after training: no bias is zero
        torch.nn.init.normal_(layer.self_attn.qkv.bias)
    return found.eval()


@pytest.fixture
def vocabulary(root: Path) -> Path:
    return root / "examples" / "checkpoints" / "vicuna" / "tokenizer.model"


def test_its_checkpoints_are_read_as_the_published_ones_and_give_the_rows_that_were_trained(
    encoder, vocabulary: Path, tmp_path: Path
) -> None:
    from export.demo import checkpoints, source, train_language

    pictures = torch.randint(0, 256, (2, 224, 224), dtype=torch.uint8)
    with torch.no_grad():
        features, cells = encoder(encoder.normalise(pictures))
        speaker = train_language.new_speaker(vocabulary.read_bytes(), features, 0)
        wanted = speaker.projector(features)
    checkpoints.write(encoder, speaker, vocabulary.read_bytes(), tmp_path)
    path = source(tmp_path, "released").load_image()
    assert (path.facts.kind, path.facts.image_tokens, path.facts.width) == ("released", 32, 256)
    with torch.no_grad():
        np.testing.assert_allclose(path.module(encoder.normalise(pictures)), wanted, atol=1e-4)
    assert cells.shape == (2, 256, 88)


def test_its_language_model_is_trained_with_all_rows_of_an_image(vocabulary: Path) -> None:
    from export.demo import train_language

    features = torch.randn(3, 32, 128)
    speaker = train_language.new_speaker(vocabulary.read_bytes(), features, 0)
    branches = [[([5, 6], [7, 2])], [([5], [8, 9, 2]), ([6, 7], [2])], [([5], [2])]]
    loss = train_language.answer_loss(speaker, "demo", features.requires_grad_(), branches, 1.0)
    loss.backward()
    moved = features.grad.abs().amax(dim=2)
    assert (moved > 0).all()  # every row of every image is seen by an answer


@pytest.mark.slow
def test_a_few_steps_of_training_lower_the_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from export.demo import train_released, train_vision
    from export.demo.pictures import render

    pictures = render(range(9_000_000, 9_000_032), workers=1)
    torch.manual_seed(0)
    encoder = train_released.ReleasedEncoder()
    heads = train_vision.Heads(15, encoder)
    losses = [loss_of(encoder, heads, pictures)]
    training = train_vision.Round(6, 2e-3, train_released.ROUNDS[0].label_weights)
    train_vision.run_encoder(encoder, heads, pictures, pictures, training, 0, tmp_path / "kept.pt")
    losses.append(loss_of(encoder, heads, pictures))
    assert all(after < before for before, after in pairwise(losses))
    assert "mean" in capsys.readouterr().out


def loss_of(encoder, heads, pictures) -> float:  # type: ignore[no-untyped-def]
    from torch.nn.functional import binary_cross_entropy_with_logits

    from export.demo import train_vision

    logits = train_vision.label_logits(encoder, heads, pictures)
    return float(binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(pictures.labels).float()))
