"""`--version` and `explain`: what this program is, and what its ids mean."""

from __future__ import annotations

import difflib
import platform
from typing import Annotated

import typer

from xraygpt_edge.catalogue import CATALOGUE, Entry
from xraygpt_edge.errors import UsageError
from xraygpt_edge.records import NOTICE
from xraygpt_edge.version import __version__


def version(wanted: bool) -> None:
    """Print the table that a bug report needs, and stop."""
    if not wanted:
        return
    from xraygpt_edge.loading import library_versions

    facts = {
        "xraygpt-edge": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        **library_versions(),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")
    print(NOTICE)
    raise typer.Exit


def explain(
    error_id: Annotated[
        str | None, typer.Argument(metavar="ID", help="For example E-DCM-021.", show_default=False)
    ] = None,
) -> None:
    """What an error or a warning means, and what to do."""
    if error_id is None:
        for name, listed in sorted(CATALOGUE.items()):
            print(f"{name}  {listed.what}")
        return
    entry = CATALOGUE.get(error_id.upper())
    if entry is None:
        near = difflib.get_close_matches(error_id.upper(), CATALOGUE, n=1)
        raise UsageError("E-USE-002", f"did you mean {near[0]}?" if near else "")
    print(explanation(error_id.upper(), entry))


def explanation(name: str, entry: Entry) -> str:
    """The page of one id."""
    title = f"{name}: {entry.what}."
    code = f"Exit code {entry.code}." if entry.code else "A warning; the answer is given all the same."
    return "\n".join(line for line in (title, "", entry.meaning, entry.safe, entry.fix, "", code) if line is not None)
