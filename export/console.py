"""What the commands of `python -m export` show, and how they end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table

from export.build_steps import SetupError
from export.errors import ExportRefused, GateMissed
from xraygpt_edge.errors import ExitCode, XrayGPTError

if TYPE_CHECKING:
    from export.trust_profile import Goals

data, words = Console(), Console(stderr=True)


def show(tables: Iterable[tuple[str, list[list[str]]]]) -> None:
    """Print tables, each with its title and its rows, of which the first names the columns."""
    for title, (head, *body) in tables:
        table = Table(*head, title=title, title_justify="left")
        for cells in body:
            table.add_row(*cells)
        data.print(table)


def show_goals(tables: Goals) -> None:
    """Print each figure beside its goal; ends with 18 where one is missed."""
    missed = False
    for title, rows in tables.items():
        table = [["", "measured (95 % of resampled films)", "of", "goal", ""]]
        for row, goal in rows:
            reached = "" if goal is None else "reached" if goal.met(row.figure) else "MISSED"
            missed |= reached == "MISSED"
            bound = f"{goal.sense} {goal.bound:g}" if goal else ""
            table.append([row.name, str(row.figure), str(row.count), bound, reached])
        show([(title, table)])
    raise typer.Exit(ExitCode.BAD_OUTPUT if missed else ExitCode.DONE)


@contextmanager
def refusals() -> Iterator[None]:
    """The one place where an error becomes a line and an exit code."""
    try:
        yield
    except GateMissed as error:
        _say(str(error))
        raise typer.Exit(ExitCode.BAD_OUTPUT) from error
    except ExportRefused as error:
        _say(str(error))
        raise typer.Exit(ExitCode.INPUT) from error
    except SetupError as error:
        _say(str(error))
        raise typer.Exit(ExitCode.RUNTIME) from error
    except XrayGPTError as error:
        _say(f"{error.error_id}: {error}")
        raise typer.Exit(error.code) from error
    except OSError as error:
        _say(f"A file could not be read or written: {error}")
        raise typer.Exit(ExitCode.OUTPUT) from error


def _say(line: str) -> None:
    words.print(line, style="red", markup=False, highlight=False, soft_wrap=True)
