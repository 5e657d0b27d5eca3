"""The demonstration model from a seed: draw, train the encoder, train the language model, write checkpoints.

About an hour on two cores of a desktop CPU. The same seed on the same kind of CPU with the same number of
threads gives the same weights.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from . import checkpoints
from .findings import sample_case
from .original import Original
from .pictures import Pictures, render
from .train_language import ROUNDS, new_speaker, train_speaker
from .train_released import train_released
from .train_vision import Encoder, augment, features_of, train_encoder
from .vocabulary import train_vocabulary

VISION_SEEDS = range(16_000)
"""Cases that the encoder learns from."""
FRESH_SEEDS = range(1_000_000, 1_008_000)
"""Cases that only the language model learns from: on these the encoder is as unsure as on any new one."""
CHECK_SEEDS = range(9_000_000, 9_000_600)
"""Cases to watch the training by; the evaluation has others."""
RELEASED_SEEDS, RELEASED_CHECK = VISION_SEEDS[:6000], 300
"""What the released form learns from and is watched by."""
THREADS = 2
_CHUNK = 500
_FEATURE_SEED = 5


def train(folder: Path, seed: int = 0) -> None:
    """Train everything and write checkpoints in the paper form's published layouts into folder."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(THREADS)
    print("Drawing the phantoms: about 4 minutes.", flush=True)
    seen, fresh, check = (render(seeds) for seeds in (VISION_SEEDS, FRESH_SEEDS, CHECK_SEEDS))
    print("Training the encoder: about 35 minutes.", flush=True)
    encoder = train_encoder(seen, check, seed, folder / "encoder.partial.pt")
    print("Training the language model: about 20 minutes.", flush=True)
    features = torch.cat([*_augmented_features(encoder, (seen, fresh)), features_of(encoder, _pixels(fresh))])
    cases = [sample_case(number) for number in (*VISION_SEEDS, *FRESH_SEEDS, *FRESH_SEEDS)]
    vocabulary = train_vocabulary(seed)
    speaker = new_speaker(vocabulary, features, seed)
    for number, training in enumerate(ROUNDS):
        first = len(VISION_SEEDS) if training.fresh_only else 0
        train_speaker(speaker, features[first:], cases[first:], training, seed + number, folder / "language.partial.pt")
    checkpoints.write(encoder, speaker, vocabulary, folder)


def train_released_form(folder: Path, seed: int = 0) -> None:
    """Train the released form's encoder with the paper form in folder as its teacher, and write it beside that."""
    torch.set_num_threads(1)
    teacher = Original.load(folder)
    print("Drawing the phantoms: about 3 minutes.", flush=True)
    seen, check = render(RELEASED_SEEDS), render(CHECK_SEEDS[:RELEASED_CHECK])
    print("Training the encoder: about 40 minutes.", flush=True)
    keep = folder / "released.partial.pt"
    encoder = train_released(teacher.image_path.module, teacher.speaker, seen, check, seed, keep)
    checkpoints.write_released(encoder, folder / checkpoints.RELEASED)
    keep.unlink()


def _augmented_features(encoder: Encoder, sets: tuple[Pictures, ...]) -> list[Tensor]:
    """Features of pictures as the encoder was trained on them: shifted, brightened, with noise."""
    rng = torch.Generator().manual_seed(_FEATURE_SEED)
    return [
        features_of(encoder, augment(pixels, rng)) for pictures in sets for pixels in _pixels(pictures).split(_CHUNK)
    ]


def _pixels(pictures: Pictures) -> Tensor:
    return torch.from_numpy(pictures.pixels)
