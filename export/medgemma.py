"""MedGemma: SigLIP, Gemma 3's projector, and a Gemma 3; one folder, as it is published."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec

from export import prompts, siglip, terms
from export.checkpoints import Tensors, load_tensors
from export.errors import ExportRefused
from export.gemma import BESIDE, SLIDING, language_facts, language_problems, open_gemma
from export.gemma_gguf import precision_of
from export.image_path import ImageFacts, ImagePath, left_out_note
from export.pipeline import Source
from export.vicuna import find_shards, read_config
from export.vocabulary import token_ids
from xraygpt_edge.bundle import ImageRecipe, PromptRecipe

N_CTX = 8192
"""Most tokens of context that a bundle allows; the model takes 131,072, which would be 18 GB of keys and values."""
PREPROCESSOR = "preprocessor_config.json"
HALVES = (0.5, 0.5, 0.5)
BILINEAR = 2
"""Pillow's number for it, and SigLIP's usual filter."""
FILTERS: dict[Any, Literal["bicubic", "bilinear"]] = {BILINEAR: "bilinear", 3: "bicubic"}
MODEL_TYPES = {"": ("gemma3",), "text_config": ("gemma3_text",), "vision_config": ("siglip_vision_model",)}
IMAGE_TOKENS = 256
"""Of an image, where a configuration does not say: transformers' own."""


def source(folder: Path, gguf: Path | None = None) -> Source:
    """MedGemma from its folder; raises ExportRefused with every problem that its small files show.

    gguf: a language file that somebody else has made of it, taken as it is.
    """
    config, pixels = read_config(folder), _preprocessor(folder)
    problems = [f"{folder.name}/config.json: {problem}" for problem in config_problems(config)]
    problems += [f"{folder.name}/{PREPROCESSOR}: {problem}" for problem in _pixel_problems(pixels)]
    if gguf and not gguf.is_file():
        problems.append(f"{gguf} is not a file")
    if problems:
        raise ExportRefused("These files are not a MedGemma that this exporter knows.", problems)
    files = {f"medgemma/{PREPROCESSOR}": folder / PREPROCESSOR} if pixels else {}
    return Source(
        {**files, **({f"gguf/{gguf.name}": gguf} if gguf else {})},
        partial(_image, folder, config, pixels),
        folder,
        open_language=open_gemma,
        language_name="MedGemma language model",
        ready=(precision_of(gguf), gguf) if gguf else None,
        n_ctx=N_CTX,
        prompt=_prompt(folder),
        terms=terms.MEDGEMMA,
        folder_name="medgemma",
        notes=(f"the language model is the GGUF file {gguf.name}, as it was given",) if gguf else (),
    )


def _prompt(folder: Path) -> PromptRecipe:
    """MedGemma's words; a tokenizer without the tokens for thinking is of a model that does not."""
    recipe = prompts.MEDGEMMA
    thinking = recipe.thinking or ()
    knows_all = len(token_ids(folder, thinking)) == len(thinking)
    return recipe if knows_all else msgspec.structs.replace(recipe, thinking=None)


def config_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What makes a config.json that of another model."""
    for key, known in MODEL_TYPES.items():
        part = config.get(key) if key else config
        if not isinstance(part, dict):
            yield f"it has no {key}"
        elif part.get("model_type", known[0]) not in known:
            yield f"model_type{' of ' + key if key else ''} is {part['model_type']!r}"
    facts = language_facts(config)
    yield from language_problems(facts)
    rows, window = _image_tokens(config), facts["sliding_window"]
    if type(rows) is not int or rows < 1 or math.isqrt(rows) ** 2 != rows:
        yield f"mm_tokens_per_image is {rows!r}"
    elif SLIDING in facts["layer_types"] and type(window) is int and rows > window:
        yield f"an image has {rows} rows, and the language model's window {window}: llama.cpp is not exact then"


def _image_tokens(config: Mapping[str, Any]) -> Any:
    return config.get("mm_tokens_per_image", IMAGE_TOKENS)


def _preprocessor(folder: Path) -> dict[str, Any]:
    """How pictures become pixels; empty where the folder does not say."""
    path = folder / PREPROCESSOR
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def _pixel_problems(pixels: Mapping[str, Any]) -> Iterator[str]:
    """What makes a preprocessor's settings other than a resize, a division by 255, a mean and a deviation."""
    right: dict[str, Callable[[Any], bool]] = {
        "resample": lambda value: value in FILTERS,
        "do_pan_and_scan": lambda value: not value,
        "size": lambda value: isinstance(value, dict),
        "rescale_factor": lambda value: math.isclose(value, 1 / 255),
        **dict.fromkeys(("do_resize", "do_rescale", "do_normalize"), lambda value: value is True),
        **dict.fromkeys(("image_mean", "image_std"), lambda value: len(value) == len(HALVES)),
    }
    yield from (
        f"{key} is {pixels[key]!r}" for key, is_right in right.items() if key in pixels and not is_right(pixels[key])
    )


def _image(folder: Path, config: Mapping[str, Any], pixels: Mapping[str, Any]) -> ImagePath:
    image_tokens = _image_tokens(config)
    loaded = siglip.load(folder.name, _tensors(folder), config["vision_config"], image_tokens)
    size_px = loaded.module.config.image_size
    sizes = {*pixels.get("size", {}).values()} or {size_px}
    if sizes != {size_px}:
        found = f"{PREPROCESSOR} says {' x '.join(map(str, sorted(sizes)))} px, the tensors {size_px} px"
        raise ExportRefused("The image encoder's files do not fit each other.", [found])
    recipe = ImageRecipe(
        size_px=size_px,
        fit="squash",
        mean=tuple(pixels.get("image_mean", HALVES)),
        std=tuple(pixels.get("image_std", HALVES)),
        resample=FILTERS[pixels.get("resample", BILINEAR)],
    )
    width = loaded.module.projector.mm_input_projection_weight.shape[1]
    notes = left_out_note(folder.name, loaded.unused)
    return ImagePath(loaded.module, ImageFacts("medgemma", recipe, image_tokens, width, notes))


def _tensors(folder: Path) -> Tensors:
    """Those of the image path, by their names until transformers 4.51; mapped, not read."""
    return {
        name.removeprefix("model."): tensor
        for shard in find_shards(folder)
        for name, tensor in load_tensors(shard).items()
        if name.startswith(BESIDE)
    }
