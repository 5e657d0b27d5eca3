"""What a bundle folder becomes on this machine: device chosen, memory counted, widths compared."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from xraygpt_edge import bundle as bundles
from xraygpt_edge import devices
from xraygpt_edge.bundle import Bundle, FileEntry
from xraygpt_edge.bundle.store import starts_folder
from xraygpt_edge.devices import Device, Wish
from xraygpt_edge.encoder import Encoder, cuda_available
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted, RuntimeMissing
from xraygpt_edge.generation import llama_library
from xraygpt_edge.generation.capacity import MAX_SLOTS, SHARED, Capacity, KnownCache, slots_for
from xraygpt_edge.generation.core import LARGE_BYTES, CoreOptions
from xraygpt_edge.generation.gguf_file import cache_bytes
from xraygpt_edge.generation.prompt import control_tokens
from xraygpt_edge.generation.saved_starts import SavedStarts
from xraygpt_edge.generation.scheduler import Scheduler

Memory = Literal["low", "auto", "fast"]
"""low: the encoder has left before the language model comes. auto: both stay. fast: the language model's
weights are also kept in another order, which takes their size again. Some CPUs multiply that faster, others
slower, so nobody gets it unasked: `bench --memory fast` tells."""
MARGIN_BYTES = 300_000_000
"""What a question needs besides the weights: libraries, a picture, the KV cache."""
USUAL_TOKENS = 400
"""Of a question and its answer."""
SHORT_IMAGE = 256
"""Image tokens that the margin has room for."""
VISION_FOR = {"cpu": ("int8", "fp32", "fp16"), "cuda": ("fp16", "fp32", "int8")}
"""Encoder precisions in the order in which they suit a device."""
LIBRARIES = {
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "llama_cpp": ("llama_cpp_python",),
    "pydicom": ("pydicom",),
    "numpy": ("numpy",),
    "pillow": ("pillow",),
}
"""What computes or decodes, and the distributions that it may come from."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What the user asked for; None leaves the choice to the program."""

    device: Wish = "auto"
    threads: int | None = None
    vision: str | None = None
    """Precision of the encoder file, for example int8."""
    language: str | None = None
    """Type of the language file, for example Q4_K_M."""
    memory: Memory = "auto"
    capacity: Capacity = SHARED
    """Questions that are answered at the same time."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What will be loaded, and where it will run."""

    bundle: Bundle
    device: Device
    vision_file: FileEntry
    language_file: FileEntry
    memory: Memory
    capacity: Capacity


def choose(root: Path, options: LoadOptions) -> LoadPlan:
    """Open a bundle folder and decide; nothing large is read yet.

    Raises NoBundle, BundleAltered, BundleIncompatible, RuntimeMissing or ResourceExhausted.
    """
    bundle = bundles.load(root)
    device = choose_device(options)
    vision_file = bundle.file("vision", *([options.vision] if options.vision else VISION_FOR[device.name]))
    language_file = bundle.file("language", *([options.language] if options.language else []))
    plan = LoadPlan(bundle, device, vision_file, language_file, options.memory, options.capacity)
    require_memory(plan)
    return plan


def load_encoder(plan: LoadPlan) -> Encoder:
    """Open the encoder; raises BundleIncompatible when it is not what the manifest says."""
    manifest = plan.bundle.manifest
    encoder = Encoder.load(plan.bundle.path_of(plan.vision_file), manifest.image.size_px, plan.device)
    promised, found = (manifest.n_image_tokens, manifest.n_embd), (encoder.n_image_tokens, encoder.n_embd)
    if promised != found:
        raise BundleIncompatible("E-BND-021", f"manifest {promised}, encoder {found}")
    devices.trim_memory()
    return encoder


def begin_language(plan: LoadPlan) -> Scheduler:
    """Begin to open the language model, and return at once."""
    manifest, path = plan.bundle.manifest, plan.bundle.path_of(plan.language_file)
    starts = saved_starts(plan) if plan.language_file.size >= LARGE_BYTES else None
    prompt = manifest.prompt
    options = CoreOptions(
        plan.capacity,
        manifest.n_ctx,
        phrases=prompt.phrases,
        starts=starts,
        control_tokens=control_tokens(prompt.templates.values()),
        space_after_control=prompt.space_after_control,
        thinking=prompt.thinking or (),
    )
    kind, repack = manifest.architecture, plan.memory == "fast"
    return Scheduler(path, plan.device, options, n_embd=manifest.n_embd, architecture=kind, repack=repack)


def begin_rewriter(plan: LoadPlan) -> Scheduler:
    """Begin to open the language model that rewrites reports: the bundle's own for that, else the one that answers."""
    rewriter = plan.bundle.rewriter
    if rewriter is None:
        return begin_language(plan)
    return Scheduler(plan.bundle.path_of(rewriter), plan.device, CoreOptions(plan.capacity))


def saved_starts(plan: LoadPlan) -> SavedStarts:
    """Where this bundle's constant starts are kept for this build, processor and these settings."""
    bundle, file = plan.bundle, plan.language_file
    settings = (plan.device.name, plan.device.threads, plan.memory)
    made_by = (*llama_library.build_identity(), devices.processor())
    identity = (bundle.manifest_sha256, file.path, file.sha256, *made_by, *settings)
    return SavedStarts(starts_folder(), json.dumps(identity))


def needed_bytes(plan: LoadPlan) -> int:
    """Memory for the weights and what one question needs beside them."""
    vision, language = plan.vision_file.size, plan.language_file.size
    weights = {"low": max(vision, language), "auto": vision + language, "fast": vision + 2 * language}
    return weights[plan.memory] + MARGIN_BYTES + _image_cache_bytes(plan)


def answers_at_once(plan: LoadPlan) -> int:
    """How many answers of a usual length a batch computes at the same time with the memory that is free now."""
    free_bytes = devices.available_memory_bytes() - needed_bytes(plan)
    cache = KnownCache(cache_bytes(plan.bundle.path_of(plan.language_file)))
    n_tokens = plan.bundle.manifest.n_image_tokens + USUAL_TOKENS
    return slots_for(cache, plan.device, n_tokens, max(0, free_bytes), MAX_SLOTS)


def _image_cache_bytes(plan: LoadPlan) -> int:
    """Keys and values of an image that is longer than what the margin has room for."""
    n_image_tokens = plan.bundle.manifest.n_image_tokens
    if n_image_tokens <= SHORT_IMAGE:
        return 0
    return n_image_tokens * cache_bytes(plan.bundle.path_of(plan.language_file))


def require_memory(plan: LoadPlan) -> None:
    """Refuse before loading what would send the machine into swap."""
    needed, there = needed_bytes(plan), devices.available_memory_bytes()
    if needed > there:
        raise ResourceExhausted("E-RUN-015", f"needs {needed / 1e9:.1f} GB, {there / 1e9:.1f} GB are free")


def choose_device(options: LoadOptions) -> Device:
    """The device that was asked for; `auto` takes CUDA when both libraries have it."""
    threads = options.threads or devices.usable_cpus()
    if options.device == "cpu":
        return Device("cpu", threads)
    missing = [
        name
        for name, there in (
            ("onnxruntime", cuda_available),
            ("llama-cpp-python", llama_library.gpu_offload_available),
        )
        if not there()
    ]
    if missing and options.device == "cuda":
        raise RuntimeMissing("E-RUN-003", f"{' and '.join(missing)} built without CUDA")
    return Device("cpu" if missing else "cuda", threads)


def library_versions() -> dict[str, str]:
    """Versions of what computes and decodes, as installed."""
    return {name: _version(distributions) for name, distributions in LIBRARIES.items()}


def _version(distributions: tuple[str, ...]) -> str:
    for distribution in distributions:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "missing"
