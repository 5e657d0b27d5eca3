from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.drawn_dicom import chest, write
from tests.test_preprocess import Spec
from xraygpt_edge.images import ReadOptions
from xraygpt_edge.inspection import half_blocks, inspect, save_png
from xraygpt_edge.preprocess import to_tensor
from xraygpt_edge.worker import Reader


def test_an_inspection_tells_every_step_and_shows_what_the_model_sees(tmp_path: Path) -> None:
    path = write(tmp_path, chest(), PhotometricInterpretation="MONOCHROME1", PatientName="DOE^JANE", PatientID="4711")
    spec = Spec("pad")
    with Reader() as reader:
        account = inspect(path, ReadOptions("display"), spec, reader)
        tensor = to_tensor(reader.read(path, ReadOptions("display")), spec)
    names = [step.name for step in account.steps]
    assert names == ["file", "decoding", "stored values", "modality", "window", "polarity", "resize", "tensor"]
    shown = np.rint((tensor[0, 0] * spec.std[0] + spec.mean[0]) * 255)
    np.testing.assert_array_equal(account.model_view, shown)
    assert list(account.views) == ["mimic-jpg", "display"]
    assert account.side_by_side.shape == (224, 2 * 224 + 4)
    words = json.dumps(account.to_dict())
    assert "JANE" not in words
    assert "4711" not in words


def test_the_picture_is_saved_whole(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_png(pixels, tmp_path / "view.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "view.png")), pixels)
    assert [file.name for file in tmp_path.iterdir()] == ["view.png"]


def test_a_terminal_gets_two_grey_levels_a_cell() -> None:
    cells = half_blocks(np.repeat(np.array([[0], [200]], np.uint8), 8, 1).repeat(4, 0), 8)
    assert cells.shape == (4, 8, 2)
    assert (cells[0, 0, 0], cells[-1, -1, 1]) == (0, 200)
