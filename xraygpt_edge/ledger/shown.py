"""Text from outside, as a person may see it."""

from __future__ import annotations

import unicodedata

_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    """Text without characters that a screen would obey or that nobody sees, line ends kept."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _HIDDEN)


def one_line(text: str) -> str:
    """Visible text with every run of white space as one space."""
    return visible(" ".join(text.split()))
