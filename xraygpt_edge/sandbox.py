"""Limits that a process puts on itself before it opens a file from outside.

Each is tried alone; where the system has no such thing the report says so and the process goes on.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from xraygpt_edge import seccomp

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4


BOUND = "from xraygpt_edge.sandbox import end_with_parent; end_with_parent(); from {} import main; main()"

NetworkCut = Literal["namespace", "filter"]
"""How the kernel keeps a process from the network: an empty network namespace, or a filter of system calls."""


@dataclass(frozen=True, slots=True)
class Protection:
    """Which limits hold."""

    memory_limited: bool
    no_core_dump: bool
    dies_with_parent: bool
    no_network: NetworkCut | None
    """What takes the network away; None where nothing does."""


def bound_command(module: str) -> tuple[str, ...]:
    """What starts `main` of a module in a process that ends with this one, from its first moment on.

    Its standard input must be a pipe of ours. Where only that tells of our end, it is told once `main` reads from it.
    """
    return sys.executable, "-c", BOUND.format(module)


def end_with_parent() -> bool:
    """Have the kernel end this process with the thread that has started it, whatever it does; whether the kernel can.

    Call it before what takes long is imported. If the other end of standard input is gone, this process ends here.
    """
    holds = _holds(lambda: _prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL)))
    if _is_orphan():
        os._exit(0)
    return holds


def leave_network() -> NetworkCut | None:
    """Take the network away from this process and its children, for good; how, or None where the system cannot.

    A namespace where the kernel gives one, which many systems do to root alone; else a filter of system calls.
    """
    if _holds(_empty_network):
        return "namespace"
    return open_no_socket()


def open_no_socket() -> NetworkCut | None:
    """Let this process open no more sockets, for good; those that it has go on, so a listener still accepts."""
    return "filter" if _holds(seccomp.refuse_sockets) else None


def keep_network() -> None:
    """For the one process of ours that connects."""


def protect(memory_bytes: int, cut: Callable[[], NetworkCut | None] = leave_network) -> Protection:
    """Limit this process for good; call it before any thread starts.

    Without a thread yet, since the kernel gives a new user namespace to single-threaded processes only.
    cut: how the network is taken away.
    """
    return Protection(
        memory_limited=_holds(lambda: _limit("RLIMIT_AS", memory_bytes)),
        no_core_dump=_holds(_no_core_dump),
        dies_with_parent=end_with_parent(),
        no_network=cut(),
    )


def _holds(limit: Callable[[], None]) -> bool:
    try:
        limit()
    except (AttributeError, ImportError, OSError, ValueError):
        return False
    return True


def _is_orphan() -> bool:
    """Whether nobody holds the other end of standard input any more; False where the system does not tell."""
    if not hasattr(select, "poll"):
        return False
    looking = select.poll()
    looking.register(0, 0)  # an end is told unasked
    return any(event & select.POLLHUP for _, event in looking.poll(0))


def _limit(name: str, value: int) -> None:
    import resource

    resource.setrlimit(getattr(resource, name), (value, value))


def _no_core_dump() -> None:
    _limit("RLIMIT_CORE", 0)
    _prctl(PR_SET_DUMPABLE, 0)


def _empty_network() -> None:
    """An empty network namespace. Root needs no user namespace for it, and would lose access to files in one."""
    try:
        _unshare(CLONE_NEWNET)
    except OSError:
        _unshare(CLONE_NEWUSER | CLONE_NEWNET)


def _unshare(flags: int) -> None:
    _linux_call("unshare", flags)


def _prctl(option: int, value: int) -> None:
    _linux_call("prctl", option, value, 0, 0, 0)


def _linux_call(name: str, *arguments: int) -> None:
    if sys.platform != "linux":
        raise OSError(f"no {name} on this system")
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*(ctypes.c_ulong(argument) for argument in arguments)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
