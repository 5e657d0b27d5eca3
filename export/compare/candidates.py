"""The files that are compared: those of a bundle, and others that are made from its unrounded ones for as long."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from export import quantize
from export.errors import ExportRefused
from xraygpt_edge.bundle import FileEntry
from xraygpt_edge.files import sha256_of
from xraygpt_edge.loading import LoadPlan

Role: TypeAlias = Literal["vision", "language"]
UNROUNDED: dict[Role, str] = {"vision": "fp32", "language": "F16"}
MADE: dict[Role, tuple[str, ...]] = {"vision": ("fp16", "int8"), "language": tuple(quantize.TYPES)}
"""Precisions that can be made from the unrounded file."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One precision of one half of the model."""

    size_bytes: int
    """Of the file, with its external weights."""
    plan: LoadPlan
    """What loads this half of the model."""


def require(role: Role, precisions: tuple[str, ...], plan: LoadPlan) -> None:
    """Raise ExportRefused for a precision that is neither in the bundle nor can be made."""
    wrong = [name for name in precisions if name not in (*MADE[role], *_listed(plan, role))]
    if wrong:
        raise ExportRefused("This cannot be compared.", [f"no {role} precision {name!r}" for name in wrong])


def rounded(plan: LoadPlan, role: Role) -> tuple[str, ...]:
    """Precisions of the bundle beside the unrounded one."""
    return tuple(name for name in _listed(plan, role) if name != UNROUNDED[role])


@contextmanager
def candidate(plan: LoadPlan, role: Role, precision: str, scratch: Path) -> Iterator[Candidate]:
    """A file of the bundle, or one that is made in a folder below scratch and removed afterwards."""
    if precision in _listed(plan, role):
        yield _candidate(plan, plan.bundle.file(role, precision), role)
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        made = Path(folder) / f"{role}-{precision}"
        _make(plan.bundle.path_of(plan.bundle.file(role, UNROUNDED[role])), made, precision, plan.device.threads)
        entry = FileEntry(made.name, role, made.stat().st_size, sha256_of(made), precision)
        yield _candidate(replace(plan, bundle=replace(plan.bundle, root=made.parent)), entry, role)


def _make(unrounded: Path, target: Path, precision: str, threads: int) -> None:
    if precision in quantize.TYPES:
        quantize.quantize(unrounded, target, precision, threads)
        return
    from export import vision_onnx  # loads torch

    {"fp16": vision_onnx.make_fp16, "int8": vision_onnx.make_int8}[precision](unrounded, target)


def _candidate(plan: LoadPlan, entry: FileEntry, role: Role) -> Candidate:
    data = plan.bundle.path_of(entry).with_name(f"{Path(entry.path).name}_data")
    size = entry.size + (data.stat().st_size if data.is_file() else 0)
    loads = replace(plan, vision_file=entry) if role == "vision" else replace(plan, language_file=entry)
    return Candidate(size, loads)


def _listed(plan: LoadPlan, role: Role) -> tuple[str, ...]:
    return tuple(str(entry.precision) for entry in plan.bundle.manifest.files if entry.role == role)
