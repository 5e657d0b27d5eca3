"""Elements of a data set as plain values: what is absent, empty or malformed is None, never an error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence


def value(dataset: Dataset, keyword: str | int) -> Any:
    """The element's value; None also where its bytes cannot be converted."""
    try:
        found = dataset[keyword].value if keyword in dataset else None
    except Exception:  # noqa: BLE001 - pydicom converts late and raises many kinds
        return None
    return None if found is None or (isinstance(found, str | bytes) and not found) else found


def text(dataset: Dataset, keyword: str) -> str:
    """Upper case, without spaces around; empty if absent. Several values are joined with a backslash."""
    found = value(dataset, keyword)
    if isinstance(found, MultiValue | list):
        return "\\".join(str(part) for part in found).strip("\0 ").upper()
    return "" if found is None else str(found).strip("\0 ").upper()


def numbers(dataset: Dataset, keyword: str | int) -> tuple[float, ...]:
    """Every value as a float; empty if any of them is not a finite number."""
    found = value(dataset, keyword)
    several: Iterable[Any] = found if isinstance(found, MultiValue | list) else (found,)
    try:
        converted = tuple(float(part) for part in several if part is not None)
    except (TypeError, ValueError, OverflowError):
        return ()
    return converted if all(math.isfinite(part) for part in converted) else ()


def number(dataset: Dataset, keyword: str | int) -> float | None:
    """The first value as a float."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def integer(dataset: Dataset, keyword: str | int) -> int | None:
    """The first value, if it is a whole number."""
    found = number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """The items of a sequence."""
    found = value(dataset, keyword)
    return tuple(found) if isinstance(found, Sequence) else ()
