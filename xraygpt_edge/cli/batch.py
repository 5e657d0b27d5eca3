"""`batch`: a record for each radiograph of a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode, UsageError
from xraygpt_edge.records import TRUST
from xraygpt_edge.text import file_name

if TYPE_CHECKING:
    from xraygpt_edge.batch import Job, Settings, Summary

Folder = Annotated[Path, typer.Argument(help="Every radiograph below it is answered.", show_default=False)]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where records.jsonl and summary.json go.", show_default=False)
]
Questions = Annotated[
    list[str] | None,
    typer.Option(
        "--question",
        help="What to ask, or @NAME of the bundle; may be repeated. By default findings and impression.",
        show_default=False,
        callback=options.clean_text,
    ),
]
Parallel = Annotated[
    str, typer.Option(metavar="auto|N", help="Radiographs answered at the same time; auto asks memory and cores.")
]
FilmList = Annotated[
    Path | None,
    typer.Option(
        "--list", metavar="FILE", help="Take the films of a list that plan has made; - reads it.", show_default=False
    ),
]
ShardOf = Annotated[
    str | None,
    typer.Option(metavar="I/N", envvar="XRAYGPT_SHARD", help="Only share I of N, from 0 to N-1.", show_default=False),
]
Indications = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="CSV file with the columns path and text: why each exam was asked for, for questions with a place for it.",
        show_default=False,
    ),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Try radiographs again that have failed.")]


def batch(
    folder: Folder,
    out: Out,
    films: FilmList = None,
    shard: ShardOf = None,
    question: Questions = None,
    indications: Indications = None,
    bundle: options.Bundle = None,
    device: options.Device = "auto",
    threads: options.Threads = None,
    memory: options.Memory = "auto",
    parallel: Parallel = "auto",
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    profile: options.Profile = "mimic-jpg",
    template: options.Template = None,
    max_tokens: options.MaxTokens = 300,
    temperature: options.Temperature = 0.0,
    top_p: options.TopP = 0.9,
    seed: options.Seed = 0,
    timeout: options.Timeout = None,
    trust: options.Trust = TRUST,
    draw_maps: options.Map = False,
    map_out: options.MapOut = None,
    frame: options.Frame = None,
    force: options.Force = False,
    retry_failed: RetryFailed = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> int:
    """Answer about every radiograph below FOLDER; run it again to go on where it stopped.

    Each record is safely on disk before it counts. Research software, not a medical device.
    """
    options.keep_offline(strict=strict)
    from xraygpt_edge import batch as batches
    from xraygpt_edge.cli import mapping, progress

    settings = settings_of(profile, frame, force, template, max_tokens, temperature, top_p, seed, timeout)
    loading, level = options.load_options(device, threads, memory), options.trust_level(trust)
    mapping.require_elsewhere(map_out, folder, out)
    job = job_of(folder, bundle, question, settings, films, shard, indications)
    maps = mapping.wanted(draw_maps, map_out, level, loading, job.bundle)
    running = batches.Running(loading, slots(parallel), retry_failed, level, maps)
    with progress.BatchScreen(quiet=quiet) as screen:
        summary = batches.run(job, out, running, screen)
    tell(summary, out, as_json=as_json, quiet=quiet)
    if map_out:
        mapping.save_all(out, map_out, folder)
    return ExitCode.PARTIAL if summary.failed else ExitCode.DONE


def settings_of(
    profile: str,
    frame: int | None,
    force: bool,
    template: str | None,
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
    timeout: float | None,
) -> Settings:
    """What options say about the words of an answer; raises UsageError."""
    from xraygpt_edge.batch import Settings
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.imaging.images import PROFILES, ReadOptions

    reading = ReadOptions(options.one_of("--profile", profile, PROFILES), frame, force)
    return Settings(template, reading, Sampling(temperature, top_p, max_tokens, seed, timeout))


def job_of(
    folder: Path,
    bundle: str | None,
    questions: list[str] | None,
    settings: Settings,
    films: Path | None,
    shard: str | None,
    indications: Path | None = None,
) -> Job:
    """What options say is to be done; raises UsageError, NoBundle, InputRefused for a damaged list."""
    from xraygpt_edge import batch as batches
    from xraygpt_edge import bundle as bundles
    from xraygpt_edge.bundle.questions import asked, default, with_place
    from xraygpt_edge.bundle.store import find_bundle

    opened = bundles.opened(find_bundle(bundle))
    share = batches.Shard.parse(shard) if shard else batches.WHOLE
    listed = batches.FilmList.read(films) if films else None
    prompt = opened.manifest.prompt
    given = map(options.stripped, questions or [default(prompt) or batches.DEFAULT_QUESTION])
    words = {asked(prompt, question): with_place(prompt, question) for question in given}
    reasons = batches.Indications.read(indications, words) if indications else None
    return batches.Job(folder, opened.root, opened.manifest_sha256, tuple(words), settings, listed, share, reasons)


def tell(summary: Summary, out: Path, *, as_json: bool, quiet: bool) -> None:
    """What became of the folder."""
    from xraygpt_edge.cli import progress

    if as_json:
        counts = {"found": summary.found, "ok": summary.ok, "failed": summary.failed, "skipped": summary.skipped}
        unread = {kind: found.files for kind, found in summary.run.unread.items()}
        print(json.dumps({"schema": 1, "status": "finished", **counts, "unread": unread}))
    elif not quiet:
        progress.finished(summary, file_name(out))


def slots(parallel: str) -> int | None:
    """`--parallel` as a number, None for auto; raises UsageError."""
    if parallel == "auto":
        return None
    if not parallel.isascii() or not parallel.isdigit() or not 1 <= int(parallel) <= 64:
        raise UsageError("E-USE-001", "--parallel takes auto or a number from 1 to 64")
    return int(parallel)
