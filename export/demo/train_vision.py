"""Train the demonstration's encoder: a small Swin in MedCLIP's layout with a 512-wide projection.

Its features must carry everything that the language model will say, so the heads sit on them: the labels,
and for present findings their severity. A third head asks every cell of the last grid what lies there;
it teaches position quickly and is thrown away afterwards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate, pad
from transformers import SwinConfig, SwinModel

from .findings import LABELS, Case, mirrored
from .phantoms import PLACE_GRID
from .pictures import MEAN, PICTURE_PX, STD, Pictures, batches, label_table

FEATURES = 512
SWIN = {
    "image_size": PICTURE_PX,
    "patch_size": 8,
    "embed_dim": 32,
    "depths": [1, 2, 3],
    "num_heads": [1, 2, 4],
    "window_size": 7,
    "drop_path_rate": 0.0,
}
BATCH, SHIFT_PX = 32, 6
N_PLACES, SEVERITIES = 10, 15
_POSITIVE_WEIGHT, _PLACE_WEIGHT = 2.0, 4.0


@dataclass(frozen=True, slots=True)
class Round:
    """One pass from a high learning rate down to zero."""

    steps: int
    rate: float
    label_weights: tuple[float, ...]
    """In the order of `LABELS`: what is small or learned late counts more."""


ROUNDS = (
    Round(3600, 8e-4, (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 1.0, 1.0)),
    # After the first round nodules and the device lag behind.
    Round(2600, 6e-4, (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 4.0, 4.0, 1.0, 4.0)),
)


class Eye(nn.Module):
    """An encoder: uint8 or float pictures 0..255 into features and the last grid."""

    n_features: int
    """All numbers of one picture's features."""
    grid_side: int
    grid_width: int

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pictures 0..255 (n, 224, 224) to the input (n, 3, 224, 224)."""
        raise NotImplementedError


class Encoder(Eye):
    """Swin, pooled, projected to 512 without bias: the published layout under `vision_model.`."""

    def __init__(self) -> None:
        super().__init__()
        self.model = SwinModel(SwinConfig(**SWIN))
        self.projection_head = nn.Linear(self.model.num_features, FEATURES, bias=False)
        self.n_features = FEATURES
        self.grid_side, self.grid_width = 7, self.model.num_features

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 or float pictures 0..255 (n, 224, 224) to the input (n, 3, 224, 224)."""
        return ((pixels.float() / 255 - MEAN) / STD)[:, None].expand(-1, 3, -1, -1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised pictures (n, 3, 224, 224) to features (n, 512) and the last grid (n, 49, 128)."""
        seen = self.model(pictures)
        return self.projection_head(seen.pooler_output), seen.last_hidden_state


class Heads(nn.Module):
    """What is asked of the encoder while it is trained."""

    def __init__(self, severities: int, encoder: Eye) -> None:
        super().__init__()
        self.labels = nn.Linear(encoder.n_features, len(LABELS))
        self.severity = nn.Linear(encoder.n_features, severities)
        self._split = max(1, PLACE_GRID // encoder.grid_side)
        self.places = nn.Linear(encoder.grid_width, self._split**2 * N_PLACES)

    def grid(self, cells: Tensor) -> Tensor:
        """Cells (n, side * side, width) to place logits (n, 14, 14, 10): cells are split, or blended."""
        side, split = math.isqrt(cells.shape[1]), self._split
        parts = self.places(cells).view(-1, side, side, split, split, N_PLACES)
        found = parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, split * side, split * side, N_PLACES)
        if split * side == PLACE_GRID:
            return found
        resized = interpolate(found.permute(0, 3, 1, 2), PLACE_GRID, mode="bilinear", align_corners=False)
        return resized.permute(0, 2, 3, 1)


def severity_table(cases: Sequence[Case]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Severity bits and where they are defined, each (n, 15)."""
    bits, known = [], []
    for case in cases:
        pairs = [(case.heart == "marked", case.heart)]
        pairs += [(size != "small", size) for size in case.effusion]
        pairs += [(size == "large", size) for size in case.effusion]
        pairs += [(size == "large", size) for size in case.pneumothorax]
        pairs += [(kind == "dense", kind) for kind in case.consolidation]
        pairs += [(zone == "upper", zone) for zone in case.nodule]
        pairs += [(case.oedema == "marked", case.oedema), (case.device == "right", case.device)]
        bits.append([bit for bit, _ in pairs])
        known.append([bool(value) for _, value in pairs])
    return np.array(bits, bool), np.array(known, bool)


def augment(pixels: Tensor, rng: torch.Generator) -> Tensor:
    """Shift by up to 6 pixels, change contrast and brightness a little, add noise; 0..255 in and out."""
    padded = pad(pixels.float(), [SHIFT_PX] * 4)
    offsets = torch.randint(0, 2 * SHIFT_PX + 1, (len(pixels), 2), generator=rng).tolist()
    cut = [page[y : y + PICTURE_PX, x : x + PICTURE_PX] for page, (y, x) in zip(padded, offsets, strict=True)]
    contrast, brightness = torch.rand(2, len(pixels), 1, 1, generator=rng) * 0.2 - 0.1
    noise = torch.randn(pixels.shape, generator=rng) * 4
    return (torch.stack(cut) * (1 + contrast) + 100 * brightness + noise).clamp(0, 255)


class Targets:
    """Truth tensors of a data set, as drawn and mirrored: index 0 and 1 of the first axis."""

    def __init__(self, data: Pictures) -> None:
        flipped = [mirrored(case) for case in data.cases]
        self.pixels = torch.from_numpy(data.pixels)
        self.labels = torch.from_numpy(np.stack([label_table(data.cases), label_table(flipped)])).float()
        severity = zip(severity_table(data.cases), severity_table(flipped), strict=True)
        self.severity, self.known = (torch.from_numpy(np.stack(pair)).float() for pair in severity)
        swap = [1, 0, 3, 2, 6, 7, 4, 5, 9, 8]
        places = data.places
        self.places = torch.from_numpy(np.stack([places, places[:, :, ::-1][..., swap]]))


def train_encoder(data: Pictures, check: Pictures, seed: int, keep: Path) -> Encoder:
    """Train an encoder through all rounds and return it; `keep` holds the latest state."""
    torch.manual_seed(seed)
    encoder = Encoder()
    heads = Heads(SEVERITIES, encoder)
    for number, training in enumerate(ROUNDS):
        run_encoder(encoder, heads, data, check, training, seed + number, keep)
    return encoder


def run_encoder(
    encoder: Encoder, heads: Heads, data: Pictures, check: Pictures, training: Round, seed: int, keep: Path
) -> None:
    """One round of AdamW with a short warm-up and a cosine to zero."""
    steps, rate = training.steps, training.rate
    label_weights = torch.tensor(training.label_weights)
    rng = torch.Generator().manual_seed(seed)
    targets = Targets(data)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps, 150))
    encoder.train()
    started, order = time.monotonic(), torch.empty(0, dtype=torch.long)
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order = torch.randperm(len(data.cases), generator=rng)
        rows, order = order[:BATCH], order[BATCH:]
        shown = show(targets, rows, rng)
        loss = truth_loss(heads, targets, shown, encoder(encoder.normalise(shown.pixels)), label_weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0:
            print(f"vision step {step} loss {loss.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
        if step % 500 == 0 or step == steps:
            torch.save({"encoder": encoder.state_dict(), "heads": heads.state_dict(), "step": step}, keep)
            report_f1(label_logits(encoder, heads, check) > 0, check.labels)


def warm_cosine(step: int, steps: int, warm: int) -> float:
    """Learning-rate factor: linear warm-up, then a cosine down to zero."""
    return min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / steps)))


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures of one step: some mirrored, all a little changed."""

    rows: Tensor
    """(n,) numbers of the cases among the targets."""
    flip: Tensor
    """(n,) 1 where a case is mirrored, else 0."""
    pixels: Tensor
    """(n, 224, 224), 0..255."""


def show(targets: Targets, rows: Tensor, rng: torch.Generator) -> Shown:
    """Take pictures by their numbers, mirror half of them and augment all."""
    flip = (torch.rand(len(rows), generator=rng) < 0.5).long()
    pixels = targets.pixels[rows]
    pixels = torch.where(flip[:, None, None] == 1, pixels.flip(2), pixels)
    return Shown(rows, flip, augment(pixels, rng))


def truth_loss(
    heads: Heads, targets: Targets, shown: Shown, seen: tuple[Tensor, Tensor], label_weights: Tensor
) -> Tensor:
    """How far the heads are from what is drawn; seen: features (n, ...) and the last grid of the pictures."""
    flip, rows = shown.flip, shown.rows
    features, cells = seen[0].flatten(1), seen[1]
    labels = binary_cross_entropy_with_logits(
        heads.labels(features),
        targets.labels[flip, rows],
        weight=label_weights,
        pos_weight=torch.full_like(label_weights, _POSITIVE_WEIGHT),
    )
    known = targets.known[flip, rows]
    severity = binary_cross_entropy_with_logits(
        heads.severity(features), targets.severity[flip, rows], weight=known, reduction="sum"
    ) / known.sum().clamp(min=1)
    places = binary_cross_entropy_with_logits(
        heads.grid(cells),
        targets.places[flip, rows].float(),
        pos_weight=torch.full((N_PLACES,), _PLACE_WEIGHT),
    )
    return labels + 0.2 * severity + 2 * places


@torch.no_grad()
def features_of(encoder: Eye, pixels: Tensor) -> Tensor:
    """Features (n, ...) of uint8 pictures."""
    encoder.eval()
    parts = [encoder(encoder.normalise(pixels[rows]))[0] for rows in batches(len(pixels), 64)]
    encoder.train()
    return torch.cat(parts)


def label_logits(encoder: Eye, heads: Heads, data: Pictures) -> NDArray[np.float32]:
    """Label logits (n, 13) of a data set."""
    with torch.no_grad():
        logits = heads.labels(features_of(encoder, torch.from_numpy(data.pixels)).flatten(1))
    return np.asarray(logits.numpy(), np.float32)


def report_f1(said: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Print F1 of every label and return their mean."""
    hits = (said & truth).sum(0)
    f1 = 2 * hits / np.maximum(said.sum(0) + truth.sum(0), 1)
    print("  " + " ".join(f"{value:.2f}" for value in f1), f"mean {f1.mean():.3f}", flush=True)
    return float(f1.mean())
