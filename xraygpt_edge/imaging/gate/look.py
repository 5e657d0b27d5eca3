"""What the picture itself says: refused where it is far from a frontal chest, warned of where it is near one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.imaging.account import Notes
from xraygpt_edge.imaging.gate import classifier
from xraygpt_edge.imaging.gate.classifier import Classifier
from xraygpt_edge.imaging.gate.features import coarse, sampled
from xraygpt_edge.imaging.gate.quality import look_at_quality

SIDE_MIN_PX = 32
MODEL_SIDE_PX = 224
DOUBT = 0.0
"""Log odds of a good frontal film below which there is a warning: something else is likelier."""
REFUSE = -8.0
"""Log odds, 1 to 3000, below which something that is no chest is refused; -1.5 is the least of 785 upright films, each
judged by weights that never saw its source."""
WARNINGS = {
    "inverted": ("W-IMG-004",),
    "half": ("W-IMG-005",),
    "inverted half": ("W-IMG-004", "W-IMG-005"),
    "left quarter": ("W-IMG-020",),
    "right quarter": ("W-IMG-020",),
    "several": ("W-IMG-021",),
    "lateral": ("W-IMG-022",),
    "tilted": ("W-IMG-023",),
    "part": ("W-IMG-024",),
    "scene": ("W-IMG-025",),
    "other": ("W-IMG-006",),
}
"""Of each class but `upright`."""


@dataclass(frozen=True, slots=True)
class View:
    """What a picture seems to show."""

    odds: float
    """Log odds that it is a good frontal film."""
    fault: str | None
    """What is likelier, one of the keys of WARNINGS; None for a film that is not doubted."""
    is_detailed: bool
    """Neither small nor flat nor blurred: there is enough in it to say what it is not."""

    @property
    def far_out(self) -> bool:
        """Something that is no chest at all."""
        return self.fault == "other" and self.odds < REFUSE and self.is_detailed


def look(pixels: NDArray[np.uint8], notes: Notes) -> View | None:
    """Warn of what a reader of the answer should doubt; refuse what is too small, which has no view (unless forced)."""
    return look_with(classifier.load(), pixels, notes)


def look_with(gate: Classifier, pixels: NDArray[np.uint8], notes: Notes) -> View | None:
    """As `look`, with weights of one's own."""
    rows, columns = pixels.shape
    if min(rows, columns) < SIDE_MIN_PX:
        notes.refuse("E-IMG-011", f"{columns} x {rows} pixels")
        return None
    if min(rows, columns) < MODEL_SIDE_PX:
        notes.warn("W-IMG-003", f"{columns} x {rows} pixels")
    sample = sampled(pixels)
    view = _view(coarse(sample), gate, is_detailed=look_at_quality(sample, notes))
    notes.step("view", f"a good frontal chest film by log odds of {view.odds:+.1f} (doubted below {DOUBT:.0f})")
    for warning in WARNINGS[view.fault] if view.fault else ():
        notes.warn(warning)
    return view


def require_chest(view: View | None, notes: Notes) -> None:
    """Refuse what is far from a chest (unless forced): for files of which nothing but the picture tells what it is."""
    if view and view.far_out:
        notes.refuse("E-IMG-030", f"log odds {view.odds:+.1f}")


def _view(grid: NDArray[np.float32], gate: Classifier, *, is_detailed: bool) -> View:
    odds = gate.odds(grid)
    return View(odds, None if odds >= DOUBT else gate.fault(grid), is_detailed)
