"""JSON objects with a schema number: our own version and older ones are read, newer ones are refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from xraygpt_edge.errors import BundleIncompatible
from xraygpt_edge.records import SCHEMA


class Damaged(ValueError):
    """Not what any version of this program writes."""


class _Head(msgspec.Struct):
    schema: int


def decoded(data: bytes, kind: Any, where: str) -> Any:
    """One object as the type says; unknown fields are passed over. Raises Damaged.

    where: file and line, for the error. Raises BundleIncompatible when a newer version has written it.
    """
    try:
        return _decoded_fast(data, kind)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        pass  # msgspec's own reader refuses a question with half a character in it, for one
    try:
        found = json.loads(data)
        schema = msgspec.convert(found, _Head).schema
        if schema > SCHEMA:
            raise BundleIncompatible("E-REP-002", f"{where}: version {schema}, this program knows {SCHEMA}")
        return msgspec.convert(found, kind)
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        raise Damaged(where) from error


def _decoded_fast(data: bytes, kind: Any) -> Any:
    """The same for what is as it should be, in a fifth of the time; raises ValueError for anything else."""
    if msgspec.json.decode(data, type=_Head).schema > SCHEMA:
        raise ValueError("newer")
    return msgspec.json.decode(data, type=kind)
