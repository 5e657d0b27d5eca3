"""`records.jsonl`: one line a record, on disk before it counts, readable after any crash."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from pathlib import Path

from xraygpt_edge.ledger.appender import Appender
from xraygpt_edge.ledger.folder import write_whole
from xraygpt_edge.ledger.records import RECORDS, Records
from xraygpt_edge.ledger.rows import Answered, record_of
from xraygpt_edge.records import Answer, Failure

KEY_BYTES = 8


class Ledger:
    """Records that were written, and those that are still to come; for one caller, which has claimed the folder.

    Memory: one number for each record, whatever its length.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make the file; a last line that a crash cut off is taken away. Raises what `Records` raises."""
        self.ok: set[int] = set()
        """Keys that have an answer."""
        self.failed: dict[int, int] = {}
        """Keys that failed, with the number of the last attempt."""
        self._file = Appender(folder)
        try:
            self.cut_bytes = self._recover(Records(folder))
        except BaseException:
            self.close()
            raise

    def append(self, result: Answer | Failure, identity: str, path: str, question: str, attempt: int) -> None:
        """Write one record; when this returns, it survives a power cut. Raises OutputError.

        identity: of the file, and nothing that came from a patient. path: relative to the folder that was asked about.
        """
        record = record_of(result, identity, path, question, attempt)
        line = json.dumps(record, ensure_ascii=True).encode("ascii") + b"\n"
        self._file.append(line)
        self._note(key(path, question), attempt, is_ok=isinstance(result, Answer))

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
        self._file.close()

    def _recover(self, records: Records) -> int:
        """Note every whole record; cut off a torn end; returns the bytes cut off."""
        for entry in self._file.recover(records):
            row = entry.row
            self._note(key(row.own_path, row.question), row.attempt, is_ok=isinstance(row, Answered))
        return records.torn_bytes

    def _note(self, this: int, attempt: int, *, is_ok: bool) -> None:
        if is_ok:
            self.ok.add(this)
            self.failed.pop(this, None)
        else:
            self.failed[this] = attempt


def forget(folder: Path, path: str) -> None:
    """Take every record of one file out of a folder that the caller has claimed; raises what `Records` raises."""
    kept = [entry.line for entry in Records(folder) if entry.row.own_path != path]
    write_whole(folder / RECORDS, b"".join(kept))


def key(path: str, question: str) -> int:
    """A short number for a path and a question; among a million, two are the same once in 10^7 batches."""
    digest = blake2b(os.fsencode(path) + b"\0" + question.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES)
    return int.from_bytes(digest.digest(), "big")
