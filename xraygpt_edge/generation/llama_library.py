"""llama.cpp's libraries: the only importer of llama_cpp."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from xraygpt_edge.errors import RuntimeMissing

SPINS = "10000"
"""How long a thread spins before it sleeps, for a llama.cpp with OpenMP, which our builds are without. GNU's default
spins for milliseconds: when another program takes a core, all threads wait for the one that lost it. Measured beside
two busy programs: 5 times faster."""


def import_llama() -> Any:
    """Import llama_cpp, silent and without its debugger helper, or say what to install."""
    os.environ["GGML_NO_BACKTRACE"] = "1"  # otherwise an abort attaches gdb and prints frames
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        lib = _low_level("llama_cpp")
    except (ImportError, OSError, RuntimeError, FileNotFoundError) as error:
        raise RuntimeMissing("E-RUN-002", f"{type(error).__name__}") from error
    lib.llama_log_set(_SILENT, ctypes.c_void_p(0))
    return lib


def import_backends() -> Any:
    """The library that knows what can compute: CPUs of several kinds, GPUs."""
    import_llama()
    return _low_level("_ggml").libggml


def libraries() -> Path:
    """The folder of llama.cpp's libraries."""
    return Path(import_llama()._lib._name).parent  # noqa: SLF001 - ctypes keeps the path there


def import_ggml() -> Any:
    """The library below llama.cpp."""
    import_llama()
    path = _low_level("_ggml").libggml_base_path
    return _low_level("_ctypes_extensions").load_shared_library("ggml-base", path)


def _low_level(name: str) -> Any:
    """A module of llama_cpp without the package's own beginning, which imports a chat program: 0.15 s."""
    if "llama_cpp" in sys.modules:
        return import_module(f"llama_cpp.{name}")
    spec = find_spec("llama_cpp")
    if spec is None:
        raise ImportError
    stand_in = ModuleType("llama_cpp")
    stand_in.__path__ = list(spec.submodule_search_locations or ())
    sys.modules["llama_cpp"] = stand_in
    try:
        return import_module(f"llama_cpp.{name}")
    finally:
        del sys.modules["llama_cpp"]  # whoever imports the package later gets the whole one


def build_identity() -> tuple[str, ...]:
    """What tells one build of llama.cpp from another: its own words about itself, and each library file."""
    lib = import_llama()
    files = sorted(path for path in libraries().iterdir() if path.suffix in {".so", ".dll", ".dylib"})
    facts = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    return (lib.llama_print_system_info().decode(), *facts)


def gpu_offload_available() -> bool:
    """Whether this llama.cpp was built for a GPU."""
    return bool(import_llama().llama_supports_gpu_offload())


def _drop(_level: int, _text: bytes, _data: int) -> None:
    """Take llama.cpp's log, thousands of lines on stderr, and drop it."""


_SILENT = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(_drop)


def flag_reader(lib: Any) -> Any:
    """Libc's strlen as abort callback: an empty string says go on, one character says stop.

    llama.cpp asks before every node of its graph. A callback in Python would take the
    interpreter's lock a thousand times a token; this one costs nothing.
    """
    libc = ctypes.CDLL("msvcrt") if os.name == "nt" else ctypes.CDLL(None)
    return lib.ggml_abort_callback(ctypes.cast(libc.strlen, ctypes.c_void_p).value)
