"""`inspect`: what a file is, what is done to its pixels, and what the model sees of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.cli import options
from xraygpt_edge.errors import InputRefused
from xraygpt_edge.records import NOTICE, ReadWarning, Step

if TYPE_CHECKING:
    from xraygpt_edge.imaging.inspection import Inspection

Save = Annotated[
    Path | None,
    typer.Option(
        metavar="PNG", help="Write the picture that the model sees. It is a patient image.", show_default=False
    ),
]
CAPTIONS = {"mimic-jpg": "mimic-jpg: as in training", "display": "display: as in a viewer"}


def inspect(
    image: options.Image,
    save: Save = None,
    bundle: options.Bundle = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    profile: options.Profile = "mimic-jpg",
    frame: options.Frame = None,
    force: options.Force = False,
    debug: options.Debug = False,
) -> None:
    """Tell what a file is and what is done to its pixels; the model is not run.

    A terminal also shows what the model would see under each profile. No element that names a patient is shown.
    Research software, not a medical device.
    """
    from xraygpt_edge import bundle as bundles
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console
    from xraygpt_edge.imaging import inspection
    from xraygpt_edge.imaging.images import PROFILES, ReadOptions
    from xraygpt_edge.imaging.isolated import Reader

    reading = ReadOptions(options.one_of("--profile", profile, PROFILES), frame, force)
    with Reader() as reader:
        recipe = bundles.opened(find_bundle(bundle)).manifest.image
        try:
            account = inspection.inspect(image, reading, recipe, reader)
        except InputRefused as refusal:
            if not as_json:
                print(refusal_page(refusal), flush=True)
            raise
        shows = not as_json and not quiet and console.shows_pictures()
        views = inspection.views(account, image, reading, recipe, reader) if shows else {}
    if save:
        inspection.save_png(account.model_view, save, image)
    if as_json:
        print(json.dumps(account.to_dict()))
        return
    print(account_page(account), end="\n\n")
    console.pictures({CAPTIONS[name]: view for name, view in views.items()})
    print(NOTICE)


def account_page(account: Inspection) -> str:
    """The file, each step, each warning."""
    source = account.source
    title = f"From the file to the model, profile {source.profile}:"
    return paragraphs(title, steps(account.steps), f"SHA-256 {source.sha256}", warnings(source.warnings))


def refusal_page(refusal: InputRefused) -> str:
    """Why the file is refused, and how far reading came."""
    entry = CATALOGUE[refusal.error_id]
    reason = f" ({refusal.why})" if refusal.why else ""
    title = f"Refused, {refusal.error_id}: {entry.what}{reason}.\n{entry.meaning} {entry.fix}"
    known = ("How far reading came:", steps(refusal.steps)) if refusal.steps else ()
    return paragraphs(title, *known, warnings(refusal.source.warnings if refusal.source else ()), NOTICE)


def steps(found: Iterable[Step]) -> str:
    """A line each."""
    return "\n".join(f"  {step.name:<14} {step.detail}" for step in found)


def warnings(found: Iterable[ReadWarning]) -> str:
    """A line each; nothing when there is none."""
    return "\n".join(f"warning {warning.id}: {warning.message}" for warning in found)


def paragraphs(*texts: str) -> str:
    """Those that are there, an empty line between two."""
    return "\n\n".join(text for text in texts if text)
