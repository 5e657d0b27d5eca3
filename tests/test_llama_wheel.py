"""llama.cpp is built for this computer, kept, and proved, whatever the computer is."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

from export import llama_portable, llama_source, llama_wheel
from export.build_steps import SetupError
from export.llama_wheel import (
    alone,
    built_wheel,
    cmake_flags,
    cpu_features,
    keep,
    kept_wheel,
    needed_features,
    portable_flags,
    wheel_key,
)
from export.tiny_gguf import write_tiny_gguf
from xraygpt_edge.generation import cpu_backend

HASWELL = frozenset(["sse4_2", "avx", "avx2", "fma", "f16c", "bmi2"])
AVX512 = frozenset(["avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"])
SAPPHIRE = (
    HASWELL
    | AVX512
    | frozenset(["avx_vnni", "avx512vbmi", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16"])
)


def flags(features: frozenset[str]) -> list[str]:
    return cmake_flags("Linux", "x86_64", features)


def test_amx_is_never_switched_on() -> None:
    assert "-DGGML_NATIVE=OFF" in flags(SAPPHIRE)
    assert not [flag for flag in flags(SAPPHIRE) if "AMX" in flag]


def test_a_server_cpu_gets_all_of_avx512() -> None:
    wanted = {f"-DGGML_AVX512{part}=ON" for part in ("", "_VBMI", "_VNNI", "_BF16")}
    assert wanted <= set(flags(SAPPHIRE))


def test_a_desktop_cpu_gets_avx2_and_no_avx512() -> None:
    assert {"-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON"} <= set(flags(HASWELL))
    assert "-DGGML_AVX512=OFF" in flags(HASWELL)


def test_an_old_cpu_is_not_given_avx2_by_default() -> None:
    assert "-DGGML_AVX2=OFF" in flags(frozenset({"sse4_2", "avx"}))


def test_avx512_needs_all_five_parts() -> None:
    assert "-DGGML_AVX512=OFF" in flags(HASWELL | AVX512 - {"avx512vl"})


@pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64"), ("Darwin", "x86_64")])
def test_elsewhere_llama_cpp_looks_for_itself(system: str, machine: str) -> None:
    assert cmake_flags(system, machine, frozenset()) == ["-DLLAVA_BUILD=OFF", "-DGGML_OPENMP=OFF"]


def test_windows_gets_the_portable_set() -> None:
    wanted = ["-DLLAVA_BUILD=OFF", "-DGGML_OPENMP=OFF", "-DGGML_NATIVE=OFF"]
    assert cmake_flags("Windows", "AMD64", frozenset()) == wanted


def test_a_wheel_for_other_computers_has_avx2_and_nothing_newer() -> None:
    portable = portable_flags("Linux", "x86_64")
    assert portable == flags(HASWELL)
    assert needed_features(portable) == sorted(HASWELL)


SYSTEMS = [("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64")]


@pytest.mark.parametrize(("system", "machine"), SYSTEMS)
def test_every_build_waits_in_the_way_that_we_repaired(system: str, machine: str) -> None:
    assert "-DGGML_OPENMP=OFF" in cmake_flags(system, machine, HASWELL)
    assert "-DGGML_OPENMP=OFF" in portable_flags(system, machine)


@pytest.mark.parametrize(("system", "machine"), [("Linux", "aarch64"), ("Darwin", "arm64"), ("Windows", "AMD64")])
def test_a_wheel_for_other_computers_is_never_tuned_to_this_one(system: str, machine: str) -> None:
    assert portable_flags(system, machine).count("-DGGML_NATIVE=OFF") == 1


def test_the_last_word_about_a_feature_counts() -> None:
    assert needed_features(["-DGGML_AVX2=ON", "-DLLAVA_BUILD=OFF", "-DGGML_AVX2=OFF", "-DGGML_FMA=ON"]) == ["fma"]


def test_only_features_of_every_processor_count() -> None:
    cpuinfo = "processor: 0\nflags\t: avx avx2 fma\n\nprocessor: 1\nflags\t: avx fma\nbugs\t: amx\n"
    assert cpu_features(cpuinfo) == {"avx", "fma"}


def test_arm_features_are_read_and_an_unknown_text_gives_none() -> None:
    assert cpu_features("processor\t: 0\nFeatures\t: fp asimd dotprod\n") == {"fp", "asimd", "dotprod"}
    assert cpu_features("model name: unknown\n") == frozenset()


def test_other_flags_are_another_wheel() -> None:
    assert wheel_key(flags(HASWELL), HASWELL) != wheel_key(flags(SAPPHIRE), SAPPHIRE)


def test_a_build_from_before_the_repair_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    repaired = wheel_key(flags(HASWELL), HASWELL)
    monkeypatch.setattr(llama_source, "WAITING_REPAIRED", llama_source.WAITING)
    assert wheel_key(flags(HASWELL), HASWELL) != repaired


def test_a_feature_that_llama_cpp_does_not_use_changes_nothing() -> None:
    more = HASWELL | {"pti"}
    assert wheel_key(flags(HASWELL), HASWELL) == wheel_key(flags(more), more)


def test_a_native_build_belongs_to_one_kind_of_cpu() -> None:
    native = ["-DLLAVA_BUILD=OFF"]
    assert wheel_key(native, frozenset({"dotprod"})) != wheel_key(native, frozenset({"dotprod", "sve"}))
    switched = [*flags(HASWELL), "-DGGML_NATIVE=ON"]
    assert wheel_key(switched, HASWELL) != wheel_key(switched, HASWELL | {"sse4a"})


def test_what_the_user_adds_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMAKE_ARGS", "-DGGML_CUDA=ON -DNAME='two words'")
    assert llama_wheel.flags_here()[-2:] == ["-DGGML_CUDA=ON", "-DNAME=two words"]


def test_the_version_is_the_one_that_the_package_wants(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"llama-cpp-python=={llama_wheel.LLAMA_VERSION}" in project["dependencies"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this computer's wheel in a fresh cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = llama_wheel.cache_folder() / llama_wheel.key_here()
    folder.mkdir(parents=True)
    return folder


def put_wheel(folder: Path, content: bytes = b"a wheel") -> Path:
    new = folder / "scratch" / "llama_cpp_python-0.3.36-py3-none-any.whl"
    new.parent.mkdir()
    new.write_bytes(content)
    return keep(new, folder, ["-DLLAVA_BUILD=OFF"])


def test_a_kept_wheel_is_used_again(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = put_wheel(cache)
    assert built_wheel() == wheel
    assert "built on this computer before" in capsys.readouterr().err


def test_a_receipt_says_what_was_built(cache: Path) -> None:
    wheel = put_wheel(cache)
    facts = json.loads((cache / "receipt.json").read_text("utf-8"))
    assert facts == {
        "wheel": wheel.name,
        "sha256": hashlib.sha256(b"a wheel").hexdigest(),
        "cmake_args": ["-DLLAVA_BUILD=OFF"],
        "repaired": llama_source.REPAIRED_FILE,
    }


def test_a_wheel_is_told_by_its_size_its_hash_and_its_licences(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "a.whl", "w") as archive:
        archive.writestr("llama_cpp-1.dist-info/licenses/LICENSE.md", "MIT\n\n# llama.cpp\n\nMIT")
        archive.writestr("llama_cpp/lib/data", bytes(1_000_000))
    digest = hashlib.sha256((tmp_path / "a.whl").read_bytes()).hexdigest()
    words = f"a.whl: 1.0 MB, sha256 {digest}, with the licences of its package, llama.cpp"
    assert llama_wheel.described(tmp_path / "a.whl") == words


def test_a_damaged_or_unfinished_wheel_is_not_used(cache: Path) -> None:
    wheel = put_wheel(cache)
    wheel.write_bytes(b"half")
    assert kept_wheel(cache) is None
    (cache / "receipt.json").unlink()
    assert kept_wheel(cache) is None


def test_without_a_compiler_one_line_says_what_to_install(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SetupError) as caught:
        built_wheel()
    assert "apt install g++" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_build_that_fails_shows_its_last_lines_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(llama_source, "LLAMA_VERSION", "0.0.0+not.there")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (cache / f"{llama_wheel.SCRATCH}killed" / "source").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"build\.log"):
        llama_wheel.build(cache, [])
    assert "0.0.0+not.there" in capsys.readouterr().err
    assert {path.name for path in cache.iterdir()} == {"build.log"}


def a_source(folder: Path, code: str) -> Path:
    """A source with nothing in it but one file."""
    file = folder / llama_source.REPAIRED_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(code.encode())
    return file


def test_waiting_threads_offer_their_core_and_the_rest_of_the_source_stays(tmp_path: Path) -> None:
    before, after = "void ggml_barrier() {\n", "    // exit barrier\n}\n"
    file = a_source(tmp_path, before + llama_source.WAITING + after)
    llama_source.repair(tmp_path)
    repaired = file.read_bytes().decode()
    assert repaired == before + llama_source.WAITING_REPAIRED + after
    assert "sched_yield();" in repaired


@pytest.mark.parametrize(
    "code",
    [
        "",
        llama_source.WAITING.replace("relaxed", "acquire"),
        llama_source.WAITING * 2,
        llama_source.WAITING_REPAIRED,
    ],
    ids=["without the barrier", "another barrier", "two of them", "repaired already"],
)
def test_a_source_of_another_release_is_refused_in_one_line_and_left(tmp_path: Path, code: str) -> None:
    file = a_source(tmp_path, code)
    with pytest.raises(SetupError, match=r"ggml-cpu\.c.*ggml_barrier") as caught:
        llama_source.repair(tmp_path)
    assert "\n" not in str(caught.value)
    assert file.read_bytes().decode() == code


def test_a_source_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"ggml-cpu\.c"):
        llama_source.repair(tmp_path)


@pytest.mark.slow
def test_the_published_source_is_the_one_that_we_repair(tmp_path: Path) -> None:
    source = llama_source.fetch(tmp_path, tmp_path / "log")
    assert (source / llama_source.REPAIRED_FILE).read_bytes().count(b"sched_yield();") == 1
    assert (source / "CMakeLists.txt").is_file()


def a_file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("system", llama_portable.SYSTEMS.values(), ids=list(llama_portable.SYSTEMS))
def test_the_licences_of_all_that_is_in_a_library_are_in_the_one_that_is_packed(system, tmp_path: Path) -> None:
    packed = a_file(tmp_path / llama_source.LICENCES_FILE, "of the package")
    a_file(tmp_path / llama_source.OWN_LICENCE, "of the ggml authors")
    llama_source.name_authors(tmp_path)
    for file in system.licences.values():
        a_file(tmp_path / "zig" / file, f"of {file}")
    llama_portable.add_licences(system, tmp_path / "zig", tmp_path)
    text = packed.read_text("utf-8")
    for words in ("of the package", "# llama.cpp\n\nof the ggml authors", "Mozilla Foundation"):
        assert words in text
    assert all(f"# {title}\n\nof {file}" in text for title, file in system.licences.items())


@pytest.mark.slow
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("system", llama_portable.SYSTEMS.values(), ids=list(llama_portable.SYSTEMS))
def test_a_wheel_for_many_cpus_has_them_all_and_carries_its_licences(system) -> None:
    """10 minutes where none was kept."""
    with ZipFile(llama_wheel.wheel_of(list(system.flags))) as archive:
        names = [Path(name) for name in archive.namelist()]
        (licences,) = (name for name in archive.namelist() if ".dist-info/licenses/" in name)
        titles = re.findall(r"^# (.*)$", archive.read(licences).decode(), re.MULTILINE)
    kinds = {name.stem.partition("ggml-cpu-")[2] for name in names if name.parent == Path("llama_cpp/lib")}
    assert kinds == {"", *cpu_backend.VARIANTS}
    assert {"llama.cpp", *system.licences} <= set(titles)


@pytest.mark.soak
@pytest.mark.parametrize("system", llama_portable.SYSTEMS.values(), ids=list(llama_portable.SYSTEMS))
def test_a_wheel_for_many_cpus_has_the_same_bytes_whoever_builds_it_where(
    system, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = llama_wheel.wheel_of(list(system.flags))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another place"))
    assert llama_wheel.wheel_of(list(system.flags)).read_bytes() == kept.read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="sched_yield is a function of Unix")
def test_the_wheel_that_was_built_here_is_repaired() -> None:
    wheel = kept_wheel(llama_wheel.cache_folder() / llama_wheel.key_here())
    if wheel is None:
        pytest.skip("llama.cpp was not built by us")
    with ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if Path(name).name.startswith("libggml-cpu")]
        assert libraries
        assert all(b"sched_yield" in archive.read(name) for name in libraries)


def test_a_home_whose_name_has_a_space_is_no_place_to_build_in(tmp_path: Path) -> None:
    """pip takes a list of constraints apart at spaces, and so do compilers with their flags."""
    assert llama_wheel.place_for_building(tmp_path / "cache") == tmp_path / "cache"
    assert llama_wheel.place_for_building(tmp_path / "Anna Berg" / "cache") is None
    assert llama_wheel.place_for_building(tmp_path / "Anna\tBerg") is None


def hold(folder: str, held_s: float, started: str) -> None:
    with alone(Path(folder)):
        Path(started).touch()
        time.sleep(held_s)


def test_a_second_build_waits_for_the_first(tmp_path: Path) -> None:
    started = tmp_path / "started"
    first = multiprocessing.get_context("spawn").Process(target=hold, args=(str(tmp_path), 1.0, str(started)))
    first.start()
    while not started.exists():
        time.sleep(0.01)
    begin_s = time.monotonic()
    with alone(tmp_path):
        waited_s = time.monotonic() - begin_s
    first.join()
    assert waited_s > 0.5


def test_one_real_decode_works_here_and_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    llama_wheel.prove(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert "41 tokens decoded" in capsys.readouterr().err


def test_a_decode_that_dies_names_the_folder_and_the_way_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with pytest.raises(SetupError) as caught:
        llama_wheel.prove(broken)
    assert llama_wheel.key_here() in str(caught.value)
    assert "CMAKE_ARGS" in str(caught.value)
    assert capfd.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are Unix's")
def test_a_native_crash_of_the_child_is_survived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = tmp_path / "python"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n", "utf-8")
    crash.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(crash))
    with pytest.raises(SetupError, match="status -11"):
        llama_wheel.prove(None)


def test_the_key_is_all_that_is_printed(root: Path) -> None:
    command = [sys.executable, "-m", "export.llama_wheel", "key"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert done.stdout == llama_wheel.key_here() + "\n"
    assert done.stderr == ""


def test_it_runs_before_anything_is_installed(root: Path) -> None:
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; sys.path.insert(0, '.'); import export.llama_wheel",
    ]
    subprocess.run(command, cwd=root, check=True)


def test_a_kits_wheel_for_linux_has_code_for_many_cpus_and_none_with_amx(tmp_path: Path) -> None:
    kinds = [*cpu_backend.VARIANTS, *llama_portable.NOT_BUILT]
    lines = [f"        ggml_add_cpu_backend_variant({kind:<14} SSE42 AVX)\n" for kind in kinds]
    (tmp_path / llama_portable.KINDS_FILE).parent.mkdir(parents=True)
    (tmp_path / llama_portable.KINDS_FILE).write_text("".join(lines))
    (tmp_path / llama_portable.PACKAGE_FILE).write_text(f"{llama_portable.COMMON} BOOL FORCE)\n")
    llama_portable.narrow(tmp_path)
    left = (tmp_path / llama_portable.KINDS_FILE).read_text()
    assert [kind for kind in kinds if kind in left] == list(cpu_backend.VARIANTS)
    assert "sapphirerapids" not in left
    assert "LLAMA_BUILD_COMMON OFF" in (tmp_path / llama_portable.PACKAGE_FILE).read_text()


def test_a_source_with_another_list_of_cpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="x64 0 times"):
        llama_portable.narrow(tmp_path)


def test_libraries_keep_no_room_for_the_name_of_the_folder_that_they_were_built_in(tmp_path: Path) -> None:
    """Bytes differed with its length: 61 more for a path of 61 more letters."""
    (tmp_path / "CMakeLists.txt").write_text("if()\n    set(CMAKE_BUILD_WITH_INSTALL_RPATH FALSE)\nendif()\n")
    llama_portable.forget_folder(tmp_path)
    assert "set(CMAKE_BUILD_WITH_INSTALL_RPATH TRUE)" in (tmp_path / "CMakeLists.txt").read_text()
    with pytest.raises(SetupError, match="CMAKE_BUILD_WITH_INSTALL_RPATH 0 times"):
        llama_portable.forget_folder(tmp_path)


def test_the_wheel_for_many_cpus_asks_for_the_least_and_is_kept_beside_the_native_one(monkeypatch) -> None:
    monkeypatch.setattr(llama_wheel.platform, "system", lambda: "Linux")
    monkeypatch.setattr(llama_wheel.platform, "machine", lambda: "x86_64")
    many = llama_wheel.flags_here("portable")
    assert llama_portable.system_of(many) is llama_portable.SYSTEMS["linux"]
    assert needed_features(many) == ["sse4_2"]
    assert llama_portable.system_of(llama_wheel.flags_here("native")) is None
    assert llama_wheel.key_here("portable") != llama_wheel.key_here("native")
    assert all("-DGGML_OPENMP=OFF" in system.flags for system in llama_portable.SYSTEMS.values())


def test_the_wheel_for_windows_is_another_and_can_be_asked_for_anywhere(root: Path) -> None:
    command = [sys.executable, "-m", "export.llama_wheel", "key", "--for"]
    keys = [subprocess.check_output([*command, system], cwd=root, text=True) for system in ("linux", "windows")]
    assert ["linux_x86_64" in keys[0], "win_amd64" in keys[1]] == [True, True]


def test_libraries_for_windows_export_what_their_headers_name(tmp_path: Path) -> None:
    windows, before = llama_portable.SYSTEMS["windows"], "#    if defined(_WIN32) && !defined(__MINGW32__)\n"
    headers = [a_file(tmp_path / name, before) for name in windows.exporting]
    llama_portable.export_by_name(llama_portable.SYSTEMS["linux"], tmp_path)
    assert {file.read_text() for file in headers} == {before}
    llama_portable.export_by_name(windows, tmp_path)
    assert {file.read_text() for file in headers} == {"#    if defined(_WIN32)\n"}
    with pytest.raises(SetupError, match="names __MINGW32__ 0 times"):
        llama_portable.export_by_name(windows, tmp_path)
