"""Fitting the gate's small network to the copies: the same seed gives the same weights, bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy

from export.gate.copies import copies
from export.gate.pictures import Original
from xraygpt_edge.imaging.gate.classifier import CLASSES, Classifier
from xraygpt_edge.imaging.gate.features import N_FEATURES, coarse, features, sampled

N_HIDDEN = 32
EPOCHS = 8
BATCH = 512
RATE = 4e-3
DECAY = 1e-3
DROPOUT = 0.3
HEAVY = ("upright", "other")
"""Classes that weigh three times as much as each of the others."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Training copies as the network sees them."""

    grids: NDArray[np.uint8]
    """(n, 64, 64) coarse pictures, rounded."""
    classes: NDArray[np.int64]
    """(n,) index into CLASSES."""
    originals: NDArray[np.int64]
    """(n,) index of the picture that each was made from."""


def make_copies(originals: Sequence[Original], seed: int) -> Copies:
    """All training copies; those of one picture depend on seed and its place alone."""
    films = [original for original in originals if original.kind == "frontal"]
    of_source = {source: [f for f in films if f.source == source] for source in {f.source for f in films}}
    rows = [
        (np.rint(coarse(sampled(picture))).astype(np.uint8), CLASSES.index(name), place)
        for place, original in enumerate(originals)
        for name, picture in copies(original, of_source.get(original.source, films), _random(seed, place))
    ]
    grids, classes, places = zip(*rows, strict=True)
    return Copies(np.stack(grids), np.array(classes), np.array(places))


def _random(seed: int, place: int) -> np.random.Generator:
    return np.random.default_rng((seed, 3, place))


def described(grids: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Features of many coarse pictures, some hundred at a time."""
    parts = range(0, len(grids), BATCH)
    return np.concatenate([features(grids[start : start + BATCH].astype(np.float32)) for start in parts])


def fit(inputs: NDArray[np.float32], classes: NDArray[np.int64], sources: NDArray[Any], seed: int) -> Classifier:
    """Train on features (n, N_FEATURES); one thread, so that the sums are always taken in the same order."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    mean, spread = inputs.mean(0), inputs.std(0) + np.float32(0.02)
    x, y = torch.from_numpy((inputs - mean) / spread), torch.from_numpy(classes)
    weights = torch.from_numpy(_weights(classes, sources))
    first, second = nn.Linear(N_FEATURES, N_HIDDEN), nn.Linear(N_HIDDEN, len(CLASSES))
    net = nn.Sequential(nn.Dropout(DROPOUT / 2), first, nn.ReLU(), nn.Dropout(DROPOUT), second)
    steps = len(y) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(y))[: steps * BATCH].view(steps, BATCH):
            loss = (cross_entropy(net(x[rows]), y[rows], reduction="none") * weights[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return _folded(first, second, mean, spread)


def _weights(classes: NDArray[np.int64], sources: NDArray[Any]) -> NDArray[np.float32]:
    """Of each copy: every class counts alike, and within one a small source for more than its share."""
    weights = np.ones(len(classes))
    for number, name in enumerate(CLASSES):
        rows = classes == number
        for source in np.unique(sources[rows]):
            weights[rows & (sources == source)] = np.sum(rows & (sources == source)) ** -0.5
        weights[rows] *= (3 if name in HEAVY else 1) / max(weights[rows].sum(), 1e-9)
    return np.asarray(weights / weights.mean(), np.float32)


def _folded(first: nn.Linear, second: nn.Linear, mean: NDArray[np.float32], spread: NDArray[np.float32]) -> Classifier:
    """The scaling of the inputs becomes part of the first layer; 16 bits a weight, as they are kept."""
    with torch.no_grad():
        hidden = first.weight.numpy().T / spread[:, None]
        bias = first.bias.numpy() - mean @ hidden
        arrays = (hidden, bias, second.weight.numpy().T.copy(), second.bias.numpy())
    rounded = [array.astype(np.float16).astype(np.float32) for array in arrays]
    return Classifier(*rounded)
