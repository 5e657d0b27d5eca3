"""Options that mean the same in every command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from xraygpt_edge import sandbox, text
from xraygpt_edge.errors import NotOffline, UsageError

if TYPE_CHECKING:
    from xraygpt_edge.devices import Wish
    from xraygpt_edge.loading import LoadOptions
    from xraygpt_edge.loading import Memory as MemoryWish
    from xraygpt_edge.records import TrustLevel


def clean_text(option: typer.CallbackParam, given: Any) -> Any:
    """What an option was given, as clean text; for options whose words are used as words. Raises UsageError."""
    if isinstance(given, list):
        return [clean_text(option, each) for each in given]
    return text.argument(given, option.opts[-1]) if isinstance(given, str) else given


Image = Annotated[
    Path, typer.Argument(help="A chest radiograph: DICOM, PNG, JPEG, TIFF, WebP, BMP, JPEG 2000.", show_default=False)
]
Bundle = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR",
        help="Model bundle; else $XRAYGPT_BUNDLE, else an installed one, else the demonstration.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the model runs.")]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads; by default the physical cores.", show_default=False)
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="low|auto|fast",
        help="low: the encoder leaves before the language model comes; in a batch, at most 4 at once. "
        "fast: repacked weights, faster on some CPUs.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on standard error.")]
Profile = Annotated[
    str,
    typer.Option(
        metavar="mimic-jpg|display",
        help="How pixels are read: as the training pictures were, or as a viewer shows them.",
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Words around the question; by default the bundle's.",
        show_default=False,
        callback=clean_text,
    ),
]
Indication = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        help="Why the exam was asked for; only for questions of a bundle that have a place for it, such as @findings.",
        show_default=False,
        callback=clean_text,
    ),
]
MaxTokens = Annotated[int, typer.Option(min=1, help="Most tokens to generate.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token; above 0 draws.")]
TopP = Annotated[float, typer.Option(min=0.0, max=1.0, help="Draw from the likeliest tokens of this probability.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the draws.")]
NoDraft = Annotated[
    bool, typer.Option("--no-draft", help="No speculative decoding: slower, for comparing.", show_default=False)
]
Timeout = Annotated[
    float | None,
    typer.Option(min=0.0, metavar="S", help="Give up after so many seconds.", show_default=False),
]
Trust = Annotated[
    str,
    typer.Option(
        metavar="off|fast|full",
        help="How far to trust each sentence, said after the answer; full also asks whether it rests on the image.",
    ),
]
Map = Annotated[
    bool,
    typer.Option("--map", help="Map what the answer about each finding depends on: 169 encoder passes a radiograph."),
]
MapOut = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Draw maps and put each there as a PNG file. They are patient images.", show_default=False
    ),
]
Frame = Annotated[int | None, typer.Option(min=1, help="Which frame of a file that holds several.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Answer although the input gate refuses; the result says so.")]
Strict = Annotated[
    bool, typer.Option("--strict", help="Have the kernel take the network away first, or stop.", show_default=False)
]
Debug = Annotated[bool, typer.Option("--debug", help="Show where an internal error happened.")]


def stripped(question: str) -> str:
    """The question without white space around it; raises UsageError when nothing is left."""
    question = question.strip()
    if not question:
        raise UsageError("E-USE-004")
    return question


def asked(root: Path, question: str | None, indication: str) -> str:
    """The words of a question to the bundle at root; raises UsageError, NoBundle, BundleAltered, BundleIncompatible."""
    from xraygpt_edge import bundle as bundles
    from xraygpt_edge.bundle import questions

    prompt = bundles.opened(root).manifest.prompt
    wanted = question or questions.default(prompt)
    if wanted is None:
        raise UsageError("E-USE-001", "Missing argument 'QUESTION'")
    return questions.asked(prompt, wanted, indication)


def one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    """The value, if it is one of those allowed; raises UsageError."""
    if value not in allowed:
        raise UsageError("E-USE-001", f"{option} takes {', '.join(allowed)}")
    return value


def load_options(device: str, threads: int | None, memory: str) -> LoadOptions:
    """What --device, --threads and --memory say, for one question at a time; raises UsageError."""
    from xraygpt_edge.generation.capacity import Capacity
    from xraygpt_edge.loading import LoadOptions

    wish = cast("Wish", one_of("--device", device, ("auto", "cpu", "cuda")))
    use = cast("MemoryWish", one_of("--memory", memory, ("low", "auto", "fast")))
    return LoadOptions(wish, threads, memory=use, capacity=Capacity())


def trust_level(level: str) -> TrustLevel:
    """What --trust says; raises UsageError."""
    return cast("TrustLevel", one_of("--trust", level, ("off", "fast", "full")))


def keep_offline(*, strict: bool) -> None:
    """For --strict, before any library is loaded; raises NotOffline where the system cannot do it."""
    if strict and not sandbox.leave_network():
        raise NotOffline("E-RUN-021")
