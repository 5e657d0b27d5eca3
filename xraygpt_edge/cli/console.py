"""What a person sees: the only importer of rich. Data on stdout, words on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rich.color import Color
from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text

from xraygpt_edge.bundle import Bundle, Problem, Warned
from xraygpt_edge.bundle.questions import named
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.records import Answer, Source
from xraygpt_edge.text import file_name, visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ASKING = "Loading the model and reading the radiograph ..."
WORDS = Console(stderr=True)
DATA = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


LONG_PROMPT = 512
"""Tokens; a shorter prompt is one decode, and there is nothing to tell of it."""
Follow: TypeAlias = Callable[[], tuple[int, int]]
"""Tokens of a prompt that are computed, and all of them; asked ten times a second, from another thread."""


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """What a person waits for: other words while a long prompt is computed."""

    words: str
    follow: Follow

    def __rich__(self) -> Text:
        """Text as of now."""
        done, total = self.follow()
        return Text(f"Reading the prompt: {done} of {total} tokens ..." if total > LONG_PROMPT else self.words)


class Screen:
    """One answer on its way to a person: a spinner, then the words as they come, then the notice."""

    def __init__(self, words: str, follow: Follow | None = None, *, quiet: bool) -> None:
        self._streams = sys.stdout.isatty() and not quiet
        self._shown = False
        waiting_for = PromptProgress(words, follow) if follow else words
        self.spinner = WORDS.status(waiting_for, spinner=spinner()) if not quiet else None

    def on_text(self, text: str) -> None:
        """Print a piece of the answer at once, if a terminal is watching."""
        text = visible(text if self._shown else text.lstrip())
        if self._streams and text:
            self.stop_spinner()
            self._shown = True
            sys.stdout.write(text)
            sys.stdout.flush()

    def finish(self, answer: Answer) -> None:
        """End the streamed answer, or print it whole; then warnings and the notice."""
        self.stop_spinner()
        sys.stdout.write("" if self._shown else visible(answer.text))
        sys.stdout.write("\n\n")
        DATA.print(Text(answer.notice, style="dim"))
        sys.stdout.flush()
        about_image(answer.input)
        if answer.finish_reason != "stop":
            WORDS.print(Text(f"The answer is cut off: {_CUT[answer.finish_reason]}", style="yellow"))

    def fail(self, error: XrayGPTError) -> None:
        """There is no answer to this question; the next one may have one."""
        self.stop_spinner()
        WORDS.print(Text(f"error {error.error_id}: {error.message}", style="red"), soft_wrap=True)

    def stop_spinner(self) -> None:
        """The first word is there, or an error is about to be."""
        if self.spinner:
            self.spinner.stop()
            self.spinner = None


def spinner() -> str:
    """The name of a spinner that the terminal can show."""
    return "dots" if says_any_character() else "line"


def about_image(source: Source) -> None:
    """What the reader of an answer should know about the file; the hash tells which image is meant."""
    for warning in source.warnings:
        WORDS.print(Text(f"warning {warning.id}: {warning.message}", style="yellow"), soft_wrap=True)


_CUT = {"length": "it reached --max-tokens.", "timeout": "it reached --timeout."}


@contextmanager
def waiting(words: str = ASKING, follow: Follow | None = None, *, quiet: bool) -> Iterator[Screen]:
    """A spinner on a terminal's stderr until the first word, with how far a long prompt is."""
    screen = Screen(words, follow, quiet=quiet)
    if screen.spinner and WORDS.is_terminal:
        screen.spinner.start()
    try:
        yield screen
    finally:
        screen.stop_spinner()


def bundle_row(bundle: Bundle) -> dict[str, str]:
    """One line of `bundle list`."""
    manifest = bundle.manifest
    sizes = sum(entry.size for entry in manifest.files)
    return {
        "id": manifest.id,
        "kind": "demonstration" if manifest.demo else manifest.kind,
        "vision": ", ".join(str(entry.precision) for entry in manifest.files if entry.role == "vision"),
        "language": ", ".join(str(entry.precision) for entry in manifest.files if entry.role == "language"),
        "size": f"{sizes / 1e6:.0f} MB",
        "folder": file_name(bundle.root),
    }


def table(rows: Sequence[Mapping[str, str]], *, as_json: bool) -> None:
    """Rows of the same keys, as a table or as JSON."""
    if as_json:
        print(json.dumps({"schema": 1, "rows": rows}))
        return
    drawn = Table(box=None, pad_edge=False)
    for name in rows[0] if rows else ():
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(value) for value in row.values()))
    DATA.print(drawn)


def bundle_page(bundle: Bundle) -> None:
    """What a bundle holds."""
    manifest = bundle.manifest
    facts = {**bundle_row(bundle), "licence": manifest.licence, "made by": manifest.created_by}
    for name, value in facts.items():
        DATA.print(f"{name:<9} {visible(value)}")
    table(
        [
            {"file": e.path, "role": e.role, "precision": e.precision or "", "bytes": f"{e.size:,}"}
            for e in manifest.files
        ],
        as_json=False,
    )
    if manifest.views:
        DATA.print(f"Made for {' and '.join(manifest.views)} views.")
    for name, text in named(manifest.prompt).items():
        DATA.print(f"@{visible(name)}: {visible(text)}")
    for note in manifest.notes:
        DATA.print(visible(note))


def saved_starts(folder: Path, kept: Sequence[Path]) -> None:
    """What is kept of prompts, for all bundles together."""
    size = sum(path.lstat().st_size for path in kept)
    DATA.print(f"Saved starts of prompts: {len(kept)}, {size / 1e6:.0f} MB in {file_name(folder)}")


def say(words: str) -> None:
    """One line for a person."""
    WORDS.print(Text(words), soft_wrap=True)


def says_any_character() -> bool:
    """Standard error shows more than ASCII."""
    return WORDS.encoding.lower().startswith("utf")


def verification(root: Path, problems: Sequence[Problem]) -> None:
    """The result of `bundle verify`."""
    for problem in problems:
        DATA.print(f"{visible(str(problem))}")
    words = f"{len(problems)} problems: copy the bundle again" if problems else "every file is what the manifest says"
    WORDS.print(Text(f"{file_name(root.name)}: {words}."))


def titled_tables(tables: Iterable[tuple[str, list[list[str]]]]) -> None:
    """Each title, and below it its rows, the first of which names the columns."""
    for title, (names, *rows) in tables:
        DATA.print(f"{title}\n")
        table([dict(zip(names, row, strict=True)) for row in rows], as_json=False)
        DATA.print()


def proof(bundle_id: str, problems: Sequence[str]) -> None:
    """The result of `bundle prove`."""
    for problem in problems:
        DATA.print(visible(problem))
    words = "computes something else than" if problems else "computes what"
    WORDS.print(Text(f"{visible(bundle_id)}: this computer {words} the exporter did."))


def warnings(warned: Sequence[Warned]) -> None:
    """What to know about an intact bundle, a line each."""
    for warning in warned:
        WORDS.print(Text(f"warning {visible(str(warning))}", style="yellow"), soft_wrap=True)


UPPER_HALF = "\u2580"
"""A block over the upper half of a cell: with its two colours a cell shows two grey levels."""
GAP = 2
"""Columns between two pictures."""


def shows_pictures() -> bool:
    """A person watches standard output, on a terminal with enough grey levels."""
    greys = DATA.color_system in ("256", "truecolor") and not DATA.no_color
    return greys and sys.stdout.isatty() and DATA.encoding.startswith("utf")


def pictures(captioned: Mapping[str, NDArray[np.uint8]]) -> None:
    """Grey pictures side by side, as large as the terminal allows, each with its caption below."""
    from xraygpt_edge.imaging.inspection import half_blocks

    columns = min(DATA.width // max(1, len(captioned)) - GAP, 2 * (DATA.height - 3))
    if columns < max(map(len, captioned), default=DATA.width):
        return
    for line in zip(*(half_blocks(picture, columns) for picture in captioned.values()), strict=True):
        cells = [segment for part in line for segment in (*map(_cell, part.tolist()), Segment(" " * GAP))]
        DATA.print(Segments([*cells, Segment.line()]))
    DATA.print("".join(f"{caption:<{columns + GAP}}" for caption in captioned), end="\n\n")


def _cell(levels: Sequence[int]) -> Segment:
    upper, lower = (Color.from_rgb(level, level, level) for level in levels)
    return Segment(UPPER_HALF, Style(color=upper, bgcolor=lower))
