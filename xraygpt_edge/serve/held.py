"""Files in memory and nowhere else, each for one session, and what was said about them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field

from xraygpt_edge.generation.prompt import Turn
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.imaging.values import Presentation
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.exports import Kept
from xraygpt_edge.serve.reading import Seen


@dataclass(slots=True, eq=False)
class Held:
    """A radiograph of one session."""

    id: str
    session: str
    data: bytes
    seen: Seen
    presentation: Presentation
    options: ReadOptions
    used_at_s: float
    answers: dict[str, Kept] = field(default_factory=dict)
    """By their ids, in the order in which they ended."""

    def turns(self, conversation: str) -> tuple[Turn, ...]:
        """What was said in a conversation; raises Refused E-SRV-013 where there was none of that id."""
        kept = [each for each in self.answers.values() if each.conversation == conversation]
        if not kept:
            raise Refused.because("E-SRV-013", param="conversation")
        return tuple(Turn(each.answer.question, each.answer.text) for each in kept)


class HeldFiles:
    """All of them within one limit, which files that are still being sent count for too."""

    def __init__(self, most_bytes: int, forget_after_s: float) -> None:
        self._most_bytes, self._forget_after_s = most_bytes, forget_after_s
        self._taken_bytes = 0
        self._files: dict[str, Held] = {}

    @property
    def taken_bytes(self) -> int:
        """Of what is held, and of what is being sent."""
        return self._taken_bytes

    def take(self, session: str, n_bytes: int) -> None:
        """Count bytes in; the longest unused files of the same session make room. Raises Refused E-SRV-018."""
        self.forget_old()
        while self._taken_bytes + n_bytes > self._most_bytes:
            own = [each for each in self._files.values() if each.session == session]
            if not own:
                raise Refused.because("E-SRV-018")
            self.forget(min(own, key=lambda each: each.used_at_s))
        self._taken_bytes += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Count bytes out."""
        self._taken_bytes -= n_bytes

    def add(self, session: str, data: bytes, seen: Seen, presentation: Presentation, options: ReadOptions) -> Held:
        """Hold a file."""
        self.take(session, len(data))
        held = Held(new_id("r"), session, data, seen, presentation, options, time.monotonic())
        self._files[held.id] = held
        return held

    def get(self, session: str, file_id: str) -> Held:
        """A file of this session, which counts as used now; raises Refused E-SRV-013."""
        self.forget_old()
        held = self._files.get(file_id)
        if held is None or held.session != session:
            raise Refused.because("E-SRV-013")
        held.used_at_s = time.monotonic()
        return held

    def forget(self, held: Held) -> None:
        """Let go of a file and of all that was said about it."""
        if self._files.pop(held.id, None) is not None:
            self.give_back(len(held.data))

    def forget_session(self, session: str) -> None:
        """Let go of all that a session has."""
        for held in [each for each in self._files.values() if each.session == session]:
            self.forget(held)

    def answer(self, session: str, answer_id: str) -> tuple[Held, Kept]:
        """An answer of this session, with its radiograph; raises Refused E-SRV-013."""
        self.forget_old()
        for held in self._files.values():
            if held.session == session and answer_id in held.answers:
                return held, held.answers[answer_id]
        raise Refused.because("E-SRV-013")

    def forget_old(self) -> None:
        """Let go of what nobody has asked about for long."""
        before_s = time.monotonic() - self._forget_after_s
        for held in [each for each in self._files.values() if each.used_at_s < before_s]:
            self.forget(held)


def new_id(kind: str) -> str:
    """An id that nobody guesses; kind: its first letter, r, a or c."""
    return f"{kind}_{secrets.token_urlsafe(16)}"
