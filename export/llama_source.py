"""The source that every llama.cpp of ours is built from: fetched, unpacked, and repaired in one place.

    pip download ──▶ source archive ── unpack ──▶ folder ── repair, name_authors ──▶ the same folder

What is repaired, and why: docs/decisions/0010-busy-machine.md. Only the standard library, since it runs before
anything is installed.
"""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from export.build_steps import SetupError, run_step

LLAMA_VERSION = "0.3.36"
"""The release that we build; pyproject.toml pins the same."""
SOURCE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""Of its source archive."""

REPAIRED_FILE = "vendor/llama.cpp/ggml/src/ggml-cpu/ggml-cpu.c"
WAITING = """\
    // wait for other threads
    while (atomic_load_explicit(&tp->n_barrier_passed, memory_order_relaxed) == n_passed) {
        ggml_thread_cpu_relax();
    }
"""
"""How a thread of llama.cpp waits at the end of each operation for those that are not there yet."""
WAITING_REPAIRED = """\
    // wait for other threads; one of them may be waiting for this very core, so offer it (xraygpt-edge)
    unsigned n_spins = 0;
    while (atomic_load_explicit(&tp->n_barrier_passed, memory_order_relaxed) == n_passed) {
        ggml_thread_cpu_relax();
        if (++n_spins % 2000 == 0) {
            sched_yield();
        }
    }
"""

LICENCES_FILE = "LICENSE.md"
"""What the wheel's builder packs. One file: it packs several in the order in which the disk lists them."""
OWN_LICENCE = "vendor/llama.cpp/LICENSE"
PARTS = """\
llama.cpp's code for CPUs holds parts by others, under its terms:

Copyright 2024 Mozilla Foundation: llamafile's matrix products.
Copyright (c) 2023 Jeffrey Quesnelle and Bowen Peng: YaRN.
"""


def fetch(scratch: Path, log: Path) -> Path:
    """The folder of llama-cpp-python's source inside scratch, repaired. Raises SetupError."""
    wanted = scratch / "source.txt"
    wanted.write_text(f"llama-cpp-python=={LLAMA_VERSION} --hash=sha256:{SOURCE_SHA256}\n", "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--no-binary", "llama-cpp-python", "--dest", str(scratch), "--require-hashes", "-r", str(wanted)]
    run_step(command, log, "The source of llama.cpp could not be downloaded")
    (archive,) = scratch.glob("llama_cpp_python-*.tar.gz")
    with tarfile.open(archive) as packed:
        # Python before 3.11.4 has no such filter; the archive is pip's, and its build scripts run anyway.
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(scratch / "source")  # noqa: S202
    (folder,) = (scratch / "source").iterdir()
    repair(folder)
    name_authors(folder)
    return folder


def repair(folder: Path) -> None:
    """Change the source so that threads which wait let others run. Raises SetupError for a source that is another."""
    file = folder / REPAIRED_FILE
    found = file.read_bytes() if file.is_file() else b""
    waiting = WAITING.encode()
    if found.count(waiting) != 1:
        raise SetupError(
            f"llama.cpp's {file.name} is not as it is in llama-cpp-python {LLAMA_VERSION}, so threads would wait "
            "without end on a busy computer: compare export/llama_source.py with ggml_barrier there."
        )
    file.write_bytes(found.replace(waiting, WAITING_REPAIRED.encode()))


def name_authors(folder: Path) -> None:
    """Let the wheel hold llama.cpp's own licence beside the Python package's."""
    add_licence(folder, "llama.cpp", f"{(folder / OWN_LICENCE).read_text('utf-8')}\n{PARTS}")


def add_licence(folder: Path, title: str, text: str) -> None:
    """Put a licence at the end of those that the wheel will hold."""
    with (folder / LICENCES_FILE).open("a", encoding="utf-8") as file:
        file.write(f"\n\n# {title}\n\n{text}")
