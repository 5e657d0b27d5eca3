"""Receipts: what the unquantized model computes for pictures that the exporter draws; they travel in the bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.bundle import ImageRecipe
from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.imaging.images import Radiograph
from xraygpt_edge.imaging.preprocess import to_tensor
from xraygpt_edge.records import Source


@dataclass(frozen=True, slots=True)
class Case:
    """One picture and one question, and what the original makes of them."""

    picture: NDArray[np.uint8]
    """(rows, columns), bright bone"""
    question: str
    embeddings: NDArray[np.float32]
    """(n_image_tokens, n_embd)"""
    ids_before: tuple[int, ...]
    ids_after: tuple[int, ...]
    answer: tuple[int, ...]
    """The original's own greedy answer, cut after a few tokens."""
    logits: NDArray[np.float32]
    """(len(answer), n_vocab): row k is what token k of the answer was chosen from."""


def load(path: Path) -> list[Case]:
    """Read receipts.npz; never runs code from it. Raises BundleIncompatible for a file that holds no receipts."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            cases = [_case(arrays, k) for k in range(int(arrays["count"]))]
    except (BadZipFile, ValueError, KeyError, TypeError, EOFError) as error:
        raise BundleIncompatible("E-BND-023", path.name) from error
    if not cases:
        raise BundleIncompatible("E-BND-023", f"{path.name} is empty")
    return cases


def _case(arrays: Mapping[str, NDArray[Any]], k: int) -> Case:
    return Case(
        picture=arrays[f"picture_{k}"],
        question=str(arrays[f"question_{k}"]),
        embeddings=arrays[f"rows_{k}"],
        ids_before=tuple(arrays[f"ids_before_{k}"].tolist()),
        ids_after=tuple(arrays[f"ids_after_{k}"].tolist()),
        answer=tuple(arrays[f"answer_{k}"].tolist()),
        logits=np.vstack([arrays[f"first_logits_{k}"][None], arrays[f"later_logits_{k}"]]).astype(np.float32),
    )


def picture_tensor(picture: NDArray[np.uint8], recipe: ImageRecipe) -> NDArray[np.float32]:
    """A picture (rows, columns) as the encoder takes it, by the program's own code: (1, 3, size, size)."""
    rows, columns = picture.shape
    source = Source(sha256_of_pixels(picture), "png", rows, columns, profile="mimic-jpg")
    return to_tensor(Radiograph(picture, source), recipe)


def sha256_of_pixels(picture: NDArray[np.uint8]) -> str:
    """What stands in for a file's hash: a drawn picture has no file."""
    return hashlib.sha256(picture.tobytes()).hexdigest()
