"""Spoilt copies of a film, as they come from scanners, telephones, viewers and wrong settings.

Every kind takes a picture, uint8 (rows, columns), and a random generator, and returns another picture.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]
Spoil = Callable[[Picture, np.random.Generator], Picture]


def resized(picture: Picture, rows: int, columns: int) -> Picture:
    """Another size, with Pillow's bilinear filter."""
    return np.asarray(Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR))


def tilted(picture: Picture, degrees: float, fill: int = 0) -> Picture:
    """Turned counter-clockwise about the middle; the corners are filled."""
    return np.asarray(Image.fromarray(picture).rotate(degrees, Image.Resampling.BILINEAR, fillcolor=fill))


def framed(picture: Picture, share: float, grey: int, rng: np.random.Generator) -> Picture:
    """A frame that takes this share of each side of the result, not always evenly."""
    rows, columns = picture.shape
    down, across = round(rows * share / (1 - share)), round(columns * share / (1 - share))
    top, left = rng.integers(down // 4, down - down // 4 + 1), rng.integers(across // 4, across - across // 4 + 1)
    canvas = np.full((rows + down, columns + across), grey, np.uint8)
    canvas[top : top + rows, left : left + columns] = picture
    return canvas


def toned(picture: Picture, gamma: float, low: float, high: float) -> Picture:
    """Grey levels through a power, then into low..high of 0..1, cut where that leaves the range."""
    value = (picture / 255.0) ** gamma * (high - low) + low
    return np.clip(np.rint(value * 255), 0, 255).astype(np.uint8)


def cropped(picture: Picture, height: float, width: float, rng: np.random.Generator) -> Picture:
    """A window of these shares of the sides, anywhere."""
    rows, columns = (max(8, round(side * share)) for side, share in zip(picture.shape, (height, width), strict=True))
    top, left = rng.integers(picture.shape[0] - rows + 1), rng.integers(picture.shape[1] - columns + 1)
    return picture[top : top + rows, left : left + columns]


def shuttered(picture: Picture, rng: np.random.Generator) -> Picture:
    """An even band along one side, as shutters and the edge of a cassette leave it, a little aslant."""
    down, across = np.mgrid[0 : 1 : picture.shape[0] * 1j, 0 : 1 : picture.shape[1] * 1j]
    inside, along = ((down, across), (1 - down, across), (across, down), (1 - across, down))[rng.integers(4)]
    band = inside < rng.uniform(0.03, 0.3) + rng.uniform(-0.08, 0.08) * along
    return np.where(band, np.uint8(rng.choice([0, 0, 255, int(rng.integers(256))])), picture)


def heavy_crop(picture: Picture, rng: np.random.Generator) -> Picture:
    """Half of each side is left, or less."""
    return cropped(picture, rng.uniform(0.38, 0.55), rng.uniform(0.38, 0.55), rng)


def one_lung(picture: Picture, rng: np.random.Generator) -> Picture:
    """The left or the right half of the picture, nearly."""
    columns = round(picture.shape[1] * rng.uniform(0.42, 0.54))
    return picture[:, :columns] if rng.random() < 0.5 else picture[:, -columns:]


def noisy(picture: Picture, rng: np.random.Generator, sigma: float = 50) -> Picture:
    """Normal noise, cut to the range."""
    return np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def blurred(picture: Picture, resolution_px: int) -> Picture:
    """No detail finer than so many pixels across."""
    rows, columns = picture.shape
    small = Image.fromarray(picture).resize((resolution_px, resolution_px), Image.Resampling.BOX)
    return np.asarray(small.resize((columns, rows), Image.Resampling.BICUBIC))


def jpeg(picture: Picture, quality: int) -> Picture:
    """Through a JPEG file."""
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def lettered(picture: Picture, rng: np.random.Generator, lines: int = 3, grey: int = 255) -> Picture:
    """Lines of marks like writing, in a corner."""
    result = picture.copy()
    size = max(2, picture.shape[0] // 40)
    top = size if rng.random() < 0.5 else picture.shape[0] - (2 * lines + 1) * size
    for line in range(lines):
        length = min(int(rng.integers(8, 18)), picture.shape[1] // size - 2)
        marks = np.kron(rng.random((2, length)) < 0.6, np.ones((size // 2, size), bool))
        at = top + 2 * line * size
        area = result[at : at + marks.shape[0], size : size + marks.shape[1]]
        area[marks[: area.shape[0]]] = grey
    return result


def beside(left: Picture, right: Picture, rng: np.random.Generator, *, stacked: bool = False) -> Picture:
    """Two pictures side by side, or one above the other, with or without a gap."""
    if stacked:
        return np.ascontiguousarray(beside(left.T, right.T, rng).T)
    other = resized(right, left.shape[0], max(8, right.shape[1] * left.shape[0] // right.shape[0]))
    gap = np.full((left.shape[0], round(left.shape[1] * rng.choice([0, 0.02, 0.06]))), rng.choice([0, 255]), np.uint8)
    return np.concatenate([left, gap, other], 1)


def viewer(picture: Picture, rng: np.random.Generator) -> Picture:
    """A screenshot: the picture in a window with toolbars, panels and writing."""
    rows, columns = (round(side * rng.uniform(1.05, 1.2)) for side in picture.shape)
    top, left = round(rows * rng.uniform(0.08, 0.2)), round(columns * rng.uniform(0.12, 0.45))
    ground, panel = (int(grey) for grey in rng.choice([0, 20, 45, 60, 200, 235, 250], 2))
    screen = np.full((rows + top, columns + left), ground, np.uint8)
    screen[:top], screen[:, :left] = panel, panel
    down, across = rng.integers(0, rows - picture.shape[0] + 1), rng.integers(0, columns - picture.shape[1] + 1)
    screen[top + down :, left + across :][: picture.shape[0], : picture.shape[1]] = picture
    screen[:top] = _buttons(screen[:top], rng)
    screen[top:, :left] = _buttons(screen[top:, :left], rng)
    return np.ascontiguousarray(screen[:, ::-1]) if rng.random() < 0.3 else screen


def printed(picture: Picture, rng: np.random.Generator) -> Picture:
    """A figure on a page, with writing above or below it."""
    rows, columns = (round(side * rng.uniform(1.3, 2.2)) for side in picture.shape)
    page = np.full((rows, columns), rng.integers(225, 256), np.uint8)
    top, left = rng.integers(rows - picture.shape[0] + 1), rng.integers(columns - picture.shape[1] + 1)
    step = max(3, rows // 40)
    for row in range(step, rows - step, 2 * step):
        marks = np.repeat(rng.random(columns // step) < 0.7, step)
        page[row : row + step, : marks.size][:, marks] = rng.integers(0, 110)
    margin = max(2, columns // 16)
    page[:, :margin] = page[:, -margin:] = 255
    page[max(0, top - step) : top + picture.shape[0] + step] = 255
    page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return page


def _buttons(area: Picture, rng: np.random.Generator) -> Picture:
    result = area.copy()
    size = max(3, min(area.shape) // 3)
    for row in range(size // 2, area.shape[0] - size, 2 * size):
        for column in range(size // 2, area.shape[1] - size, 2 * size):
            if rng.random() < 0.6:
                result[row : row + size, column : column + size] = rng.integers(256)
    return result


def monitor(picture: Picture, rng: np.random.Generator) -> Picture:
    """A photograph of a screen: perspective, a dark or bright room, glare, moire, and the screen's edge."""
    rows, columns = picture.shape
    room = np.full((rows, columns), rng.integers(20, 230), np.float64)
    room += np.add.outer(np.linspace(-30, 30, rows) * rng.uniform(-1, 1), np.linspace(-30, 30, columns))
    bezel = framed(picture, rng.uniform(0.02, 0.08), int(rng.integers(10, 60)), rng)
    corners = np.array([[0, 0], [0, rows], [columns, rows], [columns, 0]], float)
    inward = np.sign([columns / 2, rows / 2] - corners)
    corners += inward * rng.uniform(0.02, 0.22, (4, 2)) * [columns, rows]
    warp = _perspective(corners, bezel.shape)
    size = (columns, rows)
    shown = Image.fromarray(bezel).transform(size, Image.Transform.PERSPECTIVE, warp, Image.Resampling.BILINEAR)
    inside = Image.new("L", bezel.shape[::-1], 255).transform(size, Image.Transform.PERSPECTIVE, warp)
    scene = np.where(np.asarray(inside) > 127, np.asarray(shown) * rng.uniform(0.6, 0.95) + 12, room)
    down, across = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    glare = np.exp(-((down - rng.random()) ** 2 + (across - rng.random()) ** 2) / rng.uniform(0.01, 0.06))
    ripple = np.sin((down * rng.uniform(-1, 1) + across) * rng.uniform(60, 400))
    return np.clip(scene + glare * rng.uniform(20, 140) + ripple * rng.uniform(0, 12), 0, 255).astype(np.uint8)


def _perspective(corners: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[float, ...]:
    """Pillow's eight numbers, which lead from the result's corners to the picture's."""
    rows, columns = shape
    goals = [(0, 0), (0, rows), (columns, rows), (columns, 0)]
    system, right = [], []
    for (x, y), (u, v) in zip(corners, goals, strict=True):
        system += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return tuple(np.linalg.solve(np.array(system, float), np.array(right, float)).tolist())
