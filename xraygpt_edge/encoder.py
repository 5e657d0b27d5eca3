"""The image half of the model, run by ONNX Runtime: the only importer of onnxruntime."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge import offline
from xraygpt_edge.devices import Device
from xraygpt_edge.errors import BundleIncompatible, NotOffline, RuntimeMissing, UnusableOutput
from xraygpt_edge.native import Deadline, NativeThread

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
PATCHES = "patches"
"""Name of an encoder file's second output, where it has one."""


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """What an encoder makes of one image."""

    embeddings: NDArray[np.float32]
    """(n_image_tokens, n_embd)."""
    patches: NDArray[np.float32] | None
    """(2 * width,) mean and standard deviation of the encoder's own patches, where a Q-Former comes between them and
    the embeddings; else None."""


class Encoder:
    """Image encoder and projector: one tensor into image embeddings; one caller at a time computes, the others wait."""

    def __init__(self, session: InferenceSession, size_px: int) -> None:
        self._session, self._size_px = session, size_px
        self._thread = NativeThread("vision")
        rows, *more = session.get_outputs()
        self.n_image_tokens, self.n_embd = (int(n) for n in rows.shape[1:])
        self._outputs = [rows.name, *(output.name for output in more if output.name == PATCHES)]
        self.providers: tuple[str, ...] = tuple(session.get_providers())

    @classmethod
    def load(cls, model: Path, size_px: int, device: Device) -> Encoder:
        """Open an encoder file on the device.

        Raises RuntimeMissing without onnxruntime or CUDA, BundleIncompatible for a file it cannot run.
        """
        ort = import_onnxruntime()
        path = _utf_8(model)
        try:
            session = ort.InferenceSession(path, _session_options(ort, device), providers=_providers(device))
        except Exception as error:  # ONNX Runtime has no common base class for its errors
            raise BundleIncompatible("E-BND-023", f"{model.name}: {type(error).__name__}") from error
        # It falls back from CUDA to CPU with no more than a warning.
        if device.name == "cuda" and CUDA not in session.get_providers():
            raise RuntimeMissing("E-RUN-003", "ONNX Runtime fell back to the CPU")
        return cls(session, size_px)

    def encode(self, tensor: NDArray[np.float32], deadline: Deadline | None = None) -> Encoded:
        """Encode one image.

        tensor: (1, 3, size, size), RGB, normalised with the bundle's mean and std.
        Raises UnusableOutput for NaN or Inf before or after the encoder.
        """
        expected = (1, 3, self._size_px, self._size_px)
        if tensor.shape != expected or tensor.dtype != np.float32:
            raise BundleIncompatible("E-BND-024", f"{tensor.shape} {tensor.dtype}, expected {expected} float32")
        require_finite("image tensor", tensor)
        rows, *more = self._thread.call(lambda: self._run(tensor), deadline)
        require_finite("image embeddings", rows)
        return Encoded(rows, more[0] if more else None)

    def close(self) -> None:
        """Give the encoder's memory back."""
        self._thread.close()
        del self._session

    def _run(self, tensor: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        found = self._session.run(self._outputs, {self._session.get_inputs()[0].name: tensor})
        return [np.asarray(of_batch[0], dtype=np.float32) for of_batch in found]


def _utf_8(path: Path) -> str:
    """The path that becomes its own bytes again in ONNX Runtime, which writes text as UTF-8 under any locale."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        raise BundleIncompatible("E-BND-025") from None


def require_finite(name: str, values: NDArray[np.float32]) -> None:
    """Nothing below us refuses NaN: they would come out as a fluent answer about nothing."""
    if not np.isfinite(values).all():
        raise UnusableOutput("E-RUN-031", f"in the {name}")


def import_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off, or say what to install."""
    if offline.came_too_late():
        raise NotOffline("E-RUN-020", "onnxruntime was imported before xraygpt_edge")
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise RuntimeMissing("E-RUN-001", str(error)) from error
    ort.set_default_logger_severity(3)  # errors only: they arrive as exceptions
    return ort


def cuda_available() -> bool:
    """Whether this onnxruntime was built with CUDA; if it works shows at load."""
    return CUDA in import_onnxruntime().get_available_providers()


def _providers(device: Device) -> list[str]:
    return [CUDA, CPU] if device.name == "cuda" else [CPU]


def _session_options(ort: Any, device: Device) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = device.threads
    options.inter_op_num_threads = 1
    # A spinning thread takes its core from llama.cpp, which runs right after.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
