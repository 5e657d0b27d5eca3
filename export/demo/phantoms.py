"""Procedural chest films: stylised frontal radiographs drawn with numpy from a case and its seed.

Everything is a smooth function of body coordinates, so a phantom looks the same at every size. The
picture models X-ray density (more tissue is brighter) under a saturating tone curve, then exposure,
noise and collimation. Body coordinates: x from -1 (the patient's right, on the left of the film) to 1,
y from -1 (head) to 1 (feet).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .findings import PLACED_LABELS, Case

Plane = NDArray[np.floating[Any]]
"""One value for each pixel: float32."""

MAX_VALUE = 4095
NOISE_GRID_PX = 256
PLACE_GRID = 14
_MAP_PX = 4 * PLACE_GRID

_HEART_WIDTH = {"": (0.275, 0.315), "mild": (0.385, 0.41), "marked": (0.435, 0.465)}
_FLUID_LEVEL = {"small": (0.24, 0.30), "moderate": (0.03, 0.1), "large": (-0.3, -0.16)}
_LUNG_LEFT = {"small": (0.74, 0.8), "large": (0.48, 0.58)}
_OPACITY = {"patchy": (0.36, 0.46), "dense": (0.55, 0.7)}
_HAZE = {"mild": (0.2, 0.26), "marked": (0.36, 0.46)}


@dataclass(frozen=True, slots=True)
class Side:
    """One lung on a grid: `lateral` is the distance from the midline, `across` and `down` run from -1 to 1."""

    lateral: Plane
    across: Plane
    radius: Plane
    column: Plane
    diaphragm_y: Plane


@dataclass(frozen=True, slots=True)
class Draws:
    """Every random number of one phantom, drawn in a fixed order, so that the size never changes them."""

    pose: NDArray[np.float64]
    anatomy: NDArray[np.float64]
    severity: NDArray[np.float64]
    exposure: NDArray[np.float64]
    noise: Plane
    coarse: Plane
    texture: Plane


def draw(case: Case, size_px: int = 256) -> NDArray[np.uint16]:
    """Draw a case as a square film of 12-bit values (0..4095, bright is dense), shape (size_px, size_px)."""
    draws = _draws(case.seed)
    x, y = _body_coordinates(draws, size_px)
    sides = (_side(x, y, -1, draws), _side(x, y, 1, draws))
    density = _density(case, draws, x, y, sides, size_px)
    return _expose(density, draws, size_px)


def places(case: Case) -> NDArray[np.bool_]:
    """Where each of `PLACED_LABELS` lies on the film: shape (14, 14, 10), true where a cell shows it."""
    draws = _draws(case.seed)
    x, y = _body_coordinates(draws, _MAP_PX)
    maps = np.zeros((_MAP_PX, _MAP_PX, len(PLACED_LABELS)), np.float32)
    for side, sign in enumerate((-1, 1)):
        lung = _side(x, y, sign, draws)
        if case.effusion[side]:
            maps[..., side] = _fluid(case, draws, lung, y, side)
        if case.pneumothorax[side]:
            maps[..., 2 + side] = _free_air(case, draws, lung, y, side)[0]
        for zone in (2 * side, 2 * side + 1):
            if case.consolidation[zone]:
                maps[..., 4 + zone] = _blob(draws, lung, y, zone)
        if case.nodule[side]:
            maps[..., 8 + side] = _disc(case, draws, lung, y, side)
    cells = maps.reshape(PLACE_GRID, 4, PLACE_GRID, 4, -1).mean(axis=(1, 3))
    return cells > np.array([0.3] * 2 + [0.3] * 2 + [0.35] * 4 + [0.2] * 2, np.float32)


def _draws(seed: int) -> Draws:
    rng = np.random.default_rng((seed, 2))
    return Draws(
        pose=rng.uniform(-1, 1, 6),
        anatomy=rng.uniform(-1, 1, 24),
        severity=rng.uniform(0, 1, 48),
        exposure=rng.uniform(0, 1, 12),
        noise=rng.standard_normal((NOISE_GRID_PX, NOISE_GRID_PX), np.float32),
        coarse=rng.standard_normal((9, 9), np.float32),
        texture=rng.standard_normal((48, 48), np.float32),
    )


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + (limits[1] - limits[0]) * float(share)


def _soft(distance: Plane, width: float) -> Plane:
    """0 well below zero, 1 well above, with a smooth edge of about `width`."""
    t = np.clip(distance * np.float32(0.5 / width) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=8)
def _stretch(size_px: int, cells: int) -> Plane:
    """Linear interpolation from `cells` values to `size_px`, as a matrix (size_px, cells)."""
    at = np.clip((np.arange(size_px) + 0.5) * cells / size_px - 0.5, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(cells)[None])).astype(np.float32)


def _spread(field: Plane, size_px: int) -> Plane:
    stretch = _stretch(size_px, field.shape[0])
    return field if size_px == field.shape[0] else stretch @ field @ stretch.T


def _body_coordinates(draws: Draws, size_px: int) -> tuple[Plane, Plane]:
    shift_x, shift_y, turn, scale, stretch, _ = draws.pose
    axis = ((np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1).astype(np.float32)
    u, v = axis[None] - np.float32(0.07 * shift_x), axis[:, None] - np.float32(0.06 * shift_y)
    angle, zoom = np.radians(4.0 * turn), 1 + 0.07 * scale
    cos, sin = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
    return (cos * u + sin * v) * np.float32(1 + 0.04 * stretch), cos * v - sin * u


def _side(x: Plane, y: Plane, sign: int, draws: Draws) -> Side:
    a = draws.anatomy[0:3] if sign < 0 else draws.anatomy[3:6]
    lateral = x * np.float32(sign)
    middle = np.float32(0.425 + 0.012 * a[0]) + np.float32(0.05) * y
    across = (lateral - middle) / (np.float32(0.31) + np.float32(0.07) * y)
    down = (y + np.float32(0.12)) / np.float32(0.66 + 0.02 * a[1])
    across2, down2 = across * across, down * down
    radius = across2 * (0.5 + 0.5 * across2) + down2 * (0.5 + 0.5 * down2)
    base = np.float32(0.44 + 0.03 * a[2] + (0.0 if sign < 0 else 0.04))
    diaphragm_y = base - np.float32(0.13) * (1 - np.minimum(across2, 1.5))
    return Side(lateral, across, radius, _soft(1 - radius, 0.07), diaphragm_y)


def _fluid(case: Case, draws: Draws, lung: Side, y: Plane, side: int) -> Plane:
    level = _between(_FLUID_LEVEL[case.effusion[side]], draws.severity[side])
    climb = np.float32(0.17) * np.clip(lung.across, -0.4, 1.1) ** 2 * np.sign(lung.across)
    return lung.column * _soft(y - np.float32(level) + climb, 0.03)


def _free_air(case: Case, draws: Draws, lung: Side, y: Plane, side: int) -> tuple[Plane, Plane]:
    """The air rim outside the collapsed lung, and the thin pleural line at its edge."""
    left = np.float32(_between(_LUNG_LEFT[case.pneumothorax[side]], draws.severity[2 + side]))
    across = (lung.across + (1 - left) * np.float32(0.8)) / left
    down = (y + np.float32(0.12) - (1 - left) * np.float32(0.66)) / (np.float32(0.68) * left)
    radius = np.sqrt(across * across + down * down)
    inside = lung.column * _soft(lung.diaphragm_y - y, 0.02)
    rim = inside * _soft(radius - 1, 0.03)
    line = inside * np.maximum(0, 1 - np.abs(radius - 1) / np.float32(0.05))
    return rim, line


def _blob(draws: Draws, lung: Side, y: Plane, zone: int) -> Plane:
    s = draws.severity[8 + 4 * zone : 12 + 4 * zone]
    centre_x = _between((0.36, 0.5) if zone % 2 == 0 else (0.45, 0.56), s[0])
    centre_y = _between((-0.46, -0.32), s[1]) if zone % 2 == 0 else _between((0.06, 0.18), s[1])
    width, height = _between((0.14, 0.19), s[2]), _between((0.12, 0.17), s[3])
    across = (lung.lateral - np.float32(centre_x)) / np.float32(width)
    down = (y - np.float32(centre_y)) / np.float32(height)
    return lung.column * _soft(1 - across * across - down * down, 0.5)


def _disc(case: Case, draws: Draws, lung: Side, y: Plane, side: int) -> Plane:
    s = draws.severity[24 + 3 * side : 27 + 3 * side]
    upper = case.nodule[side] == "upper"
    centre_x = np.float32(_between((0.36, 0.54) if upper else (0.48, 0.6), s[0]))
    centre_y = np.float32(_between((-0.5, -0.26) if upper else (0.0, 0.2), s[1]))
    size = _between((0.058, 0.082), s[2])
    distance = np.sqrt((lung.lateral - centre_x) ** 2 + (y - centre_y) ** 2)
    return _soft(np.float32(size) - distance, 0.018)


def _density(case: Case, draws: Draws, x: Plane, y: Plane, sides: tuple[Side, Side], size_px: int) -> Plane:
    a = draws.anatomy
    wide = np.abs(x) - np.float32(0.86) - np.float32(0.1) * np.minimum(y, 0) * np.float32(-1)
    density = _soft(-wide, 0.1) * _soft(y + np.float32(1.05) - np.float32(0.4) * np.abs(x) ** 2, 0.1)
    density = density * (1 + np.float32(0.12) * _spread(draws.coarse, size_px))
    texture = _spread(draws.texture, size_px)
    aerated = []
    for side, lung in enumerate(sides):
        air, added = _lung(case, draws, lung, y, side, texture)
        density = density * (1 - np.float32(0.72) * air) + added
        aerated.append(air)
    density += _bones(draws, x, y)
    middle = _soft(np.float32(0.125 + 0.015 * a[6]) + np.float32(0.03) * y - np.abs(x), 0.05)
    density = np.maximum(density, middle * np.float32(1.0) * _soft(y + 1, 0.2))
    density += _soft(np.float32(0.07) - np.abs(x), 0.03) * (
        np.float32(0.18) + np.float32(0.07) * np.cos(y * np.float32(46) + np.float32(3 * a[7]))
    )
    density -= np.float32(0.25) * _soft(np.float32(0.035) - np.abs(x), 0.02) * _soft(-y - np.float32(0.25), 0.1)
    density = np.maximum(density, _heart(case, draws, x, y) * np.float32(1.12))
    if case.device:
        density += _pacemaker(case, draws, x, y)
    return density


def _lung(case: Case, draws: Draws, lung: Side, y: Plane, side: int, texture: Plane) -> tuple[Plane, Plane]:
    """The share of air in one lung (0..1), and the density that vessels and findings add to it."""
    s = draws.severity
    air = lung.column * _soft(lung.diaphragm_y - y, 0.02)
    from_hilum_x, from_hilum_y = lung.lateral - np.float32(0.15), y + np.float32(0.02)
    hilum2 = from_hilum_x**2 + from_hilum_y**2
    added = air * _vessels(draws, from_hilum_x, from_hilum_y, hilum2, side)
    if case.oedema:
        haze = np.float32(_between(_HAZE[case.oedema], s[30]))
        added = added + air * haze * (1 + np.float32(0.25) * texture) * _soft(0.2 - hilum2, 0.16)
    for zone in (2 * side, 2 * side + 1):
        if case.consolidation[zone]:
            opacity = np.float32(_between(_OPACITY[case.consolidation[zone]], s[31 + zone]))
            added = added + air * opacity * _blob(draws, lung, y, zone) * (1 + np.float32(0.3) * texture)
    if case.nodule[side]:
        added = added + np.float32(_between((0.42, 0.56), s[36 + side])) * _disc(case, draws, lung, y, side)
    if case.pneumothorax[side]:
        rim, line = _free_air(case, draws, lung, y, side)
        added = added * (1 - rim) - np.float32(0.2) * rim + np.float32(0.3) * line + 0.08 * (air - rim)
    if case.effusion[side]:
        fluid = _fluid(case, draws, lung, y, side)
        air, added = air * (1 - fluid), added * (1 - fluid)
    return air, added


def _vessels(draws: Draws, dx: Plane, dy: Plane, hilum2: Plane, side: int) -> Plane:
    """Branches that leave the hilum and thin out towards the chest wall."""
    a = draws.anatomy[8 + 4 * side : 12 + 4 * side]
    reach = np.sqrt(hilum2)
    angle = np.arctan2(dy, dx)
    wave = np.cos(5 * angle + np.float32(3 * a[0]) + 7 * reach) + np.cos(9 * angle + np.float32(3 * a[1]) - 9 * reach)
    branch = np.clip(wave - np.float32(0.5), 0, None)
    fade = 1 / (1 + hilum2 * np.float32(14))
    hilum = _soft(np.float32(0.02) - hilum2, 0.02)
    return np.float32(0.11 + 0.03 * a[2]) * branch * fade + np.float32(0.2) * hilum


def _bones(draws: Draws, x: Plane, y: Plane) -> Plane:
    a = draws.anatomy
    wide = np.abs(x)
    rear = np.cos((y - np.float32(0.3) * wide**2) * np.float32(2 * np.pi / 0.15) + np.float32(3 * a[16]))
    front = np.cos((y - np.float32(0.55) * wide) * np.float32(2 * np.pi / 0.19) + np.float32(3 * a[17]))
    ribs = np.float32(0.1 + 0.025 * a[18]) * np.clip(rear - np.float32(0.45), 0, None)
    ribs += np.float32(0.06) * np.clip(front - np.float32(0.6), 0, None)
    cage = _soft(np.float32(0.62) - np.abs(y + np.float32(0.1)), 0.1) * _soft(np.float32(0.8) - wide, 0.05)
    slope = y + np.float32(0.6 + 0.03 * a[19]) + np.float32(0.16) * (wide - np.float32(0.1))
    clavicles = _soft(np.float32(0.028) - np.abs(slope), 0.012) * _soft(np.float32(0.7) - wide, 0.04)
    return ribs * cage + np.float32(0.22) * clavicles * _soft(wide - np.float32(0.08), 0.02)


def _heart(case: Case, draws: Draws, x: Plane, y: Plane) -> Plane:
    half = _between(_HEART_WIDTH[case.heart], draws.severity[40])
    across = (x - np.float32(0.25 * half)) / np.float32(half)
    down = (y - np.float32(0.24)) / np.float32(0.2 + 0.3 * half)
    tilt = across * across + down * down - np.float32(0.5) * across * down
    return _soft(1 - tilt, 0.12) * _soft(np.float32(0.52) - y, 0.1)


def _pacemaker(case: Case, draws: Draws, x: Plane, y: Plane) -> Plane:
    """A metal box below the clavicle and a lead that ends in the heart."""
    s = draws.severity[41:45]
    lateral = x * np.float32(-1 if case.device == "right" else 1)
    centre_x, centre_y = np.float32(_between((0.5, 0.6), s[0])), np.float32(_between((-0.52, -0.44), s[1]))
    across, down = (lateral - centre_x) / np.float32(0.095), (y - centre_y) / np.float32(0.075)
    box = _soft(1 - across**4 - down**4, 0.25)
    path_y = np.float32(-0.52) + np.float32(2.6) * (lateral - np.float32(0.28)) ** 2
    upper = _soft(np.float32(0.013) - np.abs(y - path_y) / (1 + 3 * np.abs(lateral - 0.28)), 0.008)
    upper *= _soft(centre_x - lateral, 0.02) * _soft(lateral - np.float32(0.02), 0.02)
    drop = _soft(np.float32(0.013) - np.abs(lateral - np.float32(0.03)), 0.008)
    drop *= _soft(y + np.float32(0.36), 0.02) * _soft(np.float32(_between((0.2, 0.34), s[2])) - y, 0.02)
    return np.float32(1.5) * box + np.float32(0.5) * np.maximum(upper, drop)


def _expose(density: Plane, draws: Draws, size_px: int) -> NDArray[np.uint16]:
    """Tone curve, gain, gamma, noise and collimation, to 12-bit values."""
    e = draws.exposure
    light = 1 - np.exp(np.float32(-_between((1.0, 1.7), e[0])) * np.maximum(density, 0))
    light = light ** np.float32(_between((0.8, 1.25), e[1]))
    light += np.float32(_between((0.006, 0.02), e[2])) * _spread(draws.noise, size_px)
    values = np.float32(_between((40, 300), e[3])) + np.float32(_between((2800, 3700), e[4])) * light
    if e[5] < 0.3:
        axis = np.abs((np.arange(size_px) + 0.5) / size_px * 2 - 1)
        inside = (axis[:, None] < _between((0.9, 0.98), e[6])) & (axis[None] < _between((0.9, 0.98), e[7]))
        values = np.where(inside, values, np.float32(0))
    return np.clip(np.rint(values), 0, MAX_VALUE).astype(np.uint16)
