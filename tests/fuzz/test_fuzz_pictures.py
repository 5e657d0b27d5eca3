"""A short part of the hostile pictures in every test run; `make fuzz` reads them all."""

from __future__ import annotations

import pytest

from tests.fuzz.hostile import run
from tests.fuzz.pictures import cut, is_whole, make, seeds
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.imaging.images import ReadOptions, read_bytes


def test_mutated_pictures_end_as_pictures_or_refusals() -> None:
    tally = run(make(cut_only=False), range(150))
    assert tally.wrong == []
    assert tally.outcomes.total() == 150


def test_a_picture_that_was_cut_is_whole_or_refused() -> None:
    """Every format at ten places, in this process."""
    files, judge, n_refused = seeds(), is_whole(), 0
    for number in range(10 * len(files)):
        try:
            reading = read_bytes(cut(number, files), ReadOptions(force=True))
        except InputRefused:
            n_refused += 1
        else:
            assert judge(number, reading.radiograph.pixels), number
    assert n_refused > 9 * len(files)


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_many_mutated_pictures_end_as_pictures_or_refusals() -> None:
    assert run(make(cut_only=False), range(1_000_000, 1_010_000)).wrong == []


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
def test_many_pictures_that_were_cut_are_whole_or_refused() -> None:
    assert run(make(cut_only=True), range(1_000_000, 1_004_000), is_whole()).wrong == []
