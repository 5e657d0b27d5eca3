"""What a bundle folder becomes on this machine: device chosen, memory counted, widths compared."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from xraygpt_edge import bundle as bundles
from xraygpt_edge import devices, vision
from xraygpt_edge.bundle import Bundle, FileEntry
from xraygpt_edge.decoder import Decoder
from xraygpt_edge.devices import Device, Wish
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted, RuntimeMissing
from xraygpt_edge.generation import llama
from xraygpt_edge.generation.drafter import Phrases
from xraygpt_edge.vision import Vision

Memory = Literal["low", "auto", "fast"]
"""low: the encoder has left before the language model comes. auto: both stay. fast: the language model's
weights are also kept in another order, which takes their size again. Some CPUs multiply that faster, others
slower, so nobody gets it unasked: `bench --memory fast` tells."""
MARGIN_BYTES = 300_000_000
"""What a question needs besides the weights: libraries, a picture, the KV cache."""
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
class Wishes:
    """What the user asked for; None leaves the choice to the program."""

    device: Wish = "auto"
    threads: int | None = None
    vision: str | None = None
    """Precision of the encoder file, for example int8."""
    language: str | None = None
    """Type of the language file, for example Q4_K_M."""
    memory: Memory = "auto"


@dataclass(frozen=True, slots=True)
class Choice:
    """What will be loaded, and where it will run."""

    bundle: Bundle
    device: Device
    vision_file: FileEntry
    language_file: FileEntry
    memory: Memory


def choose(root: Path, wishes: Wishes) -> Choice:
    """Open a bundle folder and decide; nothing large is read yet.

    Raises NoBundle, BundleAltered, BundleIncompatible, RuntimeMissing or ResourceExhausted.
    """
    bundle = bundles.load(root)
    device = choose_device(wishes)
    vision_file = bundle.file("vision", *([wishes.vision] if wishes.vision else VISION_FOR[device.name]))
    language_file = bundle.file("language", *([wishes.language] if wishes.language else []))
    choice = Choice(bundle, device, vision_file, language_file, wishes.memory)
    require_memory(choice)
    return choice


def load_encoder(choice: Choice) -> Vision:
    """Open the encoder; raises BundleIncompatible when it is not what the manifest says."""
    manifest = choice.bundle.manifest
    encoder = Vision.load(choice.bundle.path_of(choice.vision_file), manifest.image.size_px, choice.device)
    if (encoder.n_rows, encoder.n_embd) != (manifest.n_image_tokens, manifest.n_embd):
        found = f"manifest {manifest.n_image_tokens} x {manifest.n_embd}, encoder {encoder.n_rows} x {encoder.n_embd}"
        raise BundleIncompatible("E-BND-021", found)
    devices.trim_memory()
    return encoder


def load_decoder(choice: Choice) -> Decoder:
    """Open the language model; one of another width than the manifest's would read past the image rows."""
    manifest, path = choice.bundle.manifest, choice.bundle.path_of(choice.language_file)
    decoder = Decoder.load(path, choice.device, repack=choice.memory == "fast")
    if decoder.n_embd != manifest.n_embd:
        raise BundleIncompatible("E-BND-021", f"manifest {manifest.n_embd}, language model {decoder.n_embd}")
    decoder.phrases = Phrases(decoder.model.tokenize(text) for text in manifest.prompt.phrases)
    decoder.n_ctx_most = min(manifest.n_ctx, decoder.model.n_ctx_train)
    return decoder


def needed_bytes(choice: Choice) -> int:
    """Memory for the weights and what one question needs beside them."""
    vision, language = choice.vision_file.size, choice.language_file.size
    weights = {"low": max(vision, language), "auto": vision + language, "fast": vision + 2 * language}
    return weights[choice.memory] + MARGIN_BYTES


def require_memory(choice: Choice) -> None:
    """Refuse before loading what would send the machine into swap."""
    needed, there = needed_bytes(choice), devices.available_memory_bytes()
    if needed > there:
        raise ResourceExhausted("E-RUN-015", f"needs {needed / 1e9:.1f} GB, {there / 1e9:.1f} GB are free")


def choose_device(wishes: Wishes) -> Device:
    """The device that was asked for; `auto` takes CUDA when both libraries have it."""
    threads = wishes.threads or devices.usable_cpus()
    if wishes.device == "cpu":
        return Device("cpu", threads)
    missing = [
        name
        for name, there in (
            ("onnxruntime", vision.cuda_available),
            ("llama-cpp-python", llama.gpu_offload_available),
        )
        if not there()
    ]
    if missing and wishes.device == "cuda":
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
