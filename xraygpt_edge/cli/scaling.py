"""`plan` and `merge`: one folder of radiographs over several machines."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.text import file_name, one_line

if TYPE_CHECKING:
    from xraygpt_edge.scale import Merged, Plan

Folder = Annotated[Path, typer.Argument(help="Every radiograph below it goes into the list.", show_default=False)]
ListOut = Annotated[
    Path,
    typer.Option(
        "--out", metavar="FILE", help="The list; it holds file names, so it is yours alone.", show_default=False
    ),
]
Shards = Annotated[
    int, typer.Option(min=0, max=1_000_000, metavar="N", help="Say how much each of N shards gets.", show_default=False)
]
Parts = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="The folders given to batch with --out.", show_default=False)
]
All = Annotated[Path, typer.Option("--out", metavar="ALL", help="The merged batch folder.", show_default=False)]
Partial = Annotated[
    bool, typer.Option("--partial", help="Merge although shards are missing, unfinished or have failures.")
]
OneCpu = Annotated[bool, typer.Option("--one-cpu", help="Refuse answers of several kinds of processor.")]


def plan(
    folder: Folder,
    out: ListOut,
    shards: Shards = 0,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Write down the radiographs below FOLDER, for batch --list on many machines.

    No radiograph is decoded, and the model is not needed.
    """
    from xraygpt_edge import scale

    made = scale.plan(folder, out, shards)
    if as_json:
        print(json.dumps(_plan_facts(made)))
    else:
        for number, share in enumerate(made.shards):
            print(f"{number}/{shards}\t{share.films}\t{share.size_bytes}")
        if not quiet:
            _say_plan(made, file_name(out))
    return ExitCode.PARTIAL if made.unreadable else ExitCode.DONE


def merge(
    parts: Parts,
    out: All,
    partial: Partial = False,
    one_cpu: OneCpu = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Merge the folders of all shards into one batch folder, each answer once; the model is not needed.

    Research software, not a medical device.
    """
    from xraygpt_edge import scale

    merged = scale.merge(parts, out, scale.Terms(partial, one_cpu))
    if as_json:
        print(json.dumps(_merge_facts(merged)))
    elif not quiet:
        _say_merged(merged, file_name(out))
    return ExitCode.DONE if merged.is_complete else ExitCode.PARTIAL


def _plan_facts(made: Plan) -> dict[str, object]:
    shares = [{"films": share.films, "bytes": share.size_bytes} for share in (made.whole, *made.shards)]
    facts = {"skipped_by_reason": dict(sorted(made.skipped.items())), "unreadable": made.unreadable}
    return {"schema": 1, "status": "finished", "sha256": made.sha256, **shares[0], "shards": shares[1:], **facts}


def _say_plan(made: Plan, out: str) -> None:
    skipped = made.skipped.total()
    print(
        f"{made.whole.films} films, {made.whole.size_bytes / 1e9:.1f} GB; {skipped} other entries. The list is {out}",
        file=sys.stderr,
    )
    if made.unreadable:
        _warn("W-SCA-003", str(made.unreadable))


def _merge_facts(merged: Merged) -> dict[str, object]:
    counts = {"ok": merged.ok, "failed": merged.failed, "skipped": sum(merged.skipped.values())}
    gaps = {"missing": merged.missing, "unfinished": merged.unfinished}
    return {"schema": 1, "status": "finished", **counts, "shards": merged.shards, **gaps, "cpus": merged.cpus}


def _say_merged(merged: Merged, out: str) -> None:
    skipped = sum(merged.skipped.values())
    print(
        f"{merged.shards} shards: {merged.ok} films ok, {merged.failed} failed, {skipped} skipped. "
        f"Records and summary are in {out}",
        file=sys.stderr,
    )
    if len(merged.cpus) > 1:
        _warn("W-SCA-001", "; ".join(f"{cpu}: {answers}" for cpu, answers in merged.cpus.items()))
    if not merged.is_complete:
        _warn("W-SCA-002", merged.shortfall)


def _warn(warning: str, why: str) -> None:
    print(one_line(f"warning {warning}: {CATALOGUE[warning].what} ({why})"), file=sys.stderr)
