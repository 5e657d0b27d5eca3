"""A llama.cpp for many CPUs: the best code that works here is taken, and one that ends the process never again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.tiny import write_language
from xraygpt_edge import doctor
from xraygpt_edge.errors import RuntimeMissing
from xraygpt_edge.generation import cpu_backend
from xraygpt_edge.generation.llama_library import import_backends, libraries

SEGMENTATION_FAULT = -11


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of libraries, AMX's among them, and a user's cache of its own."""
    monkeypatch.setattr(cpu_backend, "_kept_file", lambda: tmp_path / "cache" / "cpu.json")
    folder = tmp_path / "lib"
    folder.mkdir()
    for name in ("haswell", "zen4", "sapphirerapids", "icelake", "sse42"):
        (folder / f"libggml-cpu-{name}.so").write_bytes(name.encode())
    return folder


class Computer:
    """One whose child processes end as they are told, and which notes what is loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **status: int | None) -> None:
        self.tried: list[str] = []
        self.loaded: list[str] = []
        self.loads = 1

        def tried(variant: cpu_backend.Variant, _model: Path) -> int | None:
            self.tried.append(variant.name)
            return status[variant.name]

        monkeypatch.setattr(cpu_backend, "_tried", tried)

    def start(self, folder: Path) -> None:
        """Begin to use llama.cpp in a new process."""
        self.tried.clear()

        def load(path: bytes) -> int:
            self.loaded.append(path.decode())
            return self.loads

        ggml = SimpleNamespace(ggml_backend_reg_count=lambda: 0, ggml_backend_load=load)
        cpu_backend.make_ready(ggml, folder, folder / "model.gguf")


def test_code_that_ends_the_process_is_passed_over_and_never_tried_again(folder, monkeypatch):
    computer = Computer(monkeypatch, zen4=SEGMENTATION_FAULT, icelake=cpu_backend.UNSUPPORTED, haswell=0, sse42=0)
    computer.start(folder)
    assert computer.tried == ["zen4", "icelake", "haswell"]
    computer.start(folder)
    assert computer.tried == []
    assert [Path(path).name for path in computer.loaded] == ["libggml-cpu-haswell.so"] * 2
    assert cpu_backend.chosen(folder) == "haswell"


def test_another_build_or_another_processor_is_tried_anew(folder, tmp_path, monkeypatch):
    computer = Computer(monkeypatch, zen4=0, icelake=0, haswell=0, sse42=0)
    computer.start(folder)
    (folder / "libggml-cpu-sse42.so").write_bytes(b"another build")
    computer.start(folder)
    assert computer.tried == ["zen4"]
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu sse4_2\n")
    monkeypatch.setattr(cpu_backend, "CPUINFO", tmp_path / "cpuinfo")
    computer.start(folder)
    assert computer.tried == ["zen4"]


@pytest.mark.parametrize("text", ["", "[]", '{"identity": 1}', '{"identity": "x", "variant": "../../evil"}', "\0"])
def test_a_damaged_note_of_the_choice_is_as_none(folder, monkeypatch, text):
    computer = Computer(monkeypatch, zen4=0, icelake=0, haswell=0, sse42=0)
    cpu_backend._kept_file().parent.mkdir()
    cpu_backend._kept_file().write_text(text)
    computer.start(folder)
    assert computer.tried == ["zen4"]


def test_where_nothing_can_be_kept_the_choice_is_made_each_time(folder, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the folder should be")
    computer = Computer(monkeypatch, zen4=0, icelake=0, haswell=0, sse42=0)
    for _ in range(2):
        computer.start(folder)
        assert computer.tried == ["zen4"]


def test_a_file_that_is_no_model_is_not_blamed_on_the_processor(folder, monkeypatch):
    computer = Computer(monkeypatch, **dict.fromkeys(("zen4", "icelake", "haswell", "sse42"), cpu_backend.NO_MODEL))
    computer.start(folder)
    assert [Path(path).name for path in computer.loaded] == ["libggml-cpu-zen4.so"]
    assert cpu_backend.chosen(folder) == ""


def test_where_no_code_works_one_line_says_what_was_tried(folder, monkeypatch):
    computer = Computer(monkeypatch, zen4=SEGMENTATION_FAULT, icelake=cpu_backend.UNSUPPORTED, haswell=None, sse42=1)
    with pytest.raises(RuntimeMissing, match=r"zen4: ended by signal 11; haswell: no decode in .* s; sse42: could not"):
        computer.start(folder)
    with pytest.raises(RuntimeMissing, match="0 libraries"):
        computer.start(folder.parent)


def test_a_crash_on_windows_is_named_as_one(folder, monkeypatch):
    illegal_instruction = 0xC000001D
    status = dict.fromkeys(("zen4", "icelake", "haswell", "sse42"), cpu_backend.UNSUPPORTED)
    computer = Computer(monkeypatch, **{**status, "zen4": illegal_instruction})
    with pytest.raises(RuntimeMissing, match="zen4: ended by exception 0xc000001d"):
        computer.start(folder)


def test_libraries_of_windows_are_found_by_their_names(tmp_path):
    for name in ("ggml-base.dll", "ggml.dll", "libllama.dll", "ggml-cpu-zen4.dll", "ggml-cpu-sse42.dll"):
        (tmp_path / name).touch()
    assert [variant.name for variant in cpu_backend.variants(tmp_path)] == ["zen4", "sse42"]


def test_code_that_was_kept_and_does_not_load_is_not_blamed_on_the_bundle(folder, monkeypatch):
    computer = Computer(monkeypatch, zen4=0, icelake=0, haswell=0, sse42=0)
    computer.start(folder)
    computer.loads = 0
    with pytest.raises(RuntimeMissing, match="zen4: could not be loaded"):
        computer.start(folder)


def test_a_build_for_one_cpu_has_its_code_inside_and_nothing_is_tried(tmp_path, monkeypatch):
    if list(cpu_backend.variants(libraries())):
        pytest.skip("this llama.cpp is for many CPUs")
    Computer(monkeypatch)  # a child would be an error
    cpu_backend.make_ready(import_backends(), libraries(), tmp_path / "model.gguf")
    assert cpu_backend.chosen(libraries()) == ""


def test_the_child_that_proves_a_library_tells_a_wrong_one_from_a_wrong_model(tmp_path):
    for kind in cpu_backend.variants(libraries()):
        assert cpu_backend._tried(kind, write_language(tmp_path / "model.gguf")) in {0, cpu_backend.UNSUPPORTED}
    (tmp_path / "libggml-cpu-haswell.so").write_bytes(b"no library")
    wrong = cpu_backend.Variant("haswell", tmp_path / "libggml-cpu-haswell.so")
    assert cpu_backend._tried(wrong, tmp_path / "model.gguf") == cpu_backend.UNSUPPORTED


def test_doctor_names_the_code_that_its_proof_of_a_bundle_has_chosen(monkeypatch):
    chosen = []

    def proved(store):
        chosen.append("haswell")
        yield doctor.CheckResult("bundle demo", "ok", "")

    monkeypatch.setattr(doctor, "_bundles", proved)
    monkeypatch.setattr(cpu_backend, "chosen", lambda libraries: "".join(chosen))
    found = {result.name: result.found for result in doctor.examine(Path())}
    assert found["llama.cpp"].endswith("code for haswell")
