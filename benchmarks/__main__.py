"""`python -m benchmarks`: each measurement as a command, and all of them as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, get_args
from zipfile import is_zipfile

import typer

from benchmarks import peers as tools
from benchmarks import plot, results, table
from benchmarks.child import SideFailed
from benchmarks.run import MEASUREMENTS, NotQuiet, run, say
from benchmarks.task import Sizes, Task
from export.build_steps import SetupError
from export.llama_wheel import Cpu
from xraygpt_edge.devices import usable_cpus
from xraygpt_edge.errors import XrayGPTError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
RESULTS, DEMO, DRAWING = Path("benchmarks/results"), Path("models/demo"), Path("docs/benchmarks.svg")

Bundle = Annotated[Path, typer.Option(help="Folder of the bundle. `start` measures the demonstration.")]
Out = Annotated[Path, typer.Option(help="Folder of the results.")]
Pairs = Annotated[int, typer.Option(min=1, help="Rounds: in each, every side is measured once.")]
Only = Annotated[str, typer.Option(help=f"Some of them, with commas: {', '.join(MEASUREMENTS)}.", show_default=False)]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of every side; by default the physical cores.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Measure on a busy machine too; the result says so.")]
Images = Annotated[int, typer.Option(min=1, help="Radiographs of `folder`.")]
AnswerTokens = Annotated[int, typer.Option(min=1, help="Tokens of an answer in `folder`.")]
UpstreamRounds = Annotated[int, typer.Option(min=0, help="Rounds in which `folder` measures PyTorch too.")]
Sequences = Annotated[str, typer.Option(help="Answers at once in `many`, with commas.")]
OtherWheel = Annotated[
    list[str] | None,
    typer.Option(
        help="native=FILE or portable=FILE: a llama.cpp that `busy` measures beside that build of ours, and `kit` too."
    ),
]
Results = Annotated[list[Path] | None, typer.Argument(help="Results of one bundle; the newest file without any.")]


def measure(  # noqa: PLR0913, PLR0917 - a command has as many parameters as options
    context: typer.Context,
    bundle: Bundle,
    out: Out = RESULTS,
    pairs: Pairs = 5,
    only: Only = "",
    threads: Threads = None,
    images: Images = 16,
    answer_tokens: AnswerTokens = 120,
    upstream_rounds: UpstreamRounds = 3,
    sequences: Sequences = "1,8,16,32",
    other_wheel: OtherWheel = None,
    *,
    anyway: Anyway = False,
) -> None:
    """Measure, print the table, and keep every single figure in a JSON file."""
    names = _listed(only) or ([*MEASUREMENTS] if context.info_name == "all" else [str(context.info_name)])
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise typer.BadParameter(f"there is no measurement {', '.join(unknown)}")
    sizes = Sizes(
        sequences=tuple(int(count) for count in _listed(sequences)),
        images=images,
        answer_tokens=answer_tokens,
        upstream_rounds=upstream_rounds,
    )
    task = Task(bundle, DEMO, threads or usable_cpus(), sizes, _wheels(other_wheel or []))
    with _refusals():
        file = run(task, names, pairs, out, anyway=anyway)
        print(table.markdown(results.load(file)), end="")
        say(f"Every figure is in {file}.")


app.command("all", help="Measure everything, print the table, keep every single figure in a JSON file.")(measure)
for name in MEASUREMENTS:
    app.command(name, help=f"Measure {name} alone.")(measure)


@app.command()
def peers() -> None:
    """Build llama.cpp's measuring tools, once: some 8 minutes. The other commands do it when they need them."""
    with _refusals():
        print(tools.ready().llama_bench.parent)


@app.command("table")
def show_table(files: Results = None, out: Out = RESULTS) -> None:
    """Print results as Markdown."""
    with _refusals():
        print(table.markdown(results.merged(files or [results.newest(out)])), end="")


@app.command("plot")
def draw(files: Results = None, out: Out = RESULTS, svg: Path = DRAWING) -> None:
    """Draw the ratios of results."""
    with _refusals():
        svg.write_text(plot.svg(results.merged(files or [results.newest(out)])), "utf-8")
        print(svg)


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _wheels(given: list[str]) -> dict[Cpu, Path]:
    """Which build a wheel is compared with, and the wheel."""
    pairs = [text.partition("=") for text in given]
    found = {cpu: Path(file) for cpu in get_args(Cpu) for name, _, file in pairs if name == cpu}
    if len(found) != len(given) or not all(map(is_zipfile, found.values())):
        raise typer.BadParameter("--other-wheel takes native=FILE or portable=FILE, each once, and a wheel as FILE")
    return found


@contextmanager
def _refusals() -> Iterator[None]:
    """The one place where an error becomes a line and an exit code."""
    try:
        yield
    except (NotQuiet, SideFailed, SetupError, XrayGPTError, FileNotFoundError, ValueError) as error:
        say(str(error))
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
