"""A filter of system calls that leaves a process no way to a network (Linux on x86-64 and arm64).

It needs no right that a kernel or an administrator could take away from ordinary users, as both do with user
namespaces. Sockets of the machine itself (AF_UNIX) stay; every other kind is refused with EACCES, since more of
them lead out than AF_INET and AF_INET6: SMC, for one, falls back to TCP. So is io_uring, which opens sockets
without that call. Calls in another architecture's numbers could pass unread: those of x32 are refused, those of
32 bits end the process.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from dataclasses import dataclass

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
AF_UNIX = 1
X32_BIT = 0x40000000

# Linux, include/uapi/linux/bpf_common.h and seccomp.h.
LOAD_WORD, JUMP_IF_EQUAL, JUMP_IF_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
CALL_NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`; of an argument the low half, all that the kernel takes of a socket's family."""
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EACCES, 0x80000000


@dataclass(frozen=True, slots=True)
class Calls:
    """The numbers that a filter has to know on one architecture."""

    audit_arch: int
    socket: int
    io_uring_setup: int
    seccomp: int


CALLS = {
    "x86_64": Calls(0xC000003E, socket=41, io_uring_setup=425, seccomp=317),
    "aarch64": Calls(0xC00000B7, socket=198, io_uring_setup=425, seccomp=277),
}


class _Instruction(ctypes.Structure):
    """What to do, how many instructions to skip if it holds, how many if not, and the value to compare with."""

    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


def refuse_sockets() -> None:
    """Refuse every socket but AF_UNIX to all threads of this process and its children, for good.

    Raises OSError where the system or the CPU does not have such filters.
    """
    calls = CALLS.get(platform.machine())
    if sys.platform != "linux" or calls is None or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    instructions = _filter(calls)
    program = _Program(len(instructions), (_Instruction * len(instructions))(*instructions))
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))))
    how = (SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC)
    _check(libc.syscall(*map(ctypes.c_long, (calls.seccomp, *how)), ctypes.byref(program)))


def _filter(calls: Calls) -> list[_Instruction]:
    """What the kernel runs before each call of this process."""
    lines = (
        (LOAD_WORD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 1, 0, calls.audit_arch),
        (RETURN, 0, 0, KILL),
        (LOAD_WORD, 0, 0, CALL_NUMBER),
        (JUMP_IF_AT_LEAST, 5, 0, X32_BIT),
        (JUMP_IF_EQUAL, 4, 0, calls.io_uring_setup),
        (JUMP_IF_EQUAL, 0, 2, calls.socket),
        (LOAD_WORD, 0, 0, FIRST_ARGUMENT),
        (JUMP_IF_EQUAL, 0, 1, AF_UNIX),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    )
    return [_Instruction(*line) for line in lines]


def _check(status: int) -> None:
    """Zero is success; a positive number names a thread that could not be given the filter."""
    if status:
        code = ctypes.get_errno() if status < 0 else errno.ESRCH
        raise OSError(code, os.strerror(code))
