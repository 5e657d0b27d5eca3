"""The two refusals that every format of pictures shares."""

from __future__ import annotations

from xraygpt_edge.errors import InputRefused


def damaged(why: str) -> InputRefused:
    """The refusal of a file that contradicts itself or was cut."""
    return InputRefused("E-IMG-006", why)


def unread(what: str) -> InputRefused:
    """The refusal of a picture whose pixels are of a kind that is not read, by name."""
    return InputRefused("E-IMG-020", what)
