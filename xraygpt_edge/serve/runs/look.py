"""What of a folder may be a radiograph: by the rules of `batch`, from the first bytes where a name does not say."""

from __future__ import annotations

from typing import Annotated

import msgspec

from xraygpt_edge.batch.walk import look_at_head
from xraygpt_edge.imaging.sniff import HEAD_BYTES

HEADS_MAX = 500
Head = Annotated[bytes, msgspec.Meta(max_length=HEAD_BYTES)]


class Heads(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Beginnings of files, without their names."""

    heads: Annotated[tuple[Head, ...], msgspec.Meta(max_length=HEADS_MAX)]


def reasons(heads: Heads) -> list[str]:
    """Why each file is left out, as a batch counts it; empty for one that may be a radiograph."""
    looks = map(look_at_head, heads.heads)
    return [look.reason if look.skip else "" for look in looks]
