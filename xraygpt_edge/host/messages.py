"""What the batch and its model process say to each other: one JSON object a line.

to the process    {"job": {...}} once, then {"task": n, "path": "...", "questions": [...]}
from the process  {"ready": {...}} once, then {"started": n}, {"record": {...}, "task": n, "question": "..."},
                  {"busy": {...}}, or {"fatal": {...}} before it ends
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from xraygpt_edge import errors
from xraygpt_edge.errors import XrayGPTError


@dataclass(frozen=True, slots=True)
class Task:
    """One radiograph and what is still to be asked about it."""

    number: int
    path: str
    """Relative to the batch's folder."""
    questions: tuple[str, ...]
    attempt: int = 1

    def to_message(self) -> dict[str, Any]:
        """As the model process gets it."""
        return {"task": self.number, "path": self.path, "questions": self.questions}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One record's content: an answer or a failure, without id, path and attempt."""

    task: Task
    question: str
    facts: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether it is an answer."""
        return bool(self.facts["status"] == "ok")


def packed(message: dict[str, Any]) -> bytes:
    """One line; lone surrogates of a file name survive as escapes."""
    return json.dumps(message, ensure_ascii=True).encode("ascii") + b"\n"


def revived(fatal: dict[str, Any]) -> XrayGPTError:
    """The error that ended the model process, to be raised again in this one."""
    kinds = {int(kind.code): kind for kind in XrayGPTError.__subclasses__()}
    kind = kinds.get(fatal["code"], errors.XrayGPTError)
    return kind(fatal["error_id"], fatal["why"])
