"""Rounded files held against unrounded ones by what a clinic would notice: findings, sides, negations, the panel.

candidates  which files, and those that are made for the comparison alone
films       what they are asked about
answers     what a pair of files says about each film
flips       two answers as statements
changes     films that flip, one by one
figures     how far two pairs are apart, with intervals
gate        how far they may be
page        QUANTIZATION.md and parity.json
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from export.compare import candidates, films, gate
from export.compare.answers import Images, Said, Unrounded, lead, opened
from export.compare.candidates import UNROUNDED, Role
from export.compare.changes import Change, changes
from export.compare.figures import Figures, figures
from export.compare.films import Films
from export.errors import GateMissed
from xraygpt_edge import LoadOptions, loading
from xraygpt_edge.engine import EncodedImage, XrayGPT
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.loading import LoadPlan
from xraygpt_edge.trust import reference
from xraygpt_edge.trust.panel import Form
from xraygpt_edge.trust.reference import ReferenceFilm

FLOOR = "unrounded, in other company"
COMPANY = 4
"""Films that the unrounded files are asked about at once, to see what the order of sums alone changes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is compared; empty takes what the bundle holds."""

    vision: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One file, or the floor."""

    name: str
    size_bytes: int | None
    """Of the file; None for the floor."""
    figures: Figures | None
    """None where it could not be measured."""
    misses: tuple[str, ...]
    """Why it is not clinically the same; empty where it is, and for the floor, which is held to no gate."""
    changes: tuple[Change, ...] = ()
    """The films that flip."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was measured."""

    bundle_id: str
    manifest_sha256: str
    films: int
    refused: int
    statements_per_film: float
    """Findings that the unrounded files state, a film."""
    form: Form
    rows: tuple[Row, ...]
    """The floor comes first."""


def compare(
    bundle: Path, folder: Path, wanted: Wanted, scratch: Path, tell: Callable[[str], object] = lambda _: None
) -> Comparison:
    """Ask all files about the films below a folder.

    scratch: where files are made, one at a time. tell: called with what is compared next.
    Raises ExportRefused, and what opening a bundle raises: it must hold fp32 and F16.
    """
    options = LoadOptions("cpu", wanted.threads, UNROUNDED["vision"], UNROUNDED["language"], capacity=Capacity())
    plan = loading.choose(bundle, options)
    chosen: dict[Role, tuple[str, ...]] = {
        "vision": wanted.vision or candidates.rounded(plan, "vision"),
        "language": wanted.language or candidates.rounded(plan, "language"),
    }
    for role, precisions in chosen.items():
        candidates.require(role, precisions, plan)
    found = films.read(folder, plan.bundle.manifest.image)
    with tempfile.TemporaryDirectory(prefix=".compare-", dir=scratch) as made:
        comparing = _Comparing(plan, found, Path(made), tell)
        return comparing.comparison(chosen)


def require(comparison: Comparison) -> None:
    """Raise GateMissed when a file is not clinically the same as the unrounded one."""
    problems = [f"{row.name}: {miss}" for row in comparison.rows for miss in row.misses]
    if problems:
        raise GateMissed("Rounding changes what the model says.", problems)


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A row whose changes are still to be looked at."""

    row: Row
    said: Sequence[Said] | None
    """About every film; None where it could not be measured."""


class _Comparing:
    """One comparison: the unrounded files are asked when it is made."""

    def __init__(self, plan: LoadPlan, found: Films, scratch: Path, tell: Callable[[str], object]) -> None:
        self._plan, self._films, self._scratch, self._tell = plan, found, scratch, tell
        tell("unrounded")
        with opened(plan) as model:
            self._images = films.encoded(model, found)
            self._original = Unrounded(model, self._images, _form(model, self._images), scratch)

    def comparison(self, chosen: Mapping[Role, tuple[str, ...]]) -> Comparison:
        """Compare every file that was chosen."""
        manifest, stated = self._plan.bundle.manifest, self._original.statements
        wanted = [(role, precision) for role, precisions in chosen.items() for precision in precisions]
        asked = [self._floor(), *(self._row(role, precision) for role, precision in wanted)]
        return Comparison(
            manifest.id,
            self._plan.bundle.manifest_sha256,
            len(self._images),
            self._films.refused,
            stated / len(self._images),
            self._original.form,
            tuple(self._with_changes(asked)),
        )

    def _with_changes(self, asked: Sequence[_Asked]) -> Iterator[Row]:
        """Each row with the films that flip; the unrounded files are loaded once more where there are any."""
        with opened(self._plan) as model:
            for one in asked:
                yield replace(one.row, changes=self._changes(model, one.said)) if one.said else one.row

    def _changes(self, model: XrayGPT, said: Sequence[Said]) -> tuple[Change, ...]:
        return changes(self._original.observations, said, lambda k, ids: lead(model, self._images[k], ids))

    def _floor(self) -> _Asked:
        """The unrounded files once more, in company: only sums in another order differ."""
        self._tell(FLOOR)
        with opened(self._plan, COMPANY) as model:
            found = self._original.said(model, self._images, COMPANY)
        return _Asked(Row(FLOOR, None, self._figures(found), ()), found)

    def _row(self, role: Role, precision: str) -> _Asked:
        name = f"{role} {precision}"
        self._tell(name)
        with candidates.candidate(self._plan, role, precision, self._scratch) as one:
            try:
                found = self._of_encoder(one.plan) if role == "vision" else self._of_language(one.plan)
            except XrayGPTError as error:  # such as NaN: a result like any other, and the next file is compared
                return _Asked(Row(name, one.size_bytes, None, (f"{error.error_id}: {error}",)), None)
            measured = self._figures(found)
            misses = gate.misses(measured, self._original.statements)
            return _Asked(Row(name, one.size_bytes, measured, misses), found)

    def _of_encoder(self, plan: LoadPlan) -> list[Said]:
        with opened(plan) as model:
            images = films.encoded(model, self._films)
        with opened(self._plan) as model:
            return self._original.said(model, images)

    def _of_language(self, plan: LoadPlan) -> list[Said]:
        with opened(plan) as model:
            return self._original.said(model, self._images)

    def _figures(self, found: Sequence[Said]) -> Figures:
        return figures(self._original.observations, found)


def _form(model: XrayGPT, images: Images) -> Form:
    return reference.choose_form(model, [ReferenceFilm("", partial(_same, image)) for image in images])


def _same(image: EncodedImage) -> EncodedImage:
    return image
