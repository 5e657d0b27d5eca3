"""Where greedy answers may part: two tokens lead by less than the noise of sums in another order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.scheduler import Scheduler


def first_near_tie(scheduler: Scheduler, prompt: Prompt, answer: Sequence[int], noise: float) -> int | None:
    """Index of the first token of the answer that leads by less than the noise; None without one."""
    two_best = np.sort(scheduler.logits_along(prompt, answer[:-1]), axis=1)[:, -2:]
    near = np.flatnonzero(two_best[:, 1] - two_best[:, 0] < noise)
    return int(near[0]) if len(near) else None
