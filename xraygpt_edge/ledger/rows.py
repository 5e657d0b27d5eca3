"""What a line of the records says, as types."""

from __future__ import annotations

import base64
import json
import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from xraygpt_edge.records import SCHEMA, Answer, BundleFacts, EngineFacts, Failure, FinishReason, Source, Timing, Trust
from xraygpt_edge.text import file_name

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


class Line(msgspec.Struct, frozen=True, kw_only=True, tag_field="status"):
    """What every line of the records has; fields of later versions are passed over."""

    id: str
    path: str
    """Below the folder that was asked about: its bytes as UTF-8; where they are none, only a likeness."""
    path_b64: bytes | None = None
    """The path's bytes, where they are not UTF-8."""
    attempt: int = 1
    question: str = ""

    @property
    def own_path(self) -> str:
        """The path as this process names it: what it looks like depends on the locale, its bytes never."""
        return own_path(self.path, self.path_b64)

    @property
    def file(self) -> Path:
        """The path as this process names it, relative to the folder that was asked about."""
        return Path(self.own_path)

    @property
    def shown_path(self) -> str:
        """The path as a person may see it: nothing in it that a screen would obey."""
        return file_name(self.file.as_posix())

    @property
    def file_stem(self) -> str:
        """A name for a file about this row: the id, and nothing that came from a patient."""
        return self.id if _SAFE_NAME.fullmatch(self.id) else sha256(self.id.encode("utf-8", "replace")).hexdigest()[:16]


class Answered(Line, frozen=True, kw_only=True, tag="ok"):
    """An answer about one radiograph."""

    text: str
    question: str
    finish_reason: FinishReason
    input: Source
    bundle: BundleFacts
    engine: EngineFacts
    timing: Timing
    notice: str
    trust: Trust | None = None


class Failed(Line, frozen=True, kw_only=True, tag="failed"):
    """A radiograph that ended with an error."""

    error_id: str
    message: str
    code: int
    input: Source | None = None


Row: TypeAlias = Answered | Failed


def record_of(result: Answer | Failure, identity: str, path: str, question: str, attempt: int) -> dict[str, Any]:
    """The object that a line of the records holds.

    identity: of the file, and nothing that came from a patient. path: relative to the folder that was asked about.
    """
    head = {"schema": SCHEMA, "id": identity, **named_path(path), "attempt": attempt, "question": question}
    return {**head, **result.to_dict()}


def row_of(result: Answer | Failure, identity: str, path: str, question: str, attempt: int) -> Row:
    """The row that a reader of that line finds."""
    row: Row = msgspec.convert(json.loads(json.dumps(record_of(result, identity, path, question, attempt))), Row)
    return row


def named_path(path: str) -> dict[str, str]:
    """How records keep a path, whatever the locale: `path`, and `path_b64` beside it where its bytes are not UTF-8."""
    raw = os.fsencode(path)
    shown = raw.decode("utf-8", "backslashreplace")
    if shown.encode("utf-8", "surrogatepass") == raw:
        return {"path": shown}
    return {"path": shown, "path_b64": base64.b64encode(raw).decode("ascii")}


def own_path(path: str, path_b64: bytes | None) -> str:
    """A path that was kept by `named_path`, as this process names it."""
    return os.fsdecode(path_b64 or path.encode("utf-8", "surrogatepass"))
