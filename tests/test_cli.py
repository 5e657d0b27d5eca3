"""The command line as a script or a person meets it: real processes, the tiny bundle or the demonstration."""

from __future__ import annotations

import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import rounded_frequencies, write_bundle
from xraygpt_edge.records import DEMO_NOTICE, NOTICE

ERROR_LINE = re.compile(r"xraygpt-edge: error (E-[A-Z]{3}-\d{3}): .+ Help: xraygpt-edge explain E-[A-Z]{3}-\d{3}\n")
COLOUR = "\x1b["


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grey picture with some structure."""
    path = tmp_path_factory.mktemp("films") / "film.png"
    y, x = np.mgrid[0:300, 0:260]
    Image.fromarray(((np.sin(x / 20) + np.cos(y / 30) + 2) * 60).astype(np.uint8)).save(path)
    return path


def run(*arguments: str | Path, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "xraygpt_edge", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, input=stdin, timeout=60, env={**os.environ, **environment}
    )


def failed(done: subprocess.CompletedProcess[str], code: int, error_id: str) -> None:
    """The promised form of a failure: the code, one line, the id, no traceback."""
    assert done.returncode == code, done.stderr
    assert ERROR_LINE.fullmatch(done.stderr), done.stderr
    assert error_id in done.stderr


def test_an_answer_goes_to_stdout_with_the_notice_and_without_colour(tiny: Path, film: Path) -> None:
    done = run("ask", film, "findings?", "--bundle", tiny, "--max-tokens", "8")
    assert done.returncode == 0, done.stderr
    assert NOTICE in done.stdout
    assert COLOUR not in done.stdout + done.stderr


def test_the_demonstration_says_with_every_answer_what_it_is(demo: Path, phantom: Path) -> None:
    done = run("ask", phantom, "findings?", "--bundle", demo)
    assert done.returncode == 0, done.stderr
    assert DEMO_NOTICE in done.stdout
    assert len(done.stdout.split(DEMO_NOTICE)[0].strip()) > 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", [("ask",), ("inspect",), ("bundle", "list"), ("doctor",)])
def test_an_answer_that_cannot_be_written_is_an_error_and_not_silently_lost(
    tiny: Path, film: Path, command: tuple[str, ...]
) -> None:
    about_film = {"ask": (film, "findings?", "--bundle", tiny, "--max-tokens", "4"), "inspect": (film,)}
    words = [sys.executable, "-m", "xraygpt_edge", *command, *map(str, about_film.get(command[0], ()))]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr.count("\n")) == (16, 1), done.stderr
    assert "E-OUT-001" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes streams as a shell does")
@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [("<&-", 2, "E-USE-004"), (">&-", 16, "E-OUT-001"), ("2>&-", 2, ""), ("<&- >&- 2>&-", 2, "")],
)
def test_a_standard_stream_that_is_closed_is_an_empty_one_and_loses_no_answer_silently(
    tiny: Path, film: Path, closed: str, code: int, said: str
) -> None:
    question = "findings?" if closed == ">&-" else "-"
    words = [sys.executable, "-m", "xraygpt_edge", "ask", film, question, "--bundle", tiny, "--max-tokens", "4"]
    line = f"{shlex.join(map(str, words))} {closed}"
    done = subprocess.run(
        ["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1 if said else 0), done.stderr
    assert said in done.stderr


def test_json_is_one_object_with_everything_that_made_the_answer(tiny: Path, film: Path) -> None:
    done = run("ask", film, "findings?", "--bundle", tiny, "--max-tokens", "8", "--json")
    record: dict[str, Any] = json.loads(done.stdout)
    assert (record["schema"], record["status"], record["finish_reason"]) == (1, "ok", "length")
    assert len(record["token_ids"]) == record["timing"]["tokens"] == 8
    assert record["input"]["format"] == "png"
    assert (record["input"]["rows"], record["input"]["columns"]) == (300, 260)
    assert record["bundle"] == {
        "id": "tiny",
        "kind": "medclip",
        "vision": "fp32",
        "language": "F32",
        "demo": False,
        "manifest_sha256": record["bundle"]["manifest_sha256"],
    }
    assert {
        "version",
        "device",
        "providers",
        "threads",
        "n_ctx",
        "seed",
        "temperature",
        "template",
        "libraries",
    } <= set(record["engine"])
    assert {
        "read_s",
        "load_s",
        "vision_s",
        "prefill_s",
        "decode_s",
        "first_token_s",
        "total_s",
        "tokens_per_s",
    } <= set(record["timing"])
    assert record["notice"] == NOTICE


def test_the_same_command_gives_the_same_tokens(tiny: Path, film: Path) -> None:
    def tokens(*more: str) -> list[int]:
        done = run("ask", film, "findings?", "--bundle", tiny, "--max-tokens", "12", "--json", *more)
        ids: list[int] = json.loads(done.stdout)["token_ids"]
        return ids

    assert tokens() == tokens()
    drawn = ("--temperature", "1", "--seed", "7")
    assert tokens(*drawn) == tokens(*drawn)
    assert tokens(*drawn) != tokens("--temperature", "1", "--seed", "8")


def test_a_question_can_come_from_standard_input(tiny: Path, film: Path) -> None:
    done = run("ask", film, "-", "--bundle", tiny, "--max-tokens", "4", "--json", stdin="Is the heart enlarged?\n")
    assert json.loads(done.stdout)["question"] == "Is the heart enlarged?"


def test_a_terminal_sees_the_words_as_they_come(demo: Path, phantom: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "xraygpt_edge", "ask", str(phantom), "findings?", "--bundle", str(demo)]
    process = subprocess.Popen(command, stdout=follower, stderr=follower, close_fds=True)
    os.close(follower)
    pieces = []
    try:
        while piece := os.read(leader, 65536):
            pieces.append(piece)
    except OSError:  # Linux reports the closed terminal so
        pass
    assert process.wait(30) == 0
    assert len(pieces) > 5
    assert DEMO_NOTICE.split(":")[0].encode() in b"".join(pieces)


@pytest.mark.parametrize(
    ("edits", "code", "error_id"),
    [
        ({"encoder": {"width": 32}}, 13, "E-BND-021"),
        ({"width": 128, "encoder": {"width": 64}, "language": {"width": 64}}, 13, "E-BND-021"),
        ({"encoder": {"rows": 3}}, 13, "E-BND-021"),
        ({"encoder": {"nan": True}}, 18, "E-RUN-031"),
        ({"language": {"nan": True}}, 18, "E-RUN-031"),
        ({"schema": 99}, 13, "E-BND-020"),
    ],
)
def test_a_bundle_whose_parts_are_wrong_gives_one_line_and_its_code(
    edits: dict[str, Any], code: int, error_id: str, film: Path, tmp_path: Path
) -> None:
    failed(run("ask", film, "findings?", "--bundle", write_bundle(tmp_path / "bad", **edits)), code, error_id)


@pytest.mark.parametrize("name", ["vision-fp32.onnx", "language-F32.gguf"])
def test_an_absent_or_altered_bundle_file_gives_code_12(name: str, tiny: Path, film: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tiny, root)
    data = bytearray((root / name).read_bytes())
    data[len(data) // 2] ^= 1
    (root / name).write_bytes(data)
    failed(run("ask", film, "findings?", "--bundle", root), 12, "E-BND-010")
    assert run("bundle", "verify", root).returncode == 12
    (root / name).unlink()
    failed(run("ask", film, "findings?", "--bundle", root), 12, "E-BND-010")


@pytest.mark.parametrize(
    ("arguments", "code", "error_id"),
    [
        (["ask", "FILM", "x" * 10_000, "--bundle", "TINY"], 2, "E-USE-008"),
        (["ask", "FILM", "", "--bundle", "TINY"], 2, "E-USE-004"),
        (["ask", "FILM", "a?", "--bundle", "TINY", "--template", "other"], 2, "E-USE-005"),
        (["ask", "FILM", "a?", "--bundle", "TINY", "--device", "tpu"], 2, "E-USE-001"),
        (["ask", "FILM", "a?", "--bundle", "TINY", "--nonsense"], 2, "E-USE-001"),
        (["ask", "FILM", "a?", "--bundle", "TINY", "--device", "cuda"], 14, "E-RUN-003"),
        (["ask", "FILM", "a?", "--bundle", "nowhere"], 10, "E-BND-001"),
        (["ask", "FILM", "a?", "--bundle", "TINY", "--timeout", "0"], 17, "E-RUN-017"),
        (["ask", "missing.dcm", "a?", "--bundle", "TINY"], 4, "E-"),
        (["explain", "E-XXX-000"], 2, "E-USE-002"),
        (["bundle", "verify", "nowhere"], 10, "E-BND-001"),
    ],
)
def test_each_wrong_use_gives_one_line_and_the_promised_code(
    arguments: list[str], code: int, error_id: str, tiny: Path, film: Path
) -> None:
    places = {"FILM": str(film), "TINY": str(tiny)}
    failed(run(*[places.get(word, word) for word in arguments]), code, error_id)


def test_a_failure_with_json_is_one_object_on_stdout(tiny: Path, tmp_path: Path) -> None:
    done = run("ask", tmp_path / "none.dcm", "findings?", "--bundle", tiny, "--json")
    record = json.loads(done.stdout)
    assert (record["schema"], record["status"], record["code"]) == (1, "failed", 4)
    assert record["error_id"].startswith("E-")
    assert done.returncode == 4


def test_an_end_of_sequence_in_a_question_is_plain_text(tiny: Path, film: Path) -> None:
    done = run("ask", film, "a</s>b<s>?", "--bundle", tiny, "--max-tokens", "4", "--json")
    assert json.loads(done.stdout)["question"] == "a</s>b<s>?"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("after_s", [0.3, 0.8, 1.5])
def test_a_signal_ends_the_program_within_two_seconds(
    number: signal.Signals, code: int, after_s: float, tiny: Path, film: Path
) -> None:
    forever = ("ask", film, "findings?", "--bundle", tiny, "--max-tokens", "400", "--temperature", "5")
    # A whole loop of them, so that the signal arrives at any stage and never after the end.
    code_text = (
        "import sys\nfrom xraygpt_edge.cli import app\napp.prepare(sys.argv)\n"
        "while True:\n    code = app.run(sys.argv[1:])\n    if code: import os; os._exit(code)"
    )
    command = [sys.executable, "-c", code_text, *map(str, forever)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_for_handler(process.pid)
        time.sleep(after_s)
        process.send_signal(number)
        began_s = time.monotonic()
        _, words = process.communicate(timeout=20)
    assert process.returncode == code
    assert time.monotonic() - began_s < 2
    assert b"Traceback" not in words


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_library_swallows_ends_the_program_all_the_same(number: signal.Signals, code: int) -> None:
    code_text = (
        "import time\nfrom xraygpt_edge.cli import app\n"
        "def busy(*a, **k):\n"
        "    print(flush=True)\n"
        "    while True:\n        try: time.sleep(60)\n        except BaseException: pass\n"
        "app.app = busy\napp.main()"
    )
    with subprocess.Popen([sys.executable, "-c", code_text], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        process.send_signal(number)
        began_s = time.monotonic()
        assert process.wait(timeout=20) == code
    assert time.monotonic() - began_s < 2


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_job_that_its_shell_keeps_from_ctrl_c_goes_on() -> None:
    code = (
        "import signal\nfrom xraygpt_edge.cli.signals import SignalHandlers\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with SignalHandlers(): signal.raise_signal(signal.SIGINT)\nprint('on')"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "on\n"


def wait_for_handler(pid: int) -> None:
    """Until Python listens to SIGTERM: on a busy machine its start takes a while."""
    status = Path(f"/proc/{pid}/status")
    while status.exists():
        (caught,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt"))
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.02)


def test_a_closed_pipe_ends_quietly() -> None:
    command = f"{sys.executable} -m xraygpt_edge explain | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""


def test_help_loads_no_model_library() -> None:
    code = (
        "import sys\nfrom xraygpt_edge.cli.app import run\n"
        "run(['ask', '--help'])\n"
        "heavy = {'numpy', 'onnxruntime', 'llama_cpp', 'pydicom', 'PIL', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "--max-tokens" in done.stdout


def test_version_is_a_table_for_a_bug_report() -> None:
    done = run("--version")
    assert done.returncode == 0
    for name in ("xraygpt-edge", "python", "system", "onnxruntime", "llama_cpp", "pydicom", NOTICE):
        assert name in done.stdout


def test_explain_tells_meaning_and_remedy_of_every_id() -> None:
    listed = run("explain").stdout.splitlines()
    assert len(listed) > 30
    page = run("explain", "e-bnd-021").stdout
    assert "llama.cpp would read past" in page
    assert "Exit code 13" in page


def test_bundles_are_listed_and_verified(demo: Path) -> None:
    assert "demonstration" in run("bundle", "list").stdout
    assert run("bundle", "verify", demo).returncode == 0
    found = json.loads(run("bundle", "verify", demo, "--json").stdout)
    assert (found["problems"], found["warnings"]) == ([], [])


def test_an_older_bundle_with_rounded_rotary_frequencies_is_told_in_one_line_and_answers(
    film: Path, tmp_path: Path
) -> None:
    root = write_bundle(tmp_path / "old", language={"more": rounded_frequencies()})
    for command in ("verify", "info"):
        done = run("bundle", command, root)
        assert done.returncode == 0
        told = [line for line in done.stderr.splitlines() if line.startswith("warning W-BND-001")]
        assert len(told) == 1
        assert "Export the bundle again" in told[0]
    assert len(json.loads(run("bundle", "verify", root, "--json").stdout)["warnings"]) == 1
    assert run("ask", film, "findings?", "--bundle", root, "--max-tokens", "4").returncode == 0
