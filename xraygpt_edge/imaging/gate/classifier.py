"""The learnt gate: a network of one hidden layer, a few kilobytes of weights, numpy alone.

`python -m export gate` makes the weights, `docs/decisions/0009-learnt-gate.md` says how and why.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.gate.features import features

FOLDER = Path(__file__).parent
CLASSES = (
    "upright", "inverted", "half", "inverted half", "left quarter", "right quarter",
    "several", "tilted", "part", "scene", "lateral", "other",
)  # fmt: skip
"""What a picture may be taken for: a good frontal film, one spoilt in a way that can be named, or something else."""


WAYS = {
    (0, True): "inverted",
    (2, False): "half",
    (2, True): "inverted half",
    (1, False): "left quarter",
    (1, True): "left quarter",
    (3, False): "right quarter",
    (3, True): "right quarter",
}
"""Quarters by which a film may be turned, counted counter-clockwise, and whether it is inverted: its class."""


@dataclass(frozen=True, slots=True)
class Classifier:
    """The weights. Changes nothing once loaded, so threads may share it."""

    hidden: NDArray[np.float32]
    """(n_features, n_hidden)."""
    hidden_bias: NDArray[np.float32]
    output: NDArray[np.float32]
    """(n_hidden, n_classes)."""
    output_bias: NDArray[np.float32]

    def log_probabilities(self, grids: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, n_classes) for n coarse pictures (n, 64, 64)."""
        active = np.maximum(features(grids) @ self.hidden + self.hidden_bias, 0)
        logits = active @ self.output + self.output_bias
        logits -= logits.max(1, keepdims=True)
        return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)), np.float32)

    def odds(self, grid: NDArray[np.float32]) -> float:
        """Log odds that a coarse picture (64, 64) is a good frontal film: above 0 it is likelier than all else."""
        first, *others = self.log_probabilities(grid[np.newaxis])[0].tolist()
        return float(first - np.logaddexp.reduce(others))

    def fault(self, grid: NDArray[np.float32]) -> str:
        """What it is, if it is no good frontal film: one of CLASSES, judged as it is and put upright in each way."""
        ways = [_put_upright(grid, turns, inverted=inverted) for turns, inverted in WAYS]
        seen = self.log_probabilities(np.stack([grid, *ways]))
        evidence = dict(zip(CLASSES[1:], seen[0, 1:].tolist(), strict=True))
        for name, upright in zip(WAYS.values(), seen[1:, 0].tolist(), strict=True):
            evidence[name] = max(evidence[name], upright)
        return max(evidence, key=evidence.__getitem__)


def _put_upright(grid: NDArray[np.float32], quarters: int, *, inverted: bool) -> NDArray[np.float32]:
    """Turned back by quarters, counted counter-clockwise, and inverted."""
    turned = np.rot90(grid, -quarters)
    return 255 - turned if inverted else turned


@cache
def load(folder: Path = FOLDER) -> Classifier:
    """The weights of this installation, read once; raises InputRefused when they are damaged."""
    try:
        card = json.loads((folder / "weights.json").read_bytes())
        content = (folder / "weights.npz").read_bytes()
        if hashlib.sha256(content).hexdigest() != card["sha256"]:
            raise InputRefused("E-IMG-031", "the hash differs")
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            weights = {name: arrays[name].astype(np.float32) for name in arrays.files}
        return Classifier(**weights)
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InputRefused("E-IMG-031", type(error).__name__) from None
