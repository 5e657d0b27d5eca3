"""Commands, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from xraygpt_edge.cli import about, ask, batch, bundles, chat, doctor, report
from xraygpt_edge.errors import ExitCode, UsageError, XrayGPTError
from xraygpt_edge.records import Failure

PROGRAM = "xraygpt-edge"

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
app.command("doctor")(doctor.doctor)
app.command("explain")(about.explain)
app.command("report")(report.report)
app.add_typer(bundles.app, name="bundle")


@app.callback()
def options(
    show_version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=about.version, help="Versions, for a bug report."),
    ] = False,
) -> None:
    """Nothing but the option above."""


class Terminated(BaseException):
    """SIGTERM has arrived."""


def main() -> NoReturn:
    """Run the command line and end the process."""
    _hide_from_core_dumps()
    code = run(sys.argv[1:])
    if code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        # Native code may still be computing on its thread; nothing of it is worth waiting for.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return int(app(args=list(arguments), standalone_mode=False) or ExitCode.DONE)
    except Terminated:
        return ExitCode.TERMINATED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as in `| head`; nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except Exception as error:  # noqa: BLE001 - the boundary: an error becomes a line and a code
        return _report(_understood(error, arguments), arguments)


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
        failure = Failure(error.error_id, error.message, int(error.code))
        print(json.dumps(failure.to_dict()))
    line = " ".join(f"{PROGRAM}: error {error.error_id}: {error.message}".split())
    print(f"{line} Help: {PROGRAM} explain {error.error_id}", file=sys.stderr)
    return error.code


def _terminate(_signal: int, _frame: Any) -> NoReturn:
    raise Terminated


def _hide_from_core_dumps() -> None:
    """A core file would hold the radiograph."""
    try:
        import resource
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
