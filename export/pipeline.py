"""From checkpoint files to a bundle: the whole way, step by step, each step resumable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from export import bundle_writer, gates, language, language_gguf, quantize, receipts, vision_onnx
from export.bundle_writer import PARITY, RECEIPTS, Contents
from export.errors import ExportRefused, GateMissed
from export.image_path import ImageFacts, ImagePath
from export.language import Language
from export.measure import Meter
from export.prompts import XRAYGPT
from export.staging import Workshop, appearing
from export.terms import RESEARCH, Terms
from export.vicuna import find_shards, open_vicuna
from xraygpt_edge.bundle import N_CTX, NAME, PromptRecipe
from xraygpt_edge.bundle.manifest import View
from xraygpt_edge.generation.prompt import control_tokens
from xraygpt_edge.proof import parity, table
from xraygpt_edge.proof.gates import Gates, misses
from xraygpt_edge.proof.parity import Parity
from xraygpt_edge.proof.receipts import load as load_receipts

BASE = "F16"
"""What llama.cpp's quantizer reads; made even where the bundle does not keep it."""
REFERENCE_EMBEDDINGS = "reference-embeddings.npz"
RULES = 2
"""Raised when a step gives another result: no run goes on with files of older rules. 2: exact rotary frequencies."""
VICUNA_FILES = (
    "config.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True, slots=True)
class Source:
    """What a model is made from."""

    files: Mapping[str, Path]
    """The files of the image path, by the names that the manifest gives them."""
    load_image: Callable[[], ImagePath]
    vicuna: Path
    """Folder of the language model and of its tokenizer."""
    open_language: Callable[[Path], Language] = open_vicuna
    language_name: str = "XrayGPT language model"
    ready: tuple[str, Path] | None = None
    """Precision and file of a language model that is taken as it is; without it, all are made."""
    n_ctx: int = N_CTX
    """Most tokens of context that the bundle allows, where the language model takes as many."""
    options: str = ""
    """Options that change a result, for the journal of finished steps."""
    prompt: PromptRecipe = XRAYGPT
    terms: Terms = RESEARCH
    is_demo: bool = False
    views: tuple[View, ...] = ()
    notes: tuple[str, ...] = ()
    folder_name: str = "vicuna"
    """What the manifest calls the language model's folder."""

    @property
    def control(self) -> tuple[str, ...]:
        """Texts of the tokens that the prompt names: no text may become one."""
        return (*control_tokens(self.prompt.templates.values()), *(self.prompt.thinking or ()))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make of it."""

    bundle_id: str
    source: Source
    vision: tuple[str, ...]
    """Precisions; the language files are also measured with the first of them."""
    language: tuple[str, ...]
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """How exact the bundle is, and how exact it had to be."""

    figures: Parity
    gates: Gates


def export_bundle(plan: Plan, out: Path, meter: Meter) -> Result:
    """Write the bundle to out, and return its parity figures.

    All work happens in a hidden folder beside out, which an interrupted run leaves to the next one.
    Raises ExportRefused, or GateMissed when the result is too far from the original.
    """
    _require_plan(plan, out)
    torch.set_num_threads(plan.threads)
    source = plan.source
    vicuna = source.open_language(source.vicuna)
    if source.ready:
        language.require_same(source.ready[1], vicuna, source.control)
    shop = Workshop(out.with_name(f".{out.name}.partial"), meter)
    with meter.measuring("hash the source files"):
        sources = bundle_writer.source_facts({**source.files, **_language_sources(source)})
    made_from = _fingerprint(plan, sources)
    image = _export_vision(plan, shop, made_from)
    _require_width(image, vicuna)
    _export_language(plan, vicuna, shop, made_from)
    _ask_the_original(plan, vicuna, shop, made_from)
    result = _compare(plan, image, shop, meter)
    contents = Contents(
        bundle_id=plan.bundle_id,
        architecture=language.architecture(vicuna),
        demo=source.is_demo,
        image=image,
        n_ctx=min(source.n_ctx, vicuna.shape.context),
        prompt=source.prompt,
        terms=source.terms,
        vision=_vision_files(plan, shop),
        language=_language_files(plan, shop),
        sources=sources,
        parity=result.figures,
        gates=result.gates,
        views=source.views,
        notes=source.notes,
    )
    with meter.measuring("hash and write the bundle"):
        bundle_writer.finish(shop.folder, contents, out)
    return result


def _export_vision(plan: Plan, shop: Workshop, made_from: str) -> ImageFacts:
    """All encoders, and the original's embeddings for the drawn pictures."""
    facts = _export_original(plan, shop, made_from)  # its weights are freed here
    fp32 = _vision_path(shop, "fp32")
    makers: dict[str, Callable[[Path, Path], None]] = {
        "fp16": vision_onnx.make_fp16,
        "int8": partial(vision_onnx.make_int8, unrounded=facts.unrounded),
    }
    for precision in plan.vision:
        if precision in makers:
            target = _vision_path(shop, precision)
            make = partial(makers[precision], fp32, target)
            shop.step(f"ONNX to {precision}", made_from, _names(target), make)
    return facts


def _export_original(plan: Plan, shop: Workshop, made_from: str) -> ImageFacts:
    image = plan.source.load_image()
    fp32, embeddings = _vision_path(shop, "fp32"), shop.folder / REFERENCE_EMBEDDINGS
    shop.step("original embeddings", made_from, [embeddings.name], lambda: _save_embeddings(image, embeddings))
    export_fp32 = partial(vision_onnx.export_fp32, image, fp32)
    shop.step("image path to ONNX", made_from, _names(fp32), export_fp32)
    return image.facts


def _export_language(plan: Plan, vicuna: Language, shop: Workshop, made_from: str) -> None:
    source = plan.source
    if source.ready:
        precision, file = source.ready
        target = _language_path(shop, precision)
        shop.step(f"copy {file.name}", made_from, [target.name], partial(language.copy, file, target))
        return
    base = _language_path(shop, BASE)
    for precision in sorted({BASE, *plan.language} & set(language_gguf.FLOAT_TYPES)):
        target = _language_path(shop, precision)
        convert = partial(language.convert, vicuna, target, precision, source.language_name, source.control)
        shop.step(f"language model to {precision}", made_from, [target.name], convert)
    for precision in plan.language:
        if precision in quantize.TYPES:
            target = _language_path(shop, precision)
            make = partial(quantize.quantize, base, target, precision, plan.threads)
            shop.step(f"{BASE} to {precision}", made_from, [target.name], make)


def _ask_the_original(plan: Plan, vicuna: Language, shop: Workshop, made_from: str) -> None:
    ready = plan.source.ready

    def ask() -> None:
        embeddings = _load_embeddings(shop.folder / REFERENCE_EMBEDDINGS)
        original = language.original(vicuna, ready[1] if ready else None)
        cases = receipts.make_cases(embeddings, vicuna.folder, original, plan.source.prompt)
        receipts.save(cases, shop.folder / RECEIPTS)

    shop.step("ask the original", made_from, [RECEIPTS], ask)


def _compare(plan: Plan, image: ImageFacts, shop: Workshop, meter: Meter) -> Result:
    """Parity figures and their gates; the table goes into the bundle."""
    # fp32 and F16 prove the conversion itself, also where the bundle leaves them out.
    vision = {**_vision_files(plan, shop), "fp32": _vision_path(shop, "fp32")}
    files = _language_files(plan, shop)
    if not plan.source.ready:
        files[BASE] = _language_path(shop, BASE)
    exported = parity.Exported(vision, files, image.recipe, plan.source.prompt)
    with meter.measuring("compare with the original"):
        figures = parity.measure(exported, load_receipts(shop.folder / RECEIPTS), plan.threads)
    limits = gates.chosen(vision, files)
    text = table.markdown(plan.bundle_id, figures, limits)
    with appearing(shop.folder / PARITY) as unfinished:
        unfinished.write_text(text, "utf-8")
    problems = misses(figures, limits)
    if problems:
        kept = f"No bundle was written; the files are in {shop.folder}."
        raise GateMissed("The exported model is too far from the original.", [*problems, kept])
    return Result(figures, limits)


def _require_plan(plan: Plan, out: Path) -> None:
    problems = [f"{out} exists already"] if out.exists() else []
    if not NAME.fullmatch(plan.bundle_id) or plan.bundle_id.startswith("."):
        problems.append(f"{plan.bundle_id!r} is no bundle name: letters, digits, dot, dash, underscore")
    languages = {*language_gguf.FLOAT_TYPES, *quantize.TYPES}
    problems += [f"no encoder precision {p!r}" for p in plan.vision if p not in vision_onnx.PRECISIONS]
    problems += [f"no language precision {p!r}" for p in plan.language if p not in languages]
    problems += ["no encoder precision was asked for"] if not plan.vision else []
    problems += ["no language precision was asked for"] if not plan.language else []
    ready = plan.source.ready
    if ready and plan.language != ready[:1]:
        problems.append(f"{ready[1].name} is {ready[0]}, and no other precision is made from it")
    if problems:
        raise ExportRefused("This cannot be exported as asked.", problems)


def _require_width(image: ImageFacts, vicuna: Language) -> None:
    if image.width != vicuna.shape.width:
        found = f"the projector makes embeddings of {image.width}, the language model takes {vicuna.shape.width}"
        raise ExportRefused("The checkpoint belongs to another language model.", [found])


def _fingerprint(plan: Plan, sources: tuple[dict[str, Any], ...]) -> str:
    """Changes whenever a step would give another result."""
    facts = [RULES, sources, bundle_writer.tool_versions(), plan.source.options, plan.source.prompt.default]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _language_sources(source: Source) -> dict[str, Path]:
    folder = source.vicuna
    present = [folder / name for name in VICUNA_FILES if (folder / name).is_file()]
    return {f"{source.folder_name}/{path.name}": path for path in [*present, *find_shards(folder)]}


def _vision_path(shop: Workshop, precision: str) -> Path:
    return shop.folder / f"vision-{precision}.onnx"


def _language_path(shop: Workshop, precision: str) -> Path:
    return shop.folder / f"language-{precision}.gguf"


def _vision_files(plan: Plan, shop: Workshop) -> dict[str, Path]:
    return {precision: _vision_path(shop, precision) for precision in plan.vision}


def _language_files(plan: Plan, shop: Workshop) -> dict[str, Path]:
    order = bundle_writer.by_preference(plan.language)
    return {precision: _language_path(shop, precision) for precision in order}


def _names(model: Path) -> list[str]:
    return [model.name, model.name + vision_onnx.DATA_SUFFIX]


def _save_embeddings(image: ImagePath, target: Path) -> None:
    with appearing(target) as unfinished, unfinished.open("wb") as stream:
        np.savez(stream, *receipts.reference_embeddings(image))


def _load_embeddings(path: Path) -> list[NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as arrays:
        return [arrays[name] for name in arrays.files]
