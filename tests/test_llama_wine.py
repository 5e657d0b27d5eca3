"""llama.cpp's wheel for Windows, under Wine: its libraries compute what Linux's do.

No Python for Windows is to be had here: a small program stands in for it, which zig compiles.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from export import llama_portable, llama_wheel
from tests.wine import WINE, compiled, needs_wine, windows_path
from tests.wine import windows as a_windows
from xraygpt_edge import bundle as bundles
from xraygpt_edge.devices import Device
from xraygpt_edge.generation import cpu_backend
from xraygpt_edge.generation.llama_library import import_llama
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.proof import gates, parity, receipts

WINDOWS = llama_portable.SYSTEMS["windows"]
SOURCE = Path(__file__).with_name("windows_decode.c")
PLACES = {
    "EXTRA_BUFFERS": ("llama_model_params", "use_extra_bufts"),
    "N_CTX": ("llama_context_params", "n_ctx"),
    "N_BATCH": ("llama_context_params", "n_batch"),
    "N_UBATCH": ("llama_context_params", "n_ubatch"),
    "N_THREADS": ("llama_context_params", "n_threads"),
    "N_THREADS_BATCH": ("llama_context_params", "n_threads_batch"),
    "FLASH_ATTENTION": ("llama_context_params", "flash_attn_type"),
}
PRECISION = "Q8_0"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400), needs_wine]


@pytest.fixture(scope="module")
def windows(tmp_path_factory):
    with a_windows(tmp_path_factory.mktemp("wine")) as environment:
        yield environment


@pytest.fixture(scope="module")
def wheel():
    """The kept one, or a new one: 10 minutes."""
    return llama_wheel.wheel_of(list(WINDOWS.flags))


@pytest.fixture(scope="module")
def libraries(wheel, tmp_path_factory):
    """The folder of its libraries, as an installation has it."""
    folder = tmp_path_factory.mktemp("installed")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder / "llama_cpp" / "lib"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The small program, for the options of this llama.cpp."""
    folder = tmp_path_factory.mktemp("program")
    lib = import_llama()
    facts = {"MODEL_PARAMS": ctypes.sizeof(lib.llama_model_params)}
    facts |= {"CONTEXT_PARAMS": ctypes.sizeof(lib.llama_context_params)}
    facts |= {name: getattr(getattr(lib, options), field).offset for name, (options, field) in PLACES.items()}
    return compiled(SOURCE, folder, *(f"-D{name}={fact}" for name, fact in facts.items()))


@pytest.fixture(scope="module")
def cases(demo):
    return receipts.load(demo / "receipts.npz")


@pytest.fixture(scope="module")
def model(demo):
    return demo / f"language-{PRECISION}.gguf"


@pytest.fixture
def run(windows, program, tmp_path):
    """Decode a receipt with one library; the exit code, and the logits (len(answer), n_vocab) where there are any."""

    def run(variant, model, case):
        n_image, n_embd = case.embeddings.shape
        head = (len(case.ids_before), n_image, len(case.ids_after), n_embd, len(case.answer))
        parts = [np.array(ids, np.int32) for ids in (head, case.ids_before, case.ids_after, case.answer)]
        parts.insert(2, case.embeddings)
        (tmp_path / "receipt").write_bytes(b"".join(part.tobytes() for part in parts))
        paths = [windows_path(path) for path in (variant.path, model, tmp_path / "receipt", tmp_path / "logits")]
        done = subprocess.run([WINE, program, *paths], env=windows, capture_output=True, text=True)
        assert done.returncode in {0, cpu_backend.UNSUPPORTED, cpu_backend.NO_MODEL}, done.stderr
        found = np.fromfile(tmp_path / "logits", np.float32) if done.returncode == 0 else np.empty(0, np.float32)
        return done.returncode, found.reshape(len(case.answer), -1)

    return run


@pytest.fixture(scope="module")
def linux(model, cases):
    """What each case's tokens are chosen from by the llama.cpp that is installed here."""
    scheduler = Scheduler.load(model, Device("cpu", 2))
    prompts = [Prompt((case.ids_before, case.embeddings, case.ids_after)) for case in cases]
    found = [scheduler.logits_along(prompt, case.answer[:-1]) for prompt, case in zip(prompts, cases, strict=True)]
    scheduler.close()
    return found


def test_windows_libraries_give_linuxs_tokens_and_the_exporters_figures(demo, libraries, model, cases, linux, run):
    recorded = bundles.load(demo).manifest.parity
    computed = []
    for variant in cpu_backend.variants(libraries):
        codes, found = zip(*(run(variant, model, case) for case in cases), strict=True)
        if set(codes) == {cpu_backend.UNSUPPORTED}:
            continue
        assert set(codes) == {0}
        computed.append(variant.name)
        assert [f.argmax(axis=1).tolist() for f in found] == [f.argmax(axis=1).tolist() for f in linux], variant.name
        figures = {"language": {PRECISION: parity.language_figures(list(found), cases)}}
        assert gates.strays(figures, recorded) == [], variant.name
    assert computed[-1] == "sse42"
    assert len(computed) > 1


def test_on_windows_the_best_code_that_works_is_chosen_as_on_linux(libraries, model, cases, run, tmp_path, monkeypatch):
    tried = {}

    def tried_out(variant, model):
        tried[variant.name], _ = run(variant, model, cases[0])
        return tried[variant.name]

    monkeypatch.setattr(cpu_backend, "_kept_file", lambda: tmp_path / "cpu.json")
    monkeypatch.setattr(cpu_backend, "_tried", tried_out)
    there = list(cpu_backend.variants(libraries))
    assert [variant.name for variant in there] == list(cpu_backend.VARIANTS)
    name = cpu_backend._best(there, model)
    assert tried == {**dict.fromkeys(tried, cpu_backend.UNSUPPORTED), name: 0}
    assert cpu_backend.kept(there) == name


def test_a_file_that_is_no_model_is_told_from_a_library_that_does_not_work(libraries, cases, run, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    code, _ = run(cpu_backend.Variant("sse42", libraries / "ggml-cpu-sse42.dll"), tmp_path / "model.gguf", cases[0])
    assert code == cpu_backend.NO_MODEL
