"""Checkpoint files into tensors, with every tensor accounted for by name.

Upstream loads with `strict=False`, which hides a mismatch. Here a missing tensor, a tensor that
nobody knows, a wrong shape, a NaN: each stops the export, and all are named at once.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from export.errors import ExportRefused

Tensors = dict[str, Tensor]

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
WRAPPERS = ("model", "state_dict")
"""Trainers put the tensors under one of these, beside the optimizer and the epoch."""
NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Part:
    """The tensors of one file, by the model's names."""

    state: Tensors
    unused: tuple[str, ...]
    """Names in the file that are known not to belong to the image path."""


def load_tensors(path: Path) -> Tensors:
    """Every tensor in a .pth, .bin or .safetensors file; mapped, so reading it costs no memory.

    A pickle can run code: only plain tensors and containers are let through.
    """
    if not path.is_file():
        raise ExportRefused(f"{path} is not a file.")
    content = _load_safetensors(path) if path.suffix == ".safetensors" else _load_pickle(path)
    for wrapper in WRAPPERS:
        inner = content.get(wrapper)
        content = inner if isinstance(inner, dict) else content
    strangers = sorted(str(name) for name, value in content.items() if not isinstance(value, Tensor))
    if strangers:
        raise ExportRefused(f"{path.name}: these entries are no tensors.", shortened(strangers))
    return content


def _load_safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise ExportRefused(f"{path.name}: not a whole safetensors file ({error}).") from error


def _load_pickle(path: Path) -> dict[str, Any]:
    try:
        # Pickles older than torch 1.6 are no zip files and cannot be mapped.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        reason = "it holds more than tensors, and loading it could run code"
        raise ExportRefused(f"{path.name}: refused, because {reason}.") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise ExportRefused(f"{path.name}: not a whole checkpoint ({error}).") from error
    if not isinstance(content, dict):
        raise ExportRefused(f"{path.name}: holds a {type(content).__name__}, not tensors by name.")
    return content


def take(source: str, found: Mapping[str, Tensor], wanted: Mapping[str, str], unused: Sequence[str]) -> Part:
    """Pick the wanted tensors and account for all others.

    wanted: name in the file → name in the model.
    unused: regular expressions for whole names in the file that are known to have no use here.
    """
    known_unused = re.compile("|".join(f"(?:{pattern})" for pattern in unused) or "(?!)")
    others = sorted(name for name in found if name not in wanted)
    problems = [f"missing: {name}" for name in wanted if name not in found]
    problems += [f"unexpected: {name}" for name in others if not known_unused.fullmatch(name)]
    problems += [p for name in wanted if name in found for p in value_problems(name, found[name])]
    if problems:
        raise ExportRefused(f"{source} does not fit the published layout.", shortened(problems))
    return Part({wanted[name]: found[name].float() for name in wanted}, tuple(others))


def value_problems(name: str, tensor: Tensor) -> list[str]:
    """What makes a weight unusable: its type, or values that are no numbers."""
    if tensor.dtype not in FLOATS:
        return [f"type {tensor.dtype}: {name}"]
    return [] if bool(torch.isfinite(tensor).all()) else [f"NaN or Inf: {name}"]


def fill(module: nn.Module, state: Tensors) -> None:
    """Put the tensors into a module that was made without memory (on the meta device)."""
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    problems = [f"missing: {name}" for name in shapes if name not in state]
    problems += [f"unexpected: {name}" for name in state if name not in shapes]
    problems += [
        f"{name} has shape {tuple(value.shape)}, {shapes[name]} fits the other tensors"
        for name, value in state.items()
        if name in shapes and tuple(value.shape) != shapes[name]
    ]
    if problems:
        raise ExportRefused("The files do not fit each other.", shortened(problems))
    module.load_state_dict(state, strict=True, assign=True)
    module.eval().requires_grad_(requires_grad=False)


def count_blocks(names: Mapping[str, object], pattern: str) -> int:
    """How many numbered blocks there are; pattern has one group for the number."""
    numbers = {int(match[1]) for name in names if (match := re.match(pattern, name))}
    if numbers != set(range(len(numbers))):
        raise ExportRefused(f"Blocks {sorted(numbers)} are not numbered from 0 without a gap.")
    return len(numbers)


def tensor_of(source: str, found: Mapping[str, Tensor], name: str) -> Tensor:
    """The tensor that a dimension is read from."""
    if name not in found:
        raise ExportRefused(f"{source} does not fit the published layout.", [f"missing: {name}"])
    return found[name]


def shortened(problems: Sequence[str]) -> list[str]:
    """The first of many problems, and how many more there are."""
    more = len(problems) - NAMES_SHOWN
    return [*problems[:NAMES_SHOWN], *([f"... and {more} more"] if more > 0 else [])]
