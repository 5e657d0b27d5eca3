"""A short part of the hostile DICOM files in every test run; `make fuzz` reads them all."""

from __future__ import annotations

import pytest

from tests.fuzz.dicom import make
from tests.fuzz.hostile import run


@pytest.mark.long
@pytest.mark.parametrize("codestream", [False, True])
def test_mutated_files_end_as_pictures_or_refusals(codestream: bool) -> None:  # noqa: FBT001
    tally = run(make(codestream=codestream), range(150))
    assert tally.wrong == []
    assert tally.outcomes.total() == 150


@pytest.mark.fuzz
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("count", "codestream"), [(10_000, False), (2_000, True)])
def test_many_mutated_files_end_as_pictures_or_refusals(count: int, codestream: bool) -> None:  # noqa: FBT001
    tally = run(make(codestream=codestream), range(1_000_000, 1_000_000 + count))
    assert tally.wrong == []
