"""Commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from xraygpt_edge import offline
from xraygpt_edge.cli import (
    about,
    ask,
    batch,
    bench,
    bundles,
    calibrate,
    chat,
    doctor,
    evaluate,
    inspect,
    node,
    pooling,
    replay,
    report,
    scaling,
    serve,
    signals,
    streams,
    summarize,
)
from xraygpt_edge.errors import ExitCode, InputRefused, OutputError, UsageError, XrayGPTError
from xraygpt_edge.records import Failure
from xraygpt_edge.text import escape_unencodable, one_line

PROGRAM = "xraygpt-edge"
LOST_OUTPUT = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF)

app = typer.Typer(
    name=PROGRAM,
    help="Ask a chest radiograph a question on this computer, with no network. "
    "Research software, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("ask")(ask.ask)
app.command("chat")(chat.chat)
app.command("batch")(batch.batch)
app.command("serve")(serve.serve)
app.command("inspect")(inspect.inspect)
app.command("bench")(bench.bench)
app.command("doctor")(doctor.doctor)
app.command("explain")(about.explain)
app.command("plan")(scaling.plan)
app.command("merge")(scaling.merge)
app.command("report")(report.report)
app.command("evaluate")(evaluate.evaluate)
app.command("replay")(replay.replay)
app.command("calibrate")(calibrate.calibrate)
app.command("summarize")(summarize.summarize)
app.add_typer(bundles.app, name="bundle")
app.add_typer(node.app, name="node")
app.add_typer(pooling.app, name="scale")


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=about.version, help="Versions, for a bug report."),
    ] = False,
) -> None:
    """Nothing but the option above."""


def main() -> NoReturn:
    """Run the command line and end the process."""
    prepare(sys.argv[1:])
    code = run(sys.argv[1:])
    # A model may still be loading or computing on a thread; nothing of it is worth waiting for.
    os._exit(code)


def prepare(arguments: Sequence[str]) -> None:
    """What holds for the whole process, and for good."""
    streams.reopen_closed()
    _hide_from_core_dumps()
    offline.forbid_requests()
    signals.end_in_any_case()
    escape_unencodable()
    if "--debug" not in arguments:
        sys.unraisablehook = _say_nothing  # what Python drops it prints with a traceback
        warnings.simplefilter("ignore")  # a library's words for programmers


def run(arguments: Sequence[str]) -> int:
    """Run one command, its output written out; returns its exit code."""
    with signals.SignalHandlers() as handlers:
        try:
            code = _run(arguments, handlers)
            sys.stdout.flush()
        except signals.Ended:  # heard while the last words were written
            return handlers.heard or ExitCode.INTERRUPTED
        except OSError as error:
            return _output_lost(error, arguments)
    return code


def _run(arguments: Sequence[str], handlers: signals.SignalHandlers) -> int:
    try:
        return int(app(args=list(arguments), standalone_mode=False) or ExitCode.DONE)
    except (signals.Ended, KeyboardInterrupt):
        return handlers.heard or ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary: an error becomes a line and a code
        if handlers.heard:  # whatever a library made of it
            return handlers.heard
        if isinstance(error, OSError) and error.errno in LOST_OUTPUT:
            return _output_lost(error, arguments)
        return _report(_understood(error, arguments), arguments)


def _output_lost(error: OSError, arguments: Sequence[str]) -> int:
    """Standard output takes nothing more: the disk is full, or its reader has gone, as in `| head`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return ExitCode.DONE
    return _report(OutputError("E-OUT-001", error.strerror or ""), arguments)


def _understood(error: Exception, arguments: Sequence[str]) -> XrayGPTError:
    """The error in the words of the catalogue; what is not in there is our bug."""
    if isinstance(error, XrayGPTError):
        return error
    if isinstance(error, TyperException):
        return UsageError("E-USE-001", error.format_message().rstrip("."))
    if "--debug" in arguments:
        traceback.print_exception(error)
    return XrayGPTError("E-BUG-001", type(error).__name__)


def _report(error: XrayGPTError, arguments: Sequence[str]) -> int:
    """One line on standard error; with --json, one object on standard output as well."""
    if "--json" in arguments:
        print(json.dumps(_failure(error).to_dict()))
    line = one_line(f"{PROGRAM}: error {error.error_id}: {error.message}")
    print(f"{line} Help: {PROGRAM} explain {error.error_id}", file=sys.stderr)
    return error.code


def _failure(error: XrayGPTError) -> Failure:
    plain = Failure(error.error_id, one_line(error.message), int(error.code))
    return replace(plain, input=error.source, steps=error.steps) if isinstance(error, InputRefused) else plain


def _say_nothing(_dropped: object) -> None:
    """A traceback is for --debug alone."""


def _hide_from_core_dumps() -> None:
    """A core file would hold the radiograph."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
