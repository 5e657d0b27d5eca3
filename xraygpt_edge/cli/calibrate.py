"""`calibrate`: a trust profile from a folder of films, or the check of one."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.errors import OutputError, UsageError

if TYPE_CHECKING:
    from xraygpt_edge.engine import XrayGPT
    from xraygpt_edge.imaging.images import ReadOptions
    from xraygpt_edge.trust.checking import Row
    from xraygpt_edge.trust.profile import Profile
    from xraygpt_edge.trust.reference import ReferenceFilm

Folder = Annotated[Path, typer.Argument(help="Radiographs below it are the reference films.", show_default=False)]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV", help="What is true of them: id,finding,label with 1, 0 or -1 each.", show_default=False
    ),
]
Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The profile; by default beside the bundle.", show_default=False)
]
Check = Annotated[
    bool, typer.Option("--check", help="Measure the profile that is there on these films; write nothing.")
]
Site = Annotated[str, typer.Option(metavar="WORDS", help="Where the films come from, shown beside every percentage.")]


def calibrate(
    folder: Folder,
    labels: Labels = None,
    out: Out = None,
    check: Check = False,
    site: Site = "this site",
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    profile: options.Profile = "mimic-jpg",
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Make a trust profile from the films below FOLDER, 100 or more; with --check measure it on other films.

    No pixel, path or identifier is kept in a profile. Research software, not a medical device.
    """
    options.keep_offline(strict=strict)
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console
    from xraygpt_edge.engine import XrayGPT
    from xraygpt_edge.imaging.images import PROFILES, ReadOptions
    from xraygpt_edge.trust import labels as label_files
    from xraygpt_edge.trust import profile as profiles

    if check and out:
        raise UsageError("E-USE-001", "--check writes nothing, so it takes no --out")
    reading = ReadOptions(options.one_of("--profile", profile, PROFILES))
    loading = options.load_options(device, threads, memory)
    with (
        console.waiting("Measuring reference films ...", quiet=quiet or as_json),
        XrayGPT.begin(find_bundle(bundle), loading) as model,
    ):
        names = [place.name for place in profiles.places_of(model.parts.plan)]
        truth = label_files.read(labels, names) if labels else {}
        films = films_of(model, folder, reading)
        rows = checked(model, films, truth) if check else made(model, films, truth, site, out)
    console.table(rows, as_json=as_json)


def films_of(model: XrayGPT, folder: Path, reading: ReadOptions) -> list[ReferenceFilm]:
    """Every radiograph below a folder, by its path below it; raises UsageError where there is no folder."""
    from xraygpt_edge.batch.walk import CANDIDATE, look_at, walk
    from xraygpt_edge.trust.reference import ReferenceFilm

    if not folder.is_dir():
        raise UsageError("E-BAT-001")
    found = [entry.path for entry in walk(folder, folder) if not entry.skip and not entry.unreadable]
    paths = [path for path in found if look_at(folder / path) == CANDIDATE]
    return [ReferenceFilm(Path(path).as_posix(), partial(model.encode, folder / path, reading)) for path in paths]


def made(
    model: XrayGPT, films: list[ReferenceFilm], truth: dict[str, dict[str, int]], site: str, out: Path | None
) -> list[dict[str, str]]:
    """Make and write a profile; what is in it, for a person."""
    from xraygpt_edge.trust import profile as profiles
    from xraygpt_edge.trust import reference

    target = out or profiles.site_path(model.parts.plan.bundle.root.resolve())
    if not os.access(target.parent, os.W_OK):  # before hours of measuring
        raise OutputError("E-OUT-001")
    form = reference.choose_form(model, films)
    observed = reference.observe_all(model, films, form)
    found = reference.make(model, observed, truth, site, form=form)
    profiles.save(found, target)
    return [*about(found, observed.refused), {"what": "written to", "figure": str(target)}]


def checked(model: XrayGPT, films: list[ReferenceFilm], truth: dict[str, dict[str, int]]) -> list[dict[str, str]]:
    """Measure the profile that is there."""
    from xraygpt_edge.trust import checking, reference
    from xraygpt_edge.trust import profile as profiles

    found = profiles.find(model.parts.plan)
    if found is None:
        raise UsageError("E-TRU-006")
    observed = reference.observe_all(model, films, found.head.form)
    if not observed.films:
        raise UsageError("E-TRU-003", "none could be read")
    checking.require_other_films(observed, found)
    places = profiles.places_of(model.parts.plan)
    rows = checking.figures(observed, observed.truth(truth, places), found, places)
    return [*about(found, observed.refused), *map(shown, rows)]


def about(profile: Profile, refused: int) -> list[dict[str, str]]:
    """What a profile is, and what it cannot do."""
    from xraygpt_edge.catalogue import CATALOGUE
    from xraygpt_edge.trust.reference import GOOD_FILMS

    head = profile.head
    labelled = f", {head.labelled} of them labelled" if head.labelled else ", no labels: no percentages"
    rows = {"profile": f"{head.films} films of {head.source}, {head.created}{labelled}"}
    if refused:
        rows["left out"] = f"{refused} films that could not be read or answered"
    still = [name for name, moves in zip(head.places, profile.moves, strict=True) if not moves]
    if still:
        rows["W-TRU-005"] = f"{CATALOGUE['W-TRU-005'].what}: {', '.join(still)}"
    if head.films < GOOD_FILMS:
        rows["W-TRU-004"] = CATALOGUE["W-TRU-004"].what
    return [{"what": what, "figure": figure} for what, figure in rows.items()]


def shown(row: Row) -> dict[str, str]:
    """One line of the table."""
    return {"what": row.name, "figure": f"{row.figure} of {row.count}"}
