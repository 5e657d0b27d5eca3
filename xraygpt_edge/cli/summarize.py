"""`summarize`: radiology reports into clean, checked texts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from xraygpt_edge.catalogue import CATALOGUE
from xraygpt_edge.cli import options
from xraygpt_edge.errors import ExitCode, UsageError
from xraygpt_edge.text import decoded, file_name, one_line

if TYPE_CHECKING:
    from xraygpt_edge.summarize.records import Mode
    from xraygpt_edge.summarize.rewrite import Rewriter
    from xraygpt_edge.summarize.sources import Form, Source
    from xraygpt_edge.summarize.tables import Columns
    from xraygpt_edge.summarize.totals import Totals

SourcePath = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of .txt and .xml reports, a file, a .csv or .jsonl table, or -.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where records.jsonl and summary.json go.", show_default=False)
]
ModeName = Annotated[
    str, typer.Option("--mode", metavar="rules|rewrite", help="rewrite: a language model rewords what the rules leave.")
]
To = Annotated[
    list[str] | None,
    typer.Option(
        "--to",
        metavar="filter-cap|references|csv|html",
        help="Write this as well, into DIR; may be repeated.",
        show_default=False,
    ),
]
ImageTable = Annotated[
    Path | None,
    typer.Option("--images", metavar="CSV", help="Which images belong to which study.", show_default=False),
]
Encoding = Annotated[str, typer.Option(help="Of text files and tables; it is never guessed.")]
FormName = Annotated[
    str | None,
    typer.Option(
        "--form", metavar="txt|xml|csv|jsonl", help="What SOURCE holds, if not by its ending.", show_default=False
    ),
]
ColumnNames = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="id=...,text=...",
        help="Names in a table: id, text, findings, impression.",
        show_default=False,
    ),
]
Language = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A GGUF file to rewrite with, instead of a bundle's.", show_default=False),
]
PromptFile = Annotated[
    Path | None,
    typer.Option(
        "--prompt", metavar="FILE", help="Words around the report, with {report} in them.", show_default=False
    ),
]
KeepUnchecked = Annotated[
    bool, typer.Option("--keep-unchecked", help="Take rewritings that say something else, too; records mark them.")
]


def summarize(
    source: SourcePath,
    out: Out,
    mode: ModeName = "rules",
    to: To = None,
    images: ImageTable = None,
    encoding: Encoding = "utf-8",
    form: FormName = None,
    columns: ColumnNames = "",
    bundle: options.Bundle = None,
    language: Language = None,
    prompt: PromptFile = None,
    keep_unchecked: KeepUnchecked = False,
    max_tokens: options.MaxTokens = 300,
    device: options.Device = "auto",
    threads: options.Threads = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Make a clean text of every report; run it again to go on where it stopped.

    Nothing is sent anywhere. It removes marks of de-identification; it does not de-identify.
    """
    from xraygpt_edge import summarize as summaries  # noqa: F401 - kept off the --help path
    from xraygpt_edge.cli import progress
    from xraygpt_edge.summarize import outputs
    from xraygpt_edge.summarize.run import Job, run

    options.one_of("--mode", mode, ("rules", "rewrite"))
    wanted = tuple(options.one_of("--to", name, tuple(outputs.FORMATS)) for name in dict.fromkeys(to or ()))
    reading = _source(source, encoding, form, columns)
    reading.require_usable()
    asked = Asked(bundle, language, prompt, keep_unchecked, max_tokens, device, threads)
    with _rewriter(asked if mode == "rewrite" else None) as (rewriter, facts):
        job = Job(reading, cast("Mode", mode), facts)
        with progress.BatchScreen(quiet=quiet) as screen:
            totals = run(job, out, rewriter, screen)
    written = _views(wanted, out, images)
    if as_json:
        print(json.dumps({**totals.to_dict(), "written": written}))
    elif not quiet:
        _show(totals, out)
    return ExitCode.PARTIAL if totals.failed else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say of the language model."""

    bundle: str | None
    language: Path | None
    prompt: Path | None
    keep_unchecked: bool
    max_tokens: int
    device: str
    threads: int | None


def _source(path: Path, encoding: str, form: str | None, columns: str) -> Source:
    from xraygpt_edge.summarize.sources import FORMS, Source

    if form is not None:
        options.one_of("--form", form, tuple(dict.fromkeys(FORMS.values())))
    return Source(path, encoding, cast("Form | None", form), _columns(columns))


def _columns(given: str) -> Columns:
    """`id=study_id,text=report`; raises UsageError."""
    from xraygpt_edge.summarize.tables import Columns

    pairs = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
    if len(pairs) != len(given.split(",")) * bool(given) or not pairs.keys() <= {
        "id",
        "text",
        "findings",
        "impression",
    }:
        raise UsageError("E-USE-001", "--columns takes id=NAME,text=NAME or findings=NAME,impression=NAME")
    return Columns(**pairs)


@contextmanager
def _rewriter(asked: Asked | None) -> Iterator[tuple[Rewriter | None, dict[str, Any]]]:
    """The language model that was asked for, and what decides its words; nothing where none was."""
    if asked is None:
        yield None, {}
        return
    from xraygpt_edge.generation.request import Sampling
    from xraygpt_edge.summarize.model import opened

    words = decoded(asked.prompt.read_bytes(), "--prompt") if asked.prompt else None
    loading = options.load_options(asked.device, asked.threads, "auto")
    with opened(asked.bundle, asked.language, words, Sampling(max_tokens=asked.max_tokens), loading) as (model, facts):
        from dataclasses import replace

        yield replace(model, keep_unchecked=asked.keep_unchecked), {**facts, "keep_unchecked": asked.keep_unchecked}


def _views(wanted: tuple[str, ...], out: Path, images: Path | None) -> dict[str, int]:
    """Write each view; returns the entries of each. Raises UsageError where training's form needs images."""
    from xraygpt_edge.summarize import outputs
    from xraygpt_edge.summarize.images import Images, read

    known = read(images) if images else Images()
    entries = {}
    for name in wanted:
        written = outputs.write(name, outputs.View(out, out / outputs.DEFAULT_NAMES[name], known))
        if name == "filter-cap" and written.without_image and not written.entries:
            raise UsageError("E-SUM-005")
        if written.without_image:
            print(f"warning W-SUM-002: {CATALOGUE['W-SUM-002'].what} ({written.without_image})", file=sys.stderr)
        entries[outputs.DEFAULT_NAMES[name]] = written.entries
    return entries


def _show(totals: Totals, out: Path) -> None:
    """Counts by reason, beside the published ones."""
    from xraygpt_edge.summarize.totals import PUBLISHED

    print(f"{totals.found} reports: {totals.kept} kept, {totals.left_out.total()} left out, {totals.failed} failed.")
    for reason, count in [*totals.left_out.most_common(), *totals.errors.most_common()]:
        what = CATALOGUE[reason].what if reason in CATALOGUE else reason
        print(f"  {count:>8}  {reason if reason in CATALOGUE else 'left out'}: {what}")
    for name, (found, kept) in PUBLISHED.items():
        here = "  <- this collection looks like it" if name == totals.corpus else ""
        print(f"Published for {name}: {found:,} reports, {kept:,} kept ({kept / found:.1%}).{here}")
    if totals.share_passed is not None:
        print(f"Rewritings that passed the check: {totals.passed} of {totals.rewritten} ({totals.share_passed:.1%}).")
        if totals.passed < totals.rewritten:
            print(f"warning W-SUM-001: {CATALOGUE['W-SUM-001'].what}", file=sys.stderr)
    print(one_line(f"Records and summary are in {file_name(out)}"), file=sys.stderr)
