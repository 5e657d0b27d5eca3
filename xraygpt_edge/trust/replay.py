"""Kept answers asked once more: whether this computer gives the same words, and the same log-odds, again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from xraygpt_edge.engine import Ask, XrayGPT
from xraygpt_edge.errors import UsageError
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.imaging.images import ReadOptions
from xraygpt_edge.ledger import Answered
from xraygpt_edge.provenance import bundle_facts
from xraygpt_edge.records import Trust
from xraygpt_edge.trust.assessor import Assessor

LOG_ODDS_MOST = 0.05
"""By which the model's own answer about a finding may move: sums in another order move it by less."""
CUT_OFF = ("timeout", "cancelled")
"""Such an answer ended where the clock said, so only its words so far can be compared."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One kept answer beside the same question asked again."""

    is_same_text: bool
    log_odds_moved: float | None
    """Largest difference over the findings; None where the record says nothing of trust."""
    failed: str | None = None
    """Why how far to trust it could not be compared."""

    @property
    def is_same(self) -> bool:
        """The same words, and log-odds within what sums in another order move."""
        moved = self.log_odds_moved
        return self.is_same_text and self.failed is None and (moved is None or moved <= LOG_ODDS_MOST)


def require_same_bundle(model: XrayGPT, row: Answered) -> None:
    """Raise UsageError for an answer of another bundle, or of other files of it: its words may differ rightly."""
    here = bundle_facts(model.parts)
    if row.bundle != here:
        found = f"{row.bundle.id} {row.bundle.vision} {row.bundle.language}"
        raise UsageError("E-TRU-011", f"records {found}, here {here.id} {here.vision} {here.language}")


class Replay:
    """Asks kept answers again, each as it was asked. For one thread."""

    def __init__(self, model: XrayGPT) -> None:
        self._model = model
        self._assessors = {level: Assessor(model, level) for level in ("off", "fast", "full")}

    def again(self, path: Path, row: Answered) -> Replayed:
        """Ask about the file again; raises what reading it and asking raise."""
        require_same_bundle(self._model, row)
        engine, kept = row.engine, row.trust
        sampling = Sampling(engine.temperature, engine.top_p, engine.max_tokens, engine.seed, draft=engine.draft)
        image = self._model.encode(path, ReadOptions(row.input.profile, row.input.frame, row.input.forced))
        assessor = self._assessors[kept.level if kept else "off"]
        answer, told = assessor.ask(image, Ask(row.question, (), sampling, engine.template))
        is_cut = row.finish_reason in CUT_OFF
        is_same = answer.text.startswith(row.text) if is_cut else answer.text == row.text
        if kept is None:
            return Replayed(is_same, None)
        if is_cut:
            told = replace(told, text=row.text, finish_reason=row.finish_reason)
        return _compared(is_same, kept, assessor.assess(told))


def _compared(is_same_text: bool, kept: Trust, again: Trust | None) -> Replayed:  # noqa: FBT001 - a finding, no switch
    """What the panel says of each finding, then and now."""
    then, now = ({f.name: f.log_odds for f in trust.findings} if trust else {} for trust in (kept, again))
    failed = again.failed if again else None
    if failed is None and set(then) != set(now):
        failed = kept.failed or "other findings"
    both = [abs(then[name] - now[name]) for name in then if name in now]
    return Replayed(is_same_text, max(both) if both else None, failed)
