"""`serve --make-password` and `serve --shortcut`: what is done once, before a server is used."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Any

import typer

from xraygpt_edge.errors import ExitCode, OutputError, UsageError

ONCE = {"shortcut", "make_password"}


def make_password(path: Path) -> int:
    """Ask for a password twice and write the line by which it is recognised."""
    from xraygpt_edge.serve import passwords

    first, second = _asked("Password: "), _asked("Once more: ")
    if first != second:
        raise UsageError("E-SRV-017", "the two passwords are not the same")
    try:
        passwords.write(path, first)
    except OSError as error:
        raise OutputError("E-OUT-001", error.strerror or type(error).__name__) from None
    print(f"Written: {path}", file=sys.stderr)
    return ExitCode.DONE


def make_shortcut(context: typer.Context) -> int:
    """Write the entry of the applications menu, with the options of this call."""
    from xraygpt_edge.serve import shortcut

    print(shortcut.write(["serve", *given_options(context)]))
    return ExitCode.DONE


def given_options(context: typer.Context) -> list[str]:
    """The options of this call, as another call takes them from any folder."""
    found: list[str] = []
    for option in context.command.params:
        name = option.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in ONCE:
            continue
        value = context.params[name]
        found += [option.opts[0]] if value is True else []
        values = value if isinstance(value, list | tuple) else [] if isinstance(value, bool) else [value]
        found += [word for each in values for word in (option.opts[0], _from_anywhere(each))]
    return found


def _from_anywhere(value: Any) -> str:
    """A value that does not depend on the folder one is in."""
    is_path = isinstance(value, Path) or (isinstance(value, str) and Path(value).is_dir())
    return str(Path(value).absolute()) if is_path else str(value)


def _asked(words: str) -> str:
    """From the terminal without showing it, or a line of standard input where that is none."""
    if sys.stdin.isatty():
        return getpass.getpass(words)
    return sys.stdin.readline().rstrip("\r\n")
