"""No network, ever: looked at from outside the process, and with a check that can fail.

strace sees every system call of the process and its children; Python-level guards would not see ONNX Runtime's
own sockets. All runs are in a network namespace of their own with only the loopback, so nothing leaves.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from xraygpt_edge.cli.app import run

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "phantom-1-effusion-right.dcm"
LONG_S = 75
"""The first look-up of the telemetry was seen 9.5 s after the start; give it time."""
QUIET_PLACES = ("/dev/", "/proc/", "/sys/")

ASK_AND_STAY = """
import sys, time
from xraygpt_edge import XrayGPT
with XrayGPT.load(sys.argv[1]) as model:
    print(model.ask(sys.argv[2], "findings?").text)
    time.sleep(float(sys.argv[3]))
"""
UNPROTECTED = """
import sys, time
import onnxruntime
onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
time.sleep(float(sys.argv[2]))
"""

pytestmark = pytest.mark.skipif(
    not (shutil.which("strace") and shutil.which("unshare")), reason="strace and unshare are not installed"
)


@dataclass(frozen=True)
class Seen:
    """What a program did, as the kernel saw it."""

    sockets: list[str]
    written: list[str]
    home: list[str]
    stdout: str


def start(code: str, *arguments: str, folder: Path) -> subprocess.Popen[str]:
    """Run code in a fresh home, with no variable that silences anything, and only a loopback."""
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir(parents=True)
    temporary.mkdir()
    environment = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    traced = ["strace", "-f", "-qq", "-e", "trace=socket,openat,open,creat", "-o", str(folder / "trace")]
    loopback = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    command = [*loopback, *traced, sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=temporary)


def finish(process: subprocess.Popen[str], folder: Path) -> Seen:
    """Wait for the program and read what it did."""
    stdout, _ = process.communicate(timeout=LONG_S + 60)
    assert process.returncode == 0
    calls = (folder / "trace").read_text("utf-8", errors="replace").splitlines()
    sockets = [call for call in calls if re.search(r"socket\(AF_(INET6?|NETLINK|PACKET)", call)]
    opened = [call for call in calls if re.search(r"O_CREAT|O_WRONLY|O_RDWR|creat\(", call) and "= -1" not in call]
    written = [call for call in opened if not any(f'"{place}' in call for place in QUIET_PLACES)]
    left = [path.as_posix() for path in (folder / "home").rglob("*") if path.is_file()]
    return Seen(sockets, written, left, stdout)


def test_an_answer_needs_no_network_and_opens_no_socket_and_writes_no_file(demo: Path, tmp_path: Path) -> None:
    seen = finish(start(ASK_AND_STAY, str(demo), str(EXAMPLE), "0", folder=tmp_path / "a"), tmp_path / "a")
    assert seen.stdout.strip()
    assert (seen.sockets, seen.written, seen.home) == ([], [], [])


@pytest.mark.slow
@pytest.mark.timeout(LONG_S + 120)
def test_in_75_seconds_nothing_is_sent_or_written_and_without_our_protection_it_would_be(
    demo: Path, tmp_path: Path
) -> None:
    ours = start(ASK_AND_STAY, str(demo), str(EXAMPLE), str(LONG_S), folder=tmp_path / "ours")
    encoder = next(demo.glob("vision-*.onnx"))
    bare = start(UNPROTECTED, str(encoder), str(LONG_S), folder=tmp_path / "bare")
    seen, control = finish(ours, tmp_path / "ours"), finish(bare, tmp_path / "bare")
    assert (seen.sockets, seen.written, seen.home) == ([], [], [])
    assert control.sockets, "the check does not see ONNX Runtime's telemetry"
    assert control.home, "the check does not see the files that the telemetry leaves"


@pytest.mark.parametrize(
    "start_it",
    [
        "import xraygpt_edge",
        "from xraygpt_edge.encoder import Encoder",
        "from xraygpt_edge.cli import main",
        "import runpy; runpy.run_module('xraygpt_edge', run_name='started_as_a_module')",
    ],
)
def test_telemetry_is_off_before_onnxruntime_is_imported_however_we_are_started(start_it: str) -> None:
    look = "import os, sys; assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    code = f"{start_it}\n{look}"
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "1"


def test_a_process_that_imported_onnxruntime_unprotected_is_refused(tmp_path: Path) -> None:
    code = (
        "import sys, types; sys.modules['onnxruntime'] = types.ModuleType('onnxruntime')\n"
        "from xraygpt_edge.encoder import import_onnxruntime\n"
        "from xraygpt_edge.errors import NotOffline\n"
        "try: import_onnxruntime()\nexcept NotOffline as error: print(error.error_id, int(error.code))"
    )
    clean = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["E-RUN-020", "20"]


STRICT = """
import os, socket, sys
from xraygpt_edge.cli.app import run
code = run(sys.argv[2:])
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2).close()
except OSError:
    os._exit(100 + code)
os._exit(code)
"""


def test_with_strict_the_kernel_takes_the_network_away_before_anything_is_read(demo: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        question = [str(listening.getsockname()[1]), "ask", str(EXAMPLE), "findings?", "--bundle", str(demo)]
        codes = [
            subprocess.run([sys.executable, "-c", STRICT, *question, *more], capture_output=True, timeout=60).returncode
            for more in ([], ["--strict"])
        ]
    assert codes == [0, 100]


@pytest.mark.parametrize(
    "command",
    [
        ["ask", str(EXAMPLE), "findings?"],
        ["chat", str(EXAMPLE)],
        ["batch", "examples"],
        ["serve", "--api-only", "--port", "0"],
    ],
)
def test_where_the_system_cannot_do_that_strict_ends_with_20(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("xraygpt_edge.sandbox.leave_network", lambda: False)
    more = ["--out", str(tmp_path / "out")] if command[0] == "batch" else []
    assert run([*command, *more, "--strict"]) == 20
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "E-RUN-021" in said.err
