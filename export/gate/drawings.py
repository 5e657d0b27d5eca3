"""Pictures that are no frontal chest, drawn from random numbers: what the collected pictures lack.

Every drawing is uint8 (size, size) or larger. They are crude on purpose: they show the kind, not an example.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from export.gate.spoiling import Picture

Plane = NDArray[np.float64]


def plane(size: int) -> tuple[Plane, Plane]:
    """Coordinates across and down, from -1 to 1."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    return np.broadcast_to(axis, (size, size)), np.broadcast_to(axis[:, None], (size, size))


def soft(distance: Plane, width: float) -> Plane:
    """0 well below zero, 1 well above."""
    return np.clip(distance / width + 0.5, 0, 1)


def clouds(size: int, rng: np.random.Generator, slope: float) -> Plane:
    """Noise whose amplitude falls as frequency ** -slope, mean 0, deviation 1."""
    down, across = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None]
    radius = np.hypot(down, across)
    radius[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * radius**-slope
    spectrum[0, 0] = 0
    field: Plane = np.fft.irfft2(spectrum, (size, size))
    return field / field.std()


def grey(values: Plane) -> Picture:
    """0..1 to 0..255."""
    return np.clip(values * 255, 0, 255).astype(np.uint8)


def turned(rng: np.random.Generator, x: Plane, y: Plane, angle: float) -> tuple[Plane, Plane]:
    """Coordinates about another middle, at another angle."""
    u, v = x - rng.uniform(-0.15, 0.15), y - rng.uniform(-0.15, 0.15)
    return np.cos(angle) * u + np.sin(angle) * v, np.cos(angle) * v - np.sin(angle) * u


def axial_slice(size: int, rng: np.random.Generator) -> Picture:
    """A cross-section of a trunk: an oval body on black, two dark lungs or none, a spine at the back."""
    x, y = plane(size)
    wide, high = rng.uniform(0.7, 1.02), rng.uniform(0.45, 0.85)
    x, y = x / wide - rng.uniform(-0.06, 0.06), y / high - rng.uniform(-0.1, 0.1)
    radius = (np.abs(x) ** 2.4 + np.abs(y) ** 2.4) ** (1 / 2.4)
    tissue, air, outside = rng.uniform(0.35, 0.75), rng.uniform(0, 0.2), rng.choice([0.0, 0.0, 0.03, 0.5])
    values = np.where(radius < 1, tissue, outside) + soft(1 - radius, 0.03) * soft(radius - 0.9, 0.05) * 0.1
    if rng.random() < 0.8:
        values = _with_lungs(values, x, y, air, rng)
    ribs = soft(np.cos(np.arctan2(y, x) * rng.integers(10, 18)) - 0.4, 0.3) * soft(0.05 - np.abs(radius - 0.86), 0.03)
    spine = soft(rng.uniform(0.14, 0.2) - np.hypot(x * wide, (y - rng.uniform(0.5, 0.65)) * high), 0.04)
    values = np.maximum(values, np.maximum(ribs, spine) * rng.uniform(0.7, 1))
    if rng.random() < 0.4:
        values = np.maximum(values, soft(0.02 - np.abs(y - 1.06 - 0.1 * x * x), 0.01) * 0.7)
    return grey(values + 0.03 * clouds(size, rng, 0.8) * (radius < 1))


def _with_lungs(values: Plane, x: Plane, y: Plane, air: float, rng: np.random.Generator) -> Plane:
    gap, width, length = rng.uniform(0.42, 0.5), rng.uniform(0.3, 0.38), rng.uniform(0.5, 0.72)
    for side in (-1, 1):
        across, down = (x * side - gap) / (width * rng.uniform(0.8, 1.1)), (y + 0.03) / (length * rng.uniform(0.8, 1.1))
        lung = soft(1 - np.hypot(across, down), 0.08)
        vessels = np.clip(clouds(values.shape[0], rng, 0.9) - 1.2, 0, 1) * rng.uniform(0.1, 0.5)
        values = values * (1 - lung) + (air + vessels) * lung
    heart = soft(1 - np.hypot((x - 0.12) / 0.32, (y + 0.2) / 0.38), 0.1)
    return values * (1 - heart) + heart * np.maximum(values.max() * 0.8, 0.4)


def bones(size: int, rng: np.random.Generator) -> Picture:
    """Shafts with bright rims in a softer limb: one, two, or five that spread like fingers."""
    x, y = turned(rng, *plane(size), rng.choice([0, 0, 0, np.pi / 2, np.pi]) + rng.normal(0, 0.25))
    shafts = int(rng.choice([1, 1, 2, 2, 3, 5]))
    spread = rng.uniform(0.12, 0.35) if shafts < 4 else rng.uniform(0.06, 0.12)
    limb, bone = np.zeros((size, size)), np.zeros((size, size))
    width = rng.uniform(0.1, 0.24) if shafts < 3 else rng.uniform(0.05, 0.08)
    for number in range(shafts):
        at = (number - (shafts - 1) / 2) * 2 * spread
        across = x - at - y * at * rng.uniform(-0.5, 0.7)
        half = width * (1 + 0.5 * np.abs(y - rng.uniform(-0.2, 0.2)) ** 2 * rng.uniform(0, 2.5))
        joints = 1 - rng.uniform(0, 0.9) * soft(np.cos(y * rng.uniform(4, 12) + rng.uniform(0, 6)) - 0.95, 0.06)
        rim = soft(0.25 - np.abs(np.abs(across) / half - 0.8), 0.2)
        bone = np.maximum(bone, (soft(half - np.abs(across), 0.02) * 0.6 + rim * 0.4) * joints)
        limb = np.maximum(limb, soft(half * rng.uniform(1.6, 3) - np.abs(across), 0.08))
    ends = soft(y + rng.uniform(0.4, 1.5), 0.1) * soft(rng.uniform(0.6, 1.8) - y, 0.1)
    values = (limb * rng.uniform(0.15, 0.5) + bone * rng.uniform(0.3, 0.6)) * ends
    values *= 1 + 0.1 * clouds(size, rng, 1.5)
    return grey(values + rng.choice([0, 0, 0.1, 0.3]))


def joint(size: int, rng: np.random.Generator) -> Picture:
    """A shoulder, hip or knee: a round head beside a socket, bright soft parts on one side, air on the other."""
    x, y = turned(rng, *plane(size), rng.normal(0, 0.3))
    side = rng.choice([-1, 1])
    x = x * side
    trunk = soft(rng.uniform(-0.1, 0.4) - x + 0.4 * y * rng.uniform(-1, 1), 0.15)
    head = soft(rng.uniform(0.22, 0.36) - np.hypot(x - 0.25, y + 0.25), 0.04)
    shaft = soft(0.14 - np.abs(x - 0.35 - 0.1 * y), 0.04) * soft(y + 0.2, 0.1)
    socket = soft(0.14 - np.abs(np.hypot(x - 0.25, y + 0.25) - 0.45), 0.06) * soft(0.1 - x, 0.1)
    blade = soft(0.06 - np.abs(y + 0.55 - 0.4 * x), 0.03) * soft(0.4 - x, 0.1)
    arm = soft(0.42 - np.abs(x - 0.35), 0.1) * soft(y + 0.7, 0.2)
    lung = soft(1 - np.hypot((x + 0.8) / 0.5, (y - 0.4) / 0.8), 0.2) * rng.choice([0, 0.35])
    values = 0.45 * np.maximum(trunk, arm) + 0.35 * np.maximum.reduce([head, shaft, socket, blade]) - lung
    return grey(values * (1 + 0.1 * clouds(size, rng, 1.5)))


def lateral_chest(size: int, rng: np.random.Generator) -> Picture:
    """A chest from the side: one field of air between the spine behind and the heart before, arms above."""
    x, y = turned(rng, *plane(size), rng.normal(0, 0.06))
    body = soft(rng.uniform(0.62, 0.95) - np.abs(x) + 0.15 * y, 0.1)
    front = -0.62 + 0.12 * np.cos(y * 2.2)
    back = 0.42 + 0.12 * np.cos(y * 2.0)
    air = soft(x - front, 0.12) * soft(back + 0.18 - x, 0.12)
    dome = rng.uniform(0.35, 0.6) + 0.35 * x * rng.uniform(0.4, 1)
    air = air * soft(dome - y, 0.06) * soft(y + rng.uniform(0.75, 0.95), 0.15)
    heart = soft(1 - np.hypot((x + 0.22) / rng.uniform(0.32, 0.42), (y - 0.2) / rng.uniform(0.3, 0.4)), 0.4)
    upper = soft(-0.45 - y, 0.25) * soft(0.5 - np.abs(x - 0.1), 0.3)
    spine = soft(0.12 - np.abs(x - back), 0.06) * (0.6 + 0.4 * np.cos(y * rng.uniform(16, 24)))
    ribs = 0.06 * np.cos((y - 0.7 * x) * rng.uniform(14, 22)) * air
    density = body * (0.75 - 0.5 * air) + 0.35 * heart * air + 0.3 * upper * body + 0.22 * spine * body + ribs
    density *= 1 + 0.06 * clouds(size, rng, 1.3)
    values = np.clip(density, 0, None) ** rng.uniform(0.7, 1.3)
    return grey(values[:, ::-1] if rng.random() < 0.5 else values)


def scenery(size: int, rng: np.random.Generator) -> Picture:
    """Like a photograph: things in front of each other, each with light and grain of its own."""
    image = Image.new("F", (size, size), 0.5)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(12, 120))):
        at, half = rng.uniform(0, size, 2), size * 0.03 * rng.pareto(1.5, 2) + size * 0.02
        box = [*(at - half), *(at + half)]
        (draw.ellipse if rng.random() < 0.6 else draw.rectangle)(box, fill=float(rng.random()))
    x, y = plane(size)
    light = 0.2 * (x * rng.uniform(-1, 1) + y * rng.uniform(-1, 1))
    grain = clouds(size, rng, rng.uniform(0.8, 1.6)) * rng.uniform(0.02, 0.15)
    soften = ImageFilter.GaussianBlur(float(rng.uniform(0.2, 2)))
    return np.asarray(Image.fromarray(grey(np.asarray(image) + light + grain)).filter(soften))


def abdomen(size: int, rng: np.random.Generator) -> Picture:
    """A trunk without lungs: a spine in the middle, bowel gas about it, wings of the pelvis below."""
    x, y = turned(rng, *plane(size), rng.normal(0, 0.05))
    waist = rng.uniform(0.6, 1.1) - 0.15 * np.cos(y * rng.uniform(1.5, 3)) + 0.1 * y
    body = soft(waist - np.abs(x), rng.uniform(0.1, 0.4))
    spine = soft(rng.uniform(0.1, 0.16) - np.abs(x), 0.05) * (0.8 + 0.2 * np.cos(y * rng.uniform(12, 20)))
    low = rng.uniform(0.2, 0.9)
    wing = np.hypot((np.abs(x) - 0.42) / rng.uniform(0.25, 0.4), (y - low) / rng.uniform(0.25, 0.4))
    pelvis = soft(1 - wing, 0.2) * rng.uniform(0.5, 1) + soft(0.12 - np.abs(wing - 1), 0.1)
    gas = np.clip(clouds(size, rng, 1.8) - rng.uniform(0.6, 1.4), 0, 1) * rng.uniform(0, 0.6)
    dome = soft(-rng.uniform(0.6, 1.3) - y + 0.3 * np.abs(x), 0.1) * soft(np.abs(x) - 0.12, 0.05) * 0.5
    tissue = rng.uniform(0.4, 0.6) + 0.03 * clouds(size, rng, 0.3)
    return grey(body * (tissue + 0.3 * spine + 0.2 * pelvis - gas - dome))


def noise(size: int, rng: np.random.Generator) -> Picture:
    """Nothing but noise, of any grain."""
    cells = round(2 * size * float(np.exp(rng.uniform(-3, 0))))
    levels = rng.random((cells, cells)) if rng.random() < 0.5 else 0.5 + 0.2 * rng.standard_normal((cells, cells))
    return np.asarray(Image.fromarray(grey(levels)).resize((2 * size, 2 * size), Image.Resampling.NEAREST))


def texture(size: int, rng: np.random.Generator) -> Picture:
    """Clouds, grain, stripes, ramps or bare noise."""
    x, y = plane(size)
    kind = rng.integers(4)
    if kind == 0:
        return grey(0.5 + 0.2 * clouds(size, rng, rng.uniform(0, 2.5)))
    angle = rng.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    if kind == 1:
        return grey(0.5 + 0.5 * np.sin(along * rng.uniform(2, 60)) * np.cos(y * rng.uniform(0, 20)))
    if kind == 2:
        return grey(0.5 + along * rng.uniform(0.3, 0.7) + rng.uniform(0, 0.2) * clouds(size, rng, 1.5))
    cells = rng.integers(2, 24, 2)
    return np.asarray(
        Image.fromarray(grey(rng.random(cells))).resize((size, size), Image.Resampling(int(rng.choice([0, 2]))))
    )


def paper(size: int, rng: np.random.Generator) -> Picture:
    """A page, a form or a diagram: lines of marks, boxes, curves, on white or on black."""
    image = Image.new("L", (size, size), 255)
    draw = ImageDraw.Draw(image)
    step, margin = int(rng.integers(4, 12)), int(rng.integers(4, size // 6))
    for top in range(margin, size - margin, step):
        left = margin
        while rng.random() < 0.93 and left < size - margin:
            right = min(left + int(rng.integers(3, 14)), size - margin)
            draw.rectangle([left, top, right, top + step // 2], fill=int(rng.integers(0, 120)))
            left = right + 3
    for _ in range(int(rng.integers(0, 8))):
        box = np.sort(rng.integers(0, size, (2, 2)), 0).ravel().tolist()
        fill = int(rng.integers(256)) if rng.random() < 0.6 else None
        (draw.rectangle if rng.random() < 0.6 else draw.ellipse)(box, fill=fill, outline=int(rng.integers(256)))
    page = np.asarray(image)
    return 255 - page if rng.random() < 0.3 else page


OTHERS = (axial_slice, bones, joint, abdomen, scenery, texture, noise, paper)
"""Kinds that are no chest radiograph at all."""
