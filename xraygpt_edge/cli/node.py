"""`node`: receives radiographs, answers them, sends the results back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from xraygpt_edge.cli import options, signals
from xraygpt_edge.errors import RuntimeMissing
from xraygpt_edge.text import one_line

app = typer.Typer(
    help="Radiographs arrive by DICOM, draft reports go back to the archive. Research software, not a medical device.",
    no_args_is_help=True,
)
Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The node's settings, a TOML file.", show_default=False)]
Verify = Annotated[bool, typer.Option("--verify", help="First read the audit trail; stop where it was changed.")]
Film = Annotated[str, typer.Argument(metavar="ID", help="First digits of its hash.", show_default=False)]
Films = Annotated[
    list[str] | None, typer.Argument(metavar="ID", help="First digits of their hashes.", show_default=False)
]
To = Annotated[str, typer.Option("--to", metavar="md|txt", help="Markdown or plain text.")]
System = Annotated[str, typer.Option("--for", metavar="systemd|windows", help="For what.", show_default=False)]
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


@app.command()
def status(
    folder: Folder, verify: Verify = False, as_json: options.AsJson = False, debug: options.Debug = False
) -> int:
    """What waits, what was answered and sent, what is wrong; works whether the node is running or not."""
    from xraygpt_edge.node import status as seen

    if verify:
        seen.verify(folder)
    found = seen.look(folder)
    print(json.dumps(seen.facts(found)) if as_json else seen.text(found))
    return seen.exit_code(found)


@app.command()
def check(config: Config, debug: options.Debug = False) -> int:
    """Look at settings, disk, model, port, certificates and every destination; changes nothing."""
    _require_library()
    from xraygpt_edge.node import check as checks
    from xraygpt_edge.node import settings

    found = []
    for each in checks.examine(settings.read(config)):
        found.append(each)
        print(one_line(f"{'FAIL' if each.error else 'ok':<6}{each.what}: {each.words}"), flush=True)
    return checks.exit_code(found)


@app.command()
def retry(folder: Folder, film: Films = None, debug: options.Debug = False) -> None:
    """Send dead letters again, and answer failed films again; without ids, all of them."""
    from xraygpt_edge.node import letters

    print(f"Films tried again: {letters.retry(folder, film or [])}.")


@app.command()
def drop(folder: Folder, film: Film, debug: options.Debug = False) -> None:
    """Delete a film with its records and results; the audit trail keeps that it was done."""
    from xraygpt_edge.node import letters

    letters.drop(folder, film)


@app.command()
def conformance(config: Config, to: To = "md", debug: options.Debug = False) -> None:
    """Print a DICOM conformance statement, written from these settings."""
    _require_library()
    from xraygpt_edge.node import conformance as statement
    from xraygpt_edge.node import settings

    write = statement.markdown if options.one_of("--to", to, ("md", "txt")) == "md" else statement.plain
    print(write(settings.read(config)))


@app.command()
def service(config: Config, system: System, debug: options.Debug = False) -> None:
    """Print a unit for systemd or a task for the Windows scheduler; writes nothing."""
    from xraygpt_edge.node import service as services
    from xraygpt_edge.node import settings

    wanted = options.one_of("--for", system, ("systemd", "windows"))
    write = services.systemd if wanted == "systemd" else services.windows
    print(write(settings.read(config), config.resolve()))


def _require_library() -> None:
    from importlib.util import find_spec

    if find_spec("pynetdicom") is None:
        raise RuntimeMissing("E-NOD-013")


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
