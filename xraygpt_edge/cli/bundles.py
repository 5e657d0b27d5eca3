"""`bundle list · info · verify · prove · install · clear`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode
from xraygpt_edge.text import file_name

app = typer.Typer(help="Model bundles: which there are, what they hold, whether they are intact.", no_args_is_help=True)

Name = Annotated[str | None, typer.Argument(metavar="NAME|DIR", help="By default the bundle that would answer.")]


@app.command("list")
def list_bundles(as_json: options.AsJson = False) -> None:
    """Every bundle that can answer on this computer."""
    from xraygpt_edge import bundle
    from xraygpt_edge.bundle.store import bundle_store, demo_root, installed
    from xraygpt_edge.cli import console

    folders = [*installed(bundle_store()), demo_root()]
    rows = [console.bundle_row(bundle.load(folder)) for folder in folders if folder.is_dir()]
    console.table(rows, as_json=as_json)


@app.command()
def info(name: Name = None, as_json: options.AsJson = False) -> None:
    """What a bundle holds, where it comes from and under which licence; what is kept of prompts."""
    from xraygpt_edge import bundle
    from xraygpt_edge.bundle.store import find_bundle, starts_folder
    from xraygpt_edge.cli import console
    from xraygpt_edge.generation.saved_starts import saved

    opened = bundle.load(find_bundle(name))
    if as_json:
        print(json.dumps(json.loads((opened.root / bundle.MANIFEST).read_bytes()), indent=1))
    else:
        console.bundle_page(opened)
        console.saved_starts(starts_folder(), saved(starts_folder()))
    console.warnings(bundle.warnings(opened))


@app.command()
def verify(name: Name = None, as_json: options.AsJson = False) -> int:
    """Compare every file of a bundle with its manifest, hashes included."""
    from xraygpt_edge import bundle
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console

    opened = bundle.opened(find_bundle(name))
    problems = bundle.verify(opened)
    warned = [] if problems else bundle.warnings(opened)
    if as_json:
        found = {"problems": list(map(str, problems)), "warnings": list(map(str, warned))}
        print(json.dumps({"schema": 1, "bundle": file_name(opened.root.name), **found}))
    else:
        console.verification(opened.root, problems)
        console.warnings(warned)
    return ExitCode.BUNDLE_ALTERED if problems else ExitCode.DONE


@app.command()
def prove(name: Name = None, threads: options.Threads = None, as_json: options.AsJson = False) -> int:
    """Recompute a bundle's receipts with what is installed here, and compare them with what the original computed."""
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.cli import console
    from xraygpt_edge.devices import usable_cpus
    from xraygpt_edge.proof import prove, table

    proof = prove(find_bundle(name), threads or usable_cpus())
    if as_json:
        print(json.dumps({"schema": 1, "holds": not proof.problems, **asdict(proof), "reason": proof.reason}))
    else:
        console.titled_tables(table.tables(proof.figures, proof.gates))
        console.proof(proof.bundle_id, proof.problems)
    proof.require()
    return ExitCode.DONE


@app.command()
def install(
    folder: Annotated[Path, typer.Argument(help="A bundle folder, for example on a USB stick.")],
) -> None:
    """Copy a bundle to this computer, verified before and after."""
    from xraygpt_edge.bundle import store

    installed = store.install(folder, store.bundle_store())
    print(
        f"Installed {installed.manifest.id}. Ask it: xraygpt-edge ask IMAGE QUESTION --bundle {installed.manifest.id}"
    )


@app.command()
def clear() -> None:
    """Remove what is kept of prompts from one run to the next; it is computed again when it is needed."""
    from xraygpt_edge.bundle.store import starts_folder
    from xraygpt_edge.cli import console
    from xraygpt_edge.generation.saved_starts import saved

    kept = saved(starts_folder())
    for path in kept:
        path.unlink(missing_ok=True)
    console.say(f"Removed {len(kept)} saved starts of prompts.")
