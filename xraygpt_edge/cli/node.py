"""`node`: receives radiographs, answers them, sends the results back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from xraygpt_edge.cli import options, signals
from xraygpt_edge.errors import RuntimeMissing

app = typer.Typer(
    help="Radiographs arrive by DICOM, draft reports go back to the archive. Research software, not a medical device.",
    no_args_is_help=True,
)
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The node's settings, a TOML file.", show_default=False)]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder that the settings call dir.", show_default=False)
]


@app.command()
def run(config: Config, quiet: options.Quiet = False, debug: options.Debug = False) -> None:
    """Receive, answer and send until Ctrl-C; the same command goes on where it stopped."""
    _require_library()
    from xraygpt_edge.node import running, settings

    signals.give_grace(running.END_S)
    running.run(settings.read(config), _Screen(quiet))


class _Screen:
    """Says that the node is up."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def up(self) -> None:
        """One line on standard error."""
        if not self._quiet:
            print(
                "The node is up. Every result is a draft that needs review by a clinician.", file=sys.stderr, flush=True
            )


@app.command()
def status(folder: Folder, as_json: options.AsJson = False, debug: options.Debug = False) -> int:
    """What waits, what was answered and sent, what is wrong; works whether the node is running or not."""
    from xraygpt_edge.node import status as seen

    found = seen.look(folder)
    print(json.dumps(seen.facts(found)) if as_json else seen.text(found))
    return seen.exit_code(found)


def _require_library() -> None:
    from importlib.util import find_spec

    if find_spec("pynetdicom") is None:
        raise RuntimeMissing("E-NOD-013")
