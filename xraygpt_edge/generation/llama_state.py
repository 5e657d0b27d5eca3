"""The state of a sequence as llama.cpp writes it: of a context of several, for a context of one."""

from __future__ import annotations

import numpy as np

WORD_BYTES, STATE_HEAD = 4, 2
"""Of a sequence's state."""


def alone(state: bytes, n_sequences: int, number: int, window_bytes: int = 0) -> bytes | None:
    """A state that a context of several sequences gave, for a context of one; None where it is laid out otherwise.

    llama.cpp writes two numbers of 32 bits that say what it is; then what layers hold that look at all positions, and
    behind that, in the last window_bytes, what layers with a window hold. It may be 100 MB: it is copied once.
    """
    view, head, border = memoryview(state), WORD_BYTES * STATE_HEAD, len(state) - window_bytes
    parts = [view[head:border], view[border:]] if window_bytes else [view[head:]]
    found = [_part_alone(part, n_sequences, number) for part in parts]
    return None if None in found else b"".join([view[:head], *(piece for part in found if part for piece in part)])


def _part_alone(part: memoryview, n_sequences: int, number: int) -> tuple[bytes, memoryview] | None:
    """One part of a state: how many sequences have a part of the cache to themselves, then for each its cells.

    Of each sequence there is the count of its cells and, where there are any, what they hold.
    """
    begin, end = WORD_BYTES * (1 + number), len(part) - WORD_BYTES * (n_sequences - 1 - number)
    count, *before = np.frombuffer(part[:begin], np.uint32).tolist() if begin < end else [0]
    if count != n_sequences or any(before) or any(part[end:]):
        return None
    return np.uint32(1).tobytes(), part[begin:end]
