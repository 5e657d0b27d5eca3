"""`records.jsonl`: one line a record, on disk before it counts, readable after any crash."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

from xraygpt_edge.errors import OutputError
from xraygpt_edge.files import sync_folder
from xraygpt_edge.ledger.folder import writing

RECORDS = "records.jsonl"
KEY_BYTES = 8


class Ledger:
    """Records that were written, and those that are still to come.

    Memory: one number for each record, whatever its length.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make the file; a line that a crash cut off is taken away. Raises OutputError."""
        path = folder / RECORDS
        self.ok: set[int] = set()
        """Keys that have an answer."""
        self.failed: dict[int, int] = {}
        """Keys that failed, with the number of the last attempt."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with writing(RECORDS):
            self._handle = os.open(path, flags, 0o600)
        try:
            with writing(RECORDS):
                self.cut_bytes = self._recover(path)
                sync_folder(folder)
        except BaseException:
            self.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """Write one record; when this returns, it survives a power cut. Raises OutputError."""
        line = json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n"
        with writing(RECORDS):
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)
        self._note(record)

    def is_done(self, path: str, question: str) -> bool:
        """Whether there is a record, an answer or a failure."""
        wanted = key(path, question)
        return wanted in self.ok or wanted in self.failed

    def is_ok(self, path: str, question: str) -> bool:
        """Whether there is an answer."""
        return key(path, question) in self.ok

    def attempts(self, path: str, question: str) -> int:
        """How often this was tried and failed before."""
        return self.failed.get(key(path, question), 0)

    def close(self) -> None:
        """Nothing is buffered: every record is on disk already."""
        os.close(self._handle)

    def _recover(self, path: Path) -> int:
        """Note every whole record; cut off a torn end; returns the bytes cut off."""
        good, torn_line = 0, 0
        with path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                record = decoded(line)
                if record is None:
                    torn_line = torn_line or number
                elif torn_line:  # something whole follows: this was no crash
                    raise OutputError("E-OUT-003", f"{RECORDS}, line {torn_line}")
                else:
                    self._note(record)
                    good += len(line)
            cut = stream.tell() - good
        if cut:
            os.ftruncate(self._handle, good)
            os.fsync(self._handle)
        return cut

    def _note(self, record: dict[str, Any]) -> None:
        this = key(own_path(record), record["question"])
        if record["status"] == "ok":
            self.ok.add(this)
            self.failed.pop(this, None)
        else:
            self.failed[this] = record["attempt"]


def key(path: str, question: str) -> int:
    """A short number for a path and a question; among a million, two are the same once in 10^7 batches."""
    digest = blake2b(os.fsencode(path) + b"\0" + question.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES)
    return int.from_bytes(digest.digest(), "big")


def named_path(path: str) -> dict[str, str]:
    """`path`, and `path_b64` beside it where the name is not UTF-8."""
    raw = os.fsencode(path)
    shown = raw.decode("utf-8", "backslashreplace")
    if shown.encode("utf-8", "surrogatepass") == raw:
        return {"path": shown}
    return {"path": shown, "path_b64": base64.b64encode(raw).decode("ascii")}


def own_path(record: dict[str, Any]) -> str:
    """The path of a record as the system knows it."""
    return os.fsdecode(base64.b64decode(record["path_b64"])) if "path_b64" in record else str(record["path"])


def decoded(line: bytes) -> dict[str, Any] | None:
    """A record, or None for a line that is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    has_key = isinstance(record, dict) and {"path", "question", "status", "attempt"} <= record.keys()
    return record if has_key else None


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Every record in the order of writing, one in memory at a time."""
    with writing(RECORDS), (folder / RECORDS).open("rb") as stream:
        for line in stream:
            record = decoded(line)
            if record is not None:
                yield record
