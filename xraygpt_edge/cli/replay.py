"""`replay`: a batch's answers asked once more, and held against what was kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode, InputRefused

if TYPE_CHECKING:
    from xraygpt_edge.ledger import Answered
    from xraygpt_edge.trust.replay import Replay, Replayed

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder given to batch with --out.", show_default=False)
]
Images = Annotated[Path, typer.Option(metavar="FOLDER", help="The folder given to batch.", show_default=False)]


def replay(
    folder: Folder,
    images: Images,
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> int:
    """Ask a batch's questions again, as they were asked, and compare words and log-odds. Nothing is written.

    Ends with 18 where an answer is another one now, with 3 where a radiograph could not be asked again.
    Research software, not a medical device.
    """
    options.keep_offline(strict=strict)
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console
    from xraygpt_edge.engine import XrayGPT
    from xraygpt_edge.ledger import Answered, Records
    from xraygpt_edge.trust.replay import Replay, require_same_bundle

    rows = [entry.row for entry in Records(folder) if isinstance(entry.row, Answered)]
    loading = options.load_options(device, threads, memory)
    with (
        console.waiting("Asking again ...", quiet=quiet or as_json),
        XrayGPT.begin(find_bundle(bundle), loading) as model,
    ):
        for row in rows:  # before anything is asked
            require_same_bundle(model, row)
        asking = Replay(model)
        found = [again(asking, images, row) for row in rows]
    console.table([line(row, each) for row, each in zip(rows, found, strict=True)], as_json=as_json)
    if any(not isinstance(each, str) and not each.is_same for each in found):
        return ExitCode.BAD_OUTPUT
    return ExitCode.PARTIAL if any(isinstance(each, str) for each in found) else ExitCode.DONE


def again(asking: Replay, images: Path, row: Answered) -> Replayed | str:
    """One answer asked again, or the id of why its file could not be read."""
    from xraygpt_edge.reports.source import answered_bytes

    try:
        answered_bytes(images, row)  # the very bytes that were answered
        return asking.again(images / row.file, row)
    except InputRefused as error:
        return error.error_id


def line(row: Answered, found: Replayed | str) -> dict[str, str]:
    """One line of the table; no name that came from a patient."""
    if isinstance(found, str):
        return {"id": row.id, "text": "-", "log-odds moved": "-", "result": f"not asked again: {found}"}
    moved = "-" if found.log_odds_moved is None else f"{found.log_odds_moved:.4f}"
    result = "the same" if found.is_same else found.failed or "another one"
    return {
        "id": row.id,
        "text": "same" if found.is_same_text else "differs",
        "log-odds moved": moved,
        "result": result,
    }
