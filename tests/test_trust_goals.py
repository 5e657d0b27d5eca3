"""The goals of trust on 760 phantoms that nothing was fitted on: minutes. `make eval-trust` prints every figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from export import trust_profile

MISSED = ["500 clean phantoms: sentences, AUC", "260 badly seen phantoms: sentences, AUC"]
"""As docs/trust.md says; one that is reached from now on is to leave this list and that page."""


@pytest.mark.slow
def test_every_goal_is_reached_but_those_that_the_page_names_on_phantoms_that_nothing_was_fitted_on(demo: Path) -> None:
    tables = trust_profile.evaluate(demo)
    goals = [(title, row, goal) for title, rows in tables.items() for row, goal in rows if goal]
    assert len(goals) == len(trust_profile.CLEAN_GOALS + trust_profile.BADLY_SEEN_GOALS + trust_profile.RELIANCE_GOALS)
    assert [f"{title}: {row.name}" for title, row, goal in goals if not goal.met(row.figure)] == MISSED
