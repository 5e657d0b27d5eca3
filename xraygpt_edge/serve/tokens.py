"""The token that programs show: made at each start, or kept in a file of its owner."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from xraygpt_edge.errors import UsageError

TOKEN = re.compile(r"[\x21-\x7e]{32,256}")
READ_MAX_BYTES = 1024


def new() -> str:
    """256 bits, 43 characters."""
    return secrets.token_urlsafe(32)


def from_file(path: Path) -> str:
    """The token in a file; a file that is not there is made. Raises UsageError E-SRV-017."""
    try:
        handle = os.open(
            path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0), 0o600
        )
    except OSError as error:
        raise UsageError("E-SRV-017", error.strerror or type(error).__name__) from None
    with os.fdopen(handle, "r+b") as stream:
        facts = os.fstat(stream.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UsageError("E-SRV-017", "not a regular file")
        if os.name != "nt" and (stat.S_IMODE(facts.st_mode) & 0o077 or facts.st_uid != os.geteuid()):
            raise UsageError("E-SRV-017", "others can read it")
        if not facts.st_size:
            stream.write(new().encode() + b"\n")
            stream.flush()
            stream.seek(0)
        token = stream.read(READ_MAX_BYTES).decode("ascii", "replace").strip()
    if not TOKEN.fullmatch(token):
        raise UsageError("E-SRV-017", "it holds no token")
    return token
