"""Standard streams that the caller has closed, as some services and `<&-` in a shell do."""

from __future__ import annotations

import os
import sys

_STREAMS = (("stdin", os.O_RDONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
"""How the null device stands in: standard input ends at once, an answer cannot be written, messages go nowhere."""


def reopen_closed() -> None:
    """Put the null device in the place of each standard stream that is closed; call it before any file is opened.

    It gets the lowest free number, so that of the stream. Else the next file would get it, and in that would land
    what a library prints.
    """
    for name, access, mode in _STREAMS:
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, access), mode, encoding="utf-8"))
