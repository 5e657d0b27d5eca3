"""A low-rank adapter (LoRA, in peft's layout) that is added to a language model's weights while they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from export.checkpoints import load_tensors, shortened, value_problems
from export.errors import ExportRefused
from export.vicuna import LlamaShape, expected_shape, wanted_names

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
PREFIX = "base_model.model."
NAME = re.compile(rf"{re.escape(PREFIX)}(?P<module>.+)\.lora_(?P<half>[AB])(?:\.default)?\.weight")
MUST_BE_OFF = (
    *("fan_in_fan_out", "modules_to_save", "layers_to_transform", "rank_pattern", "alpha_pattern"),
    *("use_rslora", "use_dora", "lora_bias", "trainable_token_indices", "layer_replication"),
)
"""What would add something else than alpha / r times B A."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is added to which weights."""

    scale: float
    """alpha / r"""
    halves: Mapping[str, tuple[Tensor, Tensor]]
    """Name of the weight → A (r, inputs) and B (outputs, r)."""

    def merged(self, name: str, weight: Tensor) -> Tensor:
        """The weight with its part of the adapter, float32; any other as it is."""
        if name not in self.halves:
            return weight
        a, b = self.halves[name]
        return weight.float().addmm(b.float(), a.float(), alpha=self.scale)


def adapter_file(folder: Path) -> Path:
    """The weights of an adapter's folder; raises ExportRefused when there are none."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ExportRefused(f"{folder.name} has no {' and no '.join(WEIGHTS)}.")


def read_adapter(folder: Path, shape: LlamaShape) -> Adapter:
    """Read an adapter and account for each of its tensors; whatever does not fit is named, all at once."""
    file = folder / CONFIG
    if not file.is_file():
        raise ExportRefused(f"{folder.name} has no {CONFIG}.")
    config: dict[str, Any] = json.loads(file.read_text("utf-8"))
    problems = list(_config_problems(config, shape))
    if problems:
        raise ExportRefused(f"{folder.name}/{CONFIG} describes an adapter that cannot be merged exactly.", problems)
    weights = adapter_file(folder)
    tensors, found, strangers = load_tensors(weights), dict[tuple[str, str], Tensor](), list[str]()
    for name, tensor in tensors.items():
        if match := NAME.fullmatch(name):
            found[f"{match['module']}.weight", match["half"]] = tensor
        else:
            strangers.append(name)
    wanted = _wanted(config["target_modules"], shape)
    problems = [f"unexpected: {name}" for name in strangers]
    problems += [f"unexpected: lora_{half} of {name}" for name, half in found if name not in wanted]
    problems += [p for name in wanted for p in _pair_problems(name, found, config["r"], expected_shape(name, shape))]
    if problems:
        raise ExportRefused(f"{weights.name} does not fit the language model.", shortened(problems))
    return Adapter(config["lora_alpha"] / config["r"], {name: (found[name, "A"], found[name, "B"]) for name in wanted})


def _config_problems(config: Mapping[str, Any], shape: LlamaShape) -> Iterator[str]:
    for key, wanted in (("peft_type", "LORA"), ("bias", "none")):
        if config.get(key, wanted) != wanted:
            yield f"{key} is {config[key]!r}, {wanted!r} is needed"
    yield from (f"{key} is {config[key]!r}" for key in MUST_BE_OFF if config.get(key))
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1:
        yield f"r is {rank!r}"
    if type(alpha) not in {int, float}:
        yield f"lora_alpha is {alpha!r}"
    targets = config.get("target_modules")
    if not isinstance(targets, list) or not targets:
        yield f"target_modules is {targets!r}, a list of names is needed"
        return
    known = {name.split(".")[-2] for name in _matrices(shape)}
    lacking = (target for target in targets if target not in known)
    yield from (f"target_modules has {target!r}, which the language model lacks" for target in lacking)


def _matrices(shape: LlamaShape) -> list[str]:
    """Weights of the layers that multiply."""
    return [name for name in wanted_names(shape) if "_proj." in name]


def _wanted(targets: Sequence[str], shape: LlamaShape) -> list[str]:
    return [name for name in _matrices(shape) if name.split(".")[-2] in targets]


def _pair_problems(
    name: str, found: Mapping[tuple[str, str], Tensor], rank: int, shape: tuple[int, ...]
) -> Iterator[str]:
    """What is wrong with the two halves for one weight of (outputs, inputs)."""
    outputs, inputs = shape
    for half, wanted in (("A", (rank, inputs)), ("B", (outputs, rank))):
        tensor = found.get((name, half))
        if tensor is None:
            yield f"missing: lora_{half} of {name}"
            continue
        yield from value_problems(f"lora_{half} of {name}", tensor)
        if tuple(tensor.shape) != wanted:
            yield f"lora_{half} of {name} has shape {tuple(tensor.shape)}, {wanted} fits r and the language model"
