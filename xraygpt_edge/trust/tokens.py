"""Which tokens wrote which sentence of an answer."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from itertools import accumulate

from xraygpt_edge.trust.claims import Sentence

_WORD = re.compile(r"\w+|\W")


def with_tokens(sentences: Sequence[Sentence], text: str, pieces: Sequence[bytes]) -> tuple[Sentence, ...]:
    """The sentences of an answer, each with the range of tokens that wrote it; never raises.

    text: the answer, cleaned. pieces: the bytes of every token generated, in order, as they were before the clean-up.
    A sentence that no token wrote, as where the pieces are another answer's, keeps None.
    """
    ends = token_ends(text, pieces)
    return tuple(replace(sentence, token_range=_range(sentence, ends)) for sentence in sentences)


def token_ends(text: str, pieces: Sequence[bytes]) -> list[int]:
    """For each token how many characters of the cleaned answer it and those before it wrote; never falls.

    A character of several tokens belongs to the last of them.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    raw, raw_ends = "", []
    for piece in pieces:
        raw += decoder.decode(piece)
        raw_ends.append(len(raw))
    begin = raw.find(text)
    if begin >= 0:
        return [min(max(0, end - begin), len(text)) for end in raw_ends]
    return _aligned(raw, text, raw_ends)


def _aligned(raw: str, text: str, raw_ends: Sequence[int]) -> list[int]:
    """The same where the clean-up has put other words in: what both have in common decides, word by word."""
    raw_words, words = (_WORD.findall(part) for part in (raw, text))
    starts, own_starts = ([0, *accumulate(map(len, part))] for part in (raw_words, words))
    blocks = [
        (starts[block.a], own_starts[block.b], starts[block.a + block.size] - starts[block.a])
        for block in SequenceMatcher(None, raw_words, words).get_matching_blocks()
    ]
    ends, found = [], 0
    for end in raw_ends:
        reached = (there + min(size, end - here) for here, there, size in blocks if here < end)
        found = max(found, max(reached, default=0))
        ends.append(found)
    return ends


def _range(sentence: Sentence, ends: Sequence[int]) -> tuple[int, int] | None:
    """The first token that wrote into the sentence, and the one behind the last."""
    inside = [
        number
        for number, (begin, end) in enumerate(zip((0, *ends), ends, strict=False))
        if begin < end and begin < sentence.end and end > sentence.start
    ]
    return (inside[0], inside[-1] + 1) if inside else None
