"""A bundle folder into parts that run: device chosen, memory counted, widths compared."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from xraygpt_edge import bundle as bundles
from xraygpt_edge import devices, llama, vision
from xraygpt_edge.bundle import Bundle, FileEntry
from xraygpt_edge.decoder import Decoder
from xraygpt_edge.devices import Device, Wish
from xraygpt_edge.errors import BundleIncompatible, ResourceExhausted, RuntimeMissing
from xraygpt_edge.vision import Vision

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


@dataclass(frozen=True, slots=True)
class Parts:
    """A bundle that is ready to be asked."""

    bundle: Bundle
    device: Device
    vision_file: FileEntry
    language_file: FileEntry
    encoder: Vision
    decoder: Decoder


def load(root: Path, wishes: Wishes) -> Parts:
    """Open a bundle.

    Raises NoBundle, BundleAltered, BundleIncompatible, RuntimeMissing or ResourceExhausted.
    """
    bundle = bundles.load(root)
    device = choose_device(wishes)
    vision_file = bundle.file("vision", *([wishes.vision] if wishes.vision else VISION_FOR[device.name]))
    language_file = bundle.file("language", *([wishes.language] if wishes.language else []))
    require_memory(vision_file.size + language_file.size)
    encoder = Vision.load(bundle.path_of(vision_file), bundle.manifest.image.size_px, device)
    decoder = Decoder.load(bundle.path_of(language_file), device)
    require_match(bundle, encoder, decoder)
    return Parts(bundle, device, vision_file, language_file, encoder, decoder)


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


def require_memory(weights_bytes: int) -> None:
    """Refuse before loading what would send the machine into swap."""
    needed, there = weights_bytes + MARGIN_BYTES, devices.available_memory_bytes()
    if needed > there:
        raise ResourceExhausted("E-RUN-015", f"needs {needed / 1e9:.1f} GB, {there / 1e9:.1f} GB are free")


def require_match(bundle: Bundle, encoder: Vision, decoder: Decoder) -> None:
    """Encoder, language model and manifest must agree: a wrong width is read past its buffer."""
    manifest = bundle.manifest
    found = {"manifest": manifest.width, "encoder": encoder.n_embd, "language model": decoder.n_embd}
    if len(set(found.values())) > 1:
        raise BundleIncompatible("E-BND-021", ", ".join(f"{name} {width}" for name, width in found.items()))
    if encoder.n_rows != manifest.rows:
        raise BundleIncompatible("E-BND-021", f"manifest {manifest.rows} rows, encoder {encoder.n_rows}")


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
