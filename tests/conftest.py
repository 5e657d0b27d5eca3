"""What every test may rely on: telemetry off before any import, and marks that skip what cannot run here."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from playwright.sync_api import Browser

    from tests.node import Clinic
    from xraygpt_edge.generation.llama import LlamaContext, Span

# Before any test imports ONNX Runtime: afterwards it is too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
"""Real and hostile files beside the checkout; nobody needs them to run the tests."""
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def missing(mark: str) -> str | None:
    """Why tests with this mark cannot run here; None when they can."""
    if mark == "shared" and not SHARED.is_dir():
        return "the folder of real files is not beside this checkout"
    if mark == "export" and importlib.util.find_spec("torch") is None:
        return "the export extra is not installed"
    if mark == "browser" and BROWSER is None:
        return "Chromium is not installed"
    if mark == "cuda" and shutil.which("nvidia-smi") is None:
        return "this machine has no NVIDIA GPU"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons = {mark: missing(mark) for mark in ("shared", "export", "cuda", "browser")}
    for item in items:
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def saved_starts_stay_out_of_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("xraygpt_edge.loading.starts_folder", lambda: tmp_path / "starts")


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files; use it with the mark of the same name."""
    return SHARED


@pytest.fixture(scope="session")
def demo() -> Path:
    """The demonstration bundle: a real model, trained on drawn phantoms."""
    return ROOT / "models" / "demo"


@pytest.fixture(scope="session")
def phantom() -> Path:
    """A drawn radiograph, as DICOM."""
    return min((ROOT / "examples").glob("*.dcm"))


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    """A node between a modality, a peer that misbehaves, and an archive; for tests that do not harm it."""

    from tests.node import Clinic

    with Clinic.open(tmp_path_factory.mktemp("clinic")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """This machine's Chromium, for tests with the mark of the same name."""
    from tests.browsing import chromium

    with chromium() as found:
        yield found


@pytest.fixture
def decodes(monkeypatch: pytest.MonkeyPatch) -> list[list[Span]]:
    """What is given to llama.cpp from now on, decode by decode."""
    from xraygpt_edge.generation.llama import LlamaContext

    batches: list[list[Span]] = []
    decode = LlamaContext.decode

    def noted(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        batches.append(list(spans))
        return decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", noted)
    return batches


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Span]:
    """Spans that are computed from now on."""
    from xraygpt_edge.generation.llama import LlamaContext

    found: list[Span] = []
    decode = LlamaContext.decode

    def noted(self: LlamaContext, spans: Sequence[Span]) -> list[NDArray[np.float32]]:
        found.extend(spans)
        return decode(self, spans)

    monkeypatch.setattr(LlamaContext, "decode", noted)
    return found
