"""Where the kernel gives nobody a namespace, a filter of system calls keeps reader and --strict from the network."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xraygpt_edge import sandbox

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "phantom-1-effusion-right.dcm"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="a filter of Linux"
)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

NO_NAMESPACES = "import errno; from tests.no_namespaces import forbid_unshare; forbid_unshare(errno.EPERM)\n"
TRY_SOCKETS = """
import errno, os, socket
def tried(family, kind=socket.SOCK_STREAM):
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "open"
"""
READER_THAT_TRIES = """
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.isolated import Reader, process
hostile = '''
import socket
from xraygpt_edge.imaging import images
from xraygpt_edge.errors import InputRefused
def read(*_):
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
        except OSError as error:
            found.append(str(error.errno))
    raise InputRefused("E-IMG-003", " ".join(found))
images.read_with_account = read
'''
begin, serve = process.ENTRY.rsplit("; ", 1)
process.ENTRY = f"{begin}; exec({hostile!r}); {serve}"
with Reader() as reader:
    print(reader.protection.no_network)
    try:
        reader.read(b"x")
    except InputRefused as refusal:
        print(refusal.why)
"""


def python(code: str, *before: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, **more)


def lines(code: str, *before: str) -> list[str]:
    done = python(code, *before)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("error", ["EPERM", "EACCES", "ENOSYS", "ENOSPC", "EUSERS", "EINVAL"])
def test_whatever_the_kernel_says_when_it_refuses_a_namespace_the_filter_holds(error: str) -> None:
    forbid = NO_NAMESPACES.replace("EPERM", error)
    look = "from xraygpt_edge import sandbox\nprint(sandbox.leave_network(), tried(socket.AF_INET), tried(10))"
    assert lines(f"{forbid}{TRY_SOCKETS}{look}") == ["filter EACCES EACCES"]


def test_where_there_are_namespaces_the_network_is_an_empty_one() -> None:
    trial = [shutil.which("unshare") or "unshare", "--map-root-user", "--net", "true"]
    if subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("this system gives no namespaces")
    look = """
from xraygpt_edge import sandbox
print(sandbox.leave_network(), errno.errorcode[socket.socket().connect_ex(("127.0.0.1", 9))])
"""
    assert lines(TRY_SOCKETS + look) == ["namespace ENETUNREACH"]


def test_the_kernels_own_limit_of_namespaces_is_answered_with_the_filter() -> None:
    """A real refusal, in a user namespace of the test's own whose limit is set to none."""
    limit = 'echo 0 > /proc/sys/user/max_net_namespaces && echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    before = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("this system gives no namespaces to limit")
    look = "from xraygpt_edge import sandbox\nprint(sandbox.leave_network(), tried(socket.AF_INET))"
    assert lines(TRY_SOCKETS + look, *before) == ["filter EACCES"]


def test_only_sockets_of_the_machine_itself_are_left_in_every_thread_and_every_child() -> None:
    code = """
import ctypes, subprocess, sys, threading
from xraygpt_edge import seccomp
go, found = threading.Event(), []
thread = threading.Thread(target=lambda: (go.wait(), found.append(tried(socket.AF_INET))))
thread.start()
seccomp.refuse_sockets()
go.set()
thread.join()
kinds = (socket.AF_UNIX, socket.SOCK_STREAM), (socket.AF_INET6, socket.SOCK_DGRAM), (socket.AF_PACKET, socket.SOCK_RAW)
found += [tried(*kind) for kind in (*kinds, (socket.AF_NETLINK, socket.SOCK_RAW), (43, socket.SOCK_STREAM))]
libc = ctypes.CDLL(None, use_errno=True)
found.append(errno.errorcode[ctypes.get_errno()] if libc.syscall(425, 8, 0) < 0 else "open")  # io_uring_setup
for pair in socket.socketpair():
    pair.close()
child = "import socket\\ntry: socket.socket()\\nexcept PermissionError: print('EACCES')"
found.append(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout.strip())
print(*found)
"""
    assert lines(TRY_SOCKETS + code) == ["EACCES open EACCES EACCES EACCES EACCES EACCES EACCES"]


def test_an_ordinary_user_gets_the_filter() -> None:
    code = (
        "from xraygpt_edge import sandbox\n"
        "if os.getuid() == 0: os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534)\n"
        "print(sandbox.leave_network(), tried(socket.AF_INET))"
    )
    assert lines(NO_NAMESPACES + TRY_SOCKETS + code) == ["filter EACCES"]


INT_0X80 = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"
"""mov eax, 20 (getpid of 32 bits); int 0x80; ret"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="two more sets of call numbers on x86-64")
def test_calls_by_the_numbers_of_another_architecture_are_no_way_round() -> None:
    x32 = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.syscall(0x40000000 + 41, 2, 1, 0))"
    assert lines(f"from xraygpt_edge import seccomp; seccomp.refuse_sockets(); {x32}") == ["-1"]
    compat = (
        "import ctypes, mmap; page = mmap.mmap(-1, 4096, prot=7); "
        f"page.write({INT_0X80!r}); at = ctypes.addressof(ctypes.c_char.from_buffer(page)); "
        "ctypes.CFUNCTYPE(ctypes.c_int)(at)()"
    )
    if python(compat).returncode:
        pytest.skip("this kernel knows no calls of 32 bits")
    done = python(f"from xraygpt_edge import seccomp; seccomp.refuse_sockets(); {compat}")
    assert done.returncode == -signal.SIGSYS


def test_the_reader_says_which_way_the_network_is_gone_and_reads_as_before(phantom: Path) -> None:
    code = f"""
from pathlib import Path
from xraygpt_edge.imaging.isolated import Reader
with Reader() as reader:
    print(reader.protection.no_network, reader.read(Path({str(phantom)!r})).pixels.shape)
"""
    with_namespace, without = lines(code), lines(NO_NAMESPACES + code)
    assert without[0].startswith("filter (")
    assert without[0].split(" ", 1)[1] == with_namespace[0].split(" ", 1)[1]


def traced(folder: Path, code: str, calls: str) -> tuple[list[str], list[str]]:
    """What the code prints, and what strace saw of it and its children."""
    trace = folder / "trace"
    printed = lines(code, "strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace))
    return printed, trace.read_text("utf-8", errors="replace").splitlines()


@needs_strace
def test_without_namespaces_the_reader_cannot_open_a_socket_as_strace_sees(tmp_path: Path) -> None:
    printed, seen = traced(tmp_path, NO_NAMESPACES + READER_THAT_TRIES, "socket,unshare,seccomp")
    assert printed == ["filter", f"{errno.EACCES} {errno.EACCES}"]
    assert [call for call in seen if "unshare(" in call and "EPERM" in call]
    tries = [call for call in seen if re.search(r"socket\(AF_INET6?,", call)]
    assert len(tries) == 2
    assert all("= -1 EACCES" in call for call in tries)


@needs_strace
def test_without_namespaces_strict_answers_and_no_socket_can_be_opened_as_strace_sees(
    demo: Path, tmp_path: Path
) -> None:
    ask = ["ask", str(EXAMPLE), "findings?", "--bundle", str(demo), "--max-tokens", "4", "--quiet", "--strict"]
    code = f"{TRY_SOCKETS}from xraygpt_edge.cli.app import run\nprint(run({ask!r}), tried(socket.AF_INET))"
    printed, seen = traced(tmp_path, NO_NAMESPACES + code, "socket,connect,seccomp,io_uring_setup")
    assert printed[-1] == "0 EACCES"
    assert len(printed) > 1, "no answer was printed"
    assert [call for call in seen if "SECCOMP_SET_MODE_FILTER" in call and call.endswith("= 0")]
    tries = [call for call in seen if re.search(r"socket\(AF_(?!UNIX)", call)]
    assert len(tries) == 1  # that of this test
    assert "= -1 EACCES" in tries[0]


def test_without_namespaces_doctor_says_that_a_filter_holds() -> None:
    code = "from xraygpt_edge import doctor\nprint(doctor._reader())"
    found = lines(NO_NAMESPACES + code)[0]
    assert "state='ok'" in found
    assert "filter of system calls" in found
    assert os.linesep not in found


@pytest.mark.skipif(sys.platform == "win32", reason="pipes tell no end there unasked")
def test_a_process_of_ours_whose_parent_has_gone_ends_before_it_imports_anything() -> None:
    command = sandbox.bound_command("no.such.module")
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading) as orphaned:
        ended = subprocess.run(command, stdin=orphaned, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as watched:
        assert b"No module named 'no'" in watched.stderr.read()
