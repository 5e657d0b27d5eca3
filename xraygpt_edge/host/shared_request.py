"""One image and one question on their way through the pipeline, for every task that asks them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.host.known_images import Known
from xraygpt_edge.host.messages import Asking
from xraygpt_edge.host.reporter import Subscriber
from xraygpt_edge.host.result_cache import Key
from xraygpt_edge.native import Deadline


@dataclass(slots=True, eq=False)
class SharedRequest:
    """One image and one question, for every task that asks them."""

    key: Key
    image: EncodedImage
    prefix: Prefix | None
    """Shared with other questions about the image."""
    deadline: Deadline
    subscribers: list[Subscriber]
    asking: Asking | None
    """As it is asked by now: turns that the context has no room for are gone."""
    known: Known
    text: str = ""
    """As far as it has come."""
    kept: Prefix | None = None
    """Comes to stand for what is computed, for the next turn."""
    cancel: Callable[[], None] | None = None
    """Ends its answer; None until that has begun."""

    @property
    def forgotten(self) -> int:
        """Turns that the context had no room for."""
        asked = self.key[2]
        return len(asked.history) - len(self.asking.history) if asked and self.asking else 0

    def forget_a_turn(self) -> bool:
        """Leave the oldest turn out, as a conversation does; False when there is none."""
        if self.asking is None or not self.asking.history:
            return False
        self.asking = msgspec.structs.replace(self.asking, history=self.asking.history[1:])
        return True
