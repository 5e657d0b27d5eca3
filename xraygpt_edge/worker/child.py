"""What runs in the child: protect itself, import, then answer until its input ends."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from xraygpt_edge.errors import InputRefused
from xraygpt_edge.images import Reading, ReadOptions
from xraygpt_edge.offline import forbid_requests
from xraygpt_edge.sandbox import protect

ORPHAN_S = 5
"""How much longer than the deadline a child may live when its parent is gone."""


def serve() -> None:
    """Answer each request; arguments: the search path, the memory limit in bytes, the deadline in seconds."""
    protection = protect(int(sys.argv[2]))
    answers = _private_output()
    forbid_requests()
    from xraygpt_edge import dicom, images  # noqa: F401 - what takes long is imported before the first request

    _send(answers, asdict(protection))
    for line in sys.stdin.buffer:
        _end_by_itself(float(sys.argv[3]) + ORPHAN_S)
        request = json.loads(line)
        path = Path(request.pop("path"))
        try:
            reading = images.read_with_account(path, ReadOptions(**request))
        except InputRefused as refusal:
            _send_refusal(answers, refusal)
        else:
            _send_reading(answers, reading)
            del reading
        _end_by_itself(0)


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


def _send(answers: IO[bytes], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _send_refusal(answers: IO[bytes], refusal: InputRefused) -> None:
    source = asdict(refusal.source) if refusal.source else None
    said = {"error_id": refusal.error_id, "why": refusal.why}
    _send(answers, {**said, "source": source, "steps": [asdict(step) for step in refusal.steps]})


def _send_reading(answers: IO[bytes], reading: Reading) -> None:
    pixels = np.ascontiguousarray(reading.radiograph.pixels)
    source, steps = asdict(reading.radiograph.source), [asdict(step) for step in reading.steps]
    _send(answers, {"shape": pixels.shape, "source": source, "steps": steps})
    answers.write(pixels.data.cast("B"))
    answers.flush()
