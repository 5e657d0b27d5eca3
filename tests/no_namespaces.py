"""A machine on which nobody gets a namespace, for one process and its children: `unshare` is refused."""

from __future__ import annotations

import ctypes
import platform
import struct

UNSHARE = {"x86_64": 272, "aarch64": 97}
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, FILTER = 22, 38, 2


def forbid_unshare(error: int) -> None:
    """Have the kernel answer every `unshare` of this process with this errno."""
    lines = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, UNSHARE[platform.machine()]),
        (6, 0, 0, 0x50000 | error),
        (6, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero) == 0
    assert libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(FILTER), program, zero, zero) == 0
