"""What the learnt gate looks at: a coarse picture as numbers, the same ones in training and at run time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.imaging.pixels import equalize

GRID = 64
"""Cells on a side of the coarse picture."""
EVEN = 12
"""Grey levels by which the pixels of a row or column may differ that belongs to a frame: lossy files make some."""
INSIDE_MIN_PX = 16
BLOCKS = 8
"""Blocks on a side, each with a histogram of the directions in which it becomes brighter."""
DIRECTIONS = 12
"""Of a full turn: signed, so that the inverse of a picture has other numbers."""
TONES = 16
"""Cells on a side of the grey picture, and bins of the histogram of grey levels."""
FLAT = 2.0
"""Gradient, in grey levels a cell, of a block that is no more than even."""
N_FEATURES = BLOCKS * BLOCKS * DIRECTIONS + TONES * TONES + TONES


def sampled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every nth row and column: 4 * GRID pixels on the shorter side where there are as many, fewer than twice that."""
    step = max(1, min(pixels.shape) // (4 * GRID))
    return np.ascontiguousarray(pixels[::step, ::step])


def coarse(sample: NDArray[np.uint8]) -> NDArray[np.float32]:
    """GRID x GRID mean grey levels (0..255) of a picture (rows, columns), without its frame and equalised."""
    return box_means(equalize(without_frame(sample)), GRID)


def without_frame(sample: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture inside even rows and columns at its edges; all of it where next to nothing would be left."""
    down, across = (_uneven(sample, axis) for axis in (1, 0))
    if min(down.size, across.size) < INSIDE_MIN_PX:
        return sample
    return np.ascontiguousarray(sample[down[0] : down[-1] + 1, across[0] : across[-1] + 1])


def _uneven(sample: NDArray[np.uint8], axis: int) -> NDArray[np.int64]:
    return np.flatnonzero(sample.max(axis) - sample.min(axis) > EVEN)


def box_means(sample: NDArray[np.uint8], cells: int) -> NDArray[np.float32]:
    """(cells, cells) means of the boxes that a grid cuts a picture into; (rows, columns) may be smaller."""
    down, height = _borders(sample.shape[0], cells)
    across, width = _borders(sample.shape[1], cells)
    bands = np.add.reduceat(sample, down, axis=0, dtype=np.int32)
    totals = np.add.reduceat(bands, across, axis=1)
    return np.asarray(totals / np.outer(height, width), np.float32)


def _borders(length: int, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel and number of pixels of each cell: one at least."""
    edges = np.arange(cells + 1) * length // cells
    return edges[:-1], np.maximum(1, np.diff(edges))


def features(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, N_FEATURES) for n coarse pictures (n, GRID, GRID): directions of edges, grey picture, histogram."""
    n = len(grids)
    tones = grids.reshape(n, TONES, GRID // TONES, TONES, GRID // TONES).mean((2, 4)) / np.float32(127.5) - 1
    return np.concatenate([_directions(grids), tones.reshape(n, -1), _histogram(grids)], 1, dtype=np.float32)


def _directions(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, BLOCKS * BLOCKS * DIRECTIONS): square roots of each block's shares of edge strength."""
    down, across = np.gradient(grids, axis=(1, 2))
    strength = np.hypot(down, across)
    turn = (np.arctan2(down, across) / np.float32(2 * np.pi) * DIRECTIONS) % DIRECTIONS
    lower = np.minimum(turn.astype(np.int64), DIRECTIONS - 1)
    part = turn - lower
    block = np.arange(GRID) * BLOCKS // GRID
    place = (np.arange(len(grids))[:, None, None] * BLOCKS + block[:, None]) * BLOCKS + block
    size = len(grids) * BLOCKS * BLOCKS * DIRECTIONS
    sums = np.zeros(size)
    for direction, share in ((lower, 1 - part), ((lower + 1) % DIRECTIONS, part)):
        sums += np.bincount((place * DIRECTIONS + direction).ravel(), (strength * share).ravel(), size)
    blocks = sums.reshape(-1, DIRECTIONS) / (GRID // BLOCKS) ** 2
    shares = blocks / (blocks.sum(1, keepdims=True) + FLAT)
    return np.asarray(np.sqrt(shares).reshape(len(grids), -1), np.float32)


def _histogram(grids: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, TONES) shares of the cells in each range of grey levels."""
    level = np.minimum(grids.astype(np.int64) * TONES // 256, TONES - 1).reshape(len(grids), -1)
    size = len(grids) * TONES
    counts = np.bincount((np.arange(len(grids))[:, None] * TONES + level).ravel(), minlength=size)
    return (counts.reshape(-1, TONES) / (GRID * GRID)).astype(np.float32)
