"""Clean texts through a language model, text only, and the check of what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from xraygpt_edge.errors import UsageError, XrayGPTError
from xraygpt_edge.findings import CHEXPERT, Finding
from xraygpt_edge.generation.answer import PLAIN, Generation, Wording
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import GREEDY, Request, Sampling
from xraygpt_edge.native import Deadline
from xraygpt_edge.summarize.check import differences
from xraygpt_edge.summarize.records import Rewriting, Row, Summarized

PLACE = "{report}"
PROMPT = (
    "###Human: Rewrite this chest x-ray report as one short and readable paragraph. Keep every finding with its "
    "side and "
    f"its degree of certainty, keep every denial, and add nothing.\n\n{PLACE}###Assistant:"
)
"""For a language model without a bundle."""
STOP = Wording(("###",))


class Answer(Protocol):
    """An answer that is on its way, as `Scheduler.submit` returns it."""

    def result(self) -> Generation:
        """Wait for the end and return the whole answer."""

    def close(self) -> None:
        """Cancel it unless it has ended."""


Submit = Callable[[Request], Answer]
"""`Scheduler.submit`, or whatever stands for a language model."""


@dataclass(frozen=True, slots=True)
class Rewriter:
    """How texts are rewritten and checked; safe to share."""

    submit: Submit
    prompt: str = PROMPT
    """Holds {report}."""
    sampling: Sampling = GREEDY
    wording: Wording = PLAIN
    findings: Sequence[Finding] = CHEXPERT
    keep_unchecked: bool = False
    """Take rewritings that do not pass, too."""
    at_once: int = 1
    """Texts that are given to the model at the same time."""

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows in their order, each text rewritten where the check lets it."""
        window: deque[tuple[Row, Answer | XrayGPTError | None]] = deque()
        try:
            for row in rows:
                window.append((row, self._begin(row)))
                while len(window) >= self.at_once:
                    yield self._finished(*window.popleft())
            while window:
                yield self._finished(*window.popleft())
        finally:
            for _, answer in window:
                if answer is not None and not isinstance(answer, XrayGPTError):
                    answer.close()

    def _begin(self, row: Row) -> Answer | XrayGPTError | None:
        if not isinstance(row, Summarized):
            return None
        text = self.prompt.replace(PLACE, row.rules_text)
        try:
            return self.submit(Request(Prompt((text,)), self.sampling, self.wording, Deadline(self.sampling.timeout_s)))
        except UsageError as error:
            return error

    def _finished(self, row: Row, answer: Answer | XrayGPTError | None) -> Row:
        if answer is None or not isinstance(row, Summarized):
            return row
        rewriting = self._checked(row.rules_text, answer)
        taken = bool(rewriting.text) and (rewriting.passed or self.keep_unchecked)
        text = rewriting.text if taken else row.rules_text
        return msgspec.structs.replace(row, text=text, mode="rewrite", rewriting=rewriting)

    def _checked(self, given: str, answer: Answer | XrayGPTError) -> Rewriting:
        """What came back; an error of this one text is kept by its id, and the next goes on."""
        try:
            if isinstance(answer, XrayGPTError):
                raise answer
            generation = answer.result()
        except XrayGPTError as error:
            return Rewriting("", passed=False, error_id=error.error_id)
        text = " ".join(generation.text.split())
        changed = differences(given, text, self.findings)
        is_whole = bool(text) and generation.finish_reason == "stop"
        return Rewriting(text, is_whole and not changed, changed, generation.finish_reason)


def require_place(prompt: str) -> str:
    """The prompt itself; raises UsageError unless it says once where the report goes."""
    if prompt.count(PLACE) != 1:
        raise UsageError("E-SUM-006")
    return prompt
