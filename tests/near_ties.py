"""Where greedy answers may part: two tokens lead by less than the noise of sums in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.decoder import Decoder, PromptIds


def first_doubt(
    decoder: Decoder, ids: PromptIds, rows: NDArray[np.float32], answer: Sequence[int], noise: float
) -> int | None:
    """Index of the first token of the answer that leads by less than the noise; None without one."""
    two_best = np.sort(decoder.logits_along(ids, rows, answer[:-1]), axis=1)[:, -2:]
    doubtful = np.flatnonzero(two_best[:, 1] - two_best[:, 0] < noise)
    return int(doubtful[0]) if len(doubtful) else None
