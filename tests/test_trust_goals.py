"""The goals of trust on 760 phantoms that nothing was fitted on: minutes. `make eval-trust` prints every figure."""

from __future__ import annotations

from pathlib import Path

import pytest

from export import trust_profile


@pytest.mark.slow
def test_no_goal_is_missed_by_more_than_chance_on_phantoms_that_nothing_was_fitted_on(demo: Path) -> None:
    tables = trust_profile.evaluate(demo)
    goals = [(title, row, goal) for title, rows in tables.items() for row, goal in rows if goal]
    assert len(goals) == len(trust_profile.CLEAN_GOALS + trust_profile.BADLY_SEEN_GOALS + trust_profile.RELIANCE_GOALS)
    assert [f"{title}: {row.name} {row.figure}" for title, row, goal in goals if not goal.is_within(row.figure)] == []
