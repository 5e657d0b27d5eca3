"""The token that programs show: made at each start, or kept in a file of its owner."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from xraygpt_edge.serve import private

TOKEN = re.compile(r"[\x21-\x7e]{32,256}")
READ_MAX_BYTES = 1024


def chosen(file: Path | None, *, in_link: bool) -> tuple[str | None, str | None]:
    """The token of programs, and the one that the link holds; a file's stands in no link, since browsers keep links."""
    link_token = new() if in_link else None
    return (from_file(file) if file else link_token), link_token


def new() -> str:
    """256 bits, 43 characters."""
    return secrets.token_urlsafe(32)


def from_file(path: Path) -> str:
    """The token in a file; a file that is not there is made. Raises UsageError E-SRV-017."""
    with private.opened(path, os.O_RDWR, os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)) as stream:
        if not os.fstat(stream.fileno()).st_size:
            stream.write(new().encode() + b"\n")
            stream.flush()
            stream.seek(0)
        token = stream.read(READ_MAX_BYTES).decode("ascii", "replace").strip()
    if not TOKEN.fullmatch(token):
        raise private.unusable(path, "it holds no token")
    return token
