"""What runs in the child: protect itself, import, then answer until its input ends."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import IO

import numpy as np

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import Reading
from xraygpt_edge.imaging.isolated import messages
from xraygpt_edge.imaging.isolated.messages import (
    ForViewer,
    Identified,
    Named,
    Picture,
    ReadIdentity,
    ReadPicture,
    Ready,
    Refused,
    Sent,
)
from xraygpt_edge.imaging.values import Shown
from xraygpt_edge.offline import forbid_requests
from xraygpt_edge.sandbox import protect

ORPHAN_S = 5
"""How much longer than the deadline a child may live when its parent is gone."""
BLOCK_BYTES = 1 << 20


def serve() -> None:
    """Answer each request; arguments: the search path, the memory limit in bytes, the deadline in seconds."""
    protection = protect(int(sys.argv[2]))
    answers = _private_output()
    forbid_requests()
    from xraygpt_edge.imaging import dicom, pictures  # noqa: F401 - what takes long is imported before the first request

    _send(answers, Ready(protection))
    while line := sys.stdin.buffer.readline():
        _end_by_itself(float(sys.argv[3]) + ORPHAN_S)
        try:
            _answer(answers, messages.requests.decode(line))
        except InputRefused as refusal:
            _send(answers, Refused(refusal.error_id, refusal.why, refusal.source, refusal.steps))
        _end_by_itself(0)


def _answer(answers: IO[bytes], request: ReadPicture | ReadIdentity) -> None:
    from xraygpt_edge.imaging import images

    file = _file(request.file)
    if isinstance(request, ReadIdentity):
        _send(answers, Identified(images.read_identity(file)))
    else:
        _send_reading(answers, images.read_with_account(file, request.options, request.shown_px))


def _file(described: Named | Sent) -> Path | bytes:
    """The file's path, or its bytes from the pipe; without memory for them they are read past."""
    if isinstance(described, Named):
        return Path(os.fsdecode(described.path))
    try:
        return sys.stdin.buffer.read(described.n_bytes)
    except MemoryError:  # before the first byte was read
        for start in range(0, described.n_bytes, BLOCK_BYTES):
            sys.stdin.buffer.read(min(BLOCK_BYTES, described.n_bytes - start))
        raise InputRefused("E-DCM-020") from None


def _private_output() -> IO[bytes]:
    """Keep the answers apart from what native libraries print: that goes nowhere."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _end_by_itself(seconds: float) -> None:
    """Let the kernel end this process even inside native code, should the parent be gone by then."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _send(answers: IO[bytes], answer: messages.Answer) -> None:
    answers.write(messages.packed(answer))
    answers.flush()


def _send_reading(answers: IO[bytes], reading: Reading) -> None:
    pixels = np.ascontiguousarray(reading.radiograph.pixels)
    rows, columns = pixels.shape
    shown = reading.shown
    _send(answers, Picture(rows, columns, reading.radiograph.source, reading.steps, _for_viewer(shown)))
    answers.write(pixels.data.cast("B"))
    if shown:
        answers.write(np.ascontiguousarray(shown.samples).data.cast("B"))
    answers.flush()


def _for_viewer(shown: Shown | None) -> ForViewer | None:
    if shown is None:
        return None
    rows, columns = shown.samples.shape
    return ForViewer(rows, columns, shown.presentation)
