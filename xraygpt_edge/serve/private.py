"""Files that hold a secret: regular ones that nobody but their owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from xraygpt_edge.errors import UsageError


def opened(path: Path, flags: int = os.O_RDONLY, more: int = 0) -> BinaryIO:
    """A secret's file; flags: O_RDONLY or O_RDWR, more: as O_CREAT. Raises UsageError E-SRV-017."""
    try:
        handle = os.open(path, flags | more | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o600)
    except (OSError, ValueError) as error:
        raise unusable(path, getattr(error, "strerror", None) or type(error).__name__) from None
    facts = os.fstat(handle)
    why = "" if stat.S_ISREG(facts.st_mode) else "not a regular file"
    why = why or ("" if _is_owners_alone(facts) else "others can read it")
    if why:
        os.close(handle)
        raise unusable(path, why)
    return os.fdopen(handle, "rb" if flags == os.O_RDONLY else "r+b")


def unusable(path: Path, why: str) -> UsageError:
    """The error of a file that cannot be used."""
    return UsageError("E-SRV-017", f"{path.name}: {why}")


def _is_owners_alone(facts: os.stat_result) -> bool:
    """Windows keeps that in lists of its own, which a home folder passes on."""
    return os.name == "nt" or (not stat.S_IMODE(facts.st_mode) & 0o077 and facts.st_uid == os.geteuid())
