"""Images that come again in a conversation: encoded once, and a turn costs its own words."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.generation.prefix import Prefix

MOST = 8
"""Half a megabyte each for a 7B model."""


@dataclass(slots=True)
class Known:
    """An encoded image."""

    image: EncodedImage
    computed: Prefix | None = None
    """What the latest conversation about it has in the cache."""


@dataclass(slots=True)
class KnownImages:
    """The images that were asked about last, by the hash of their pixels; for one thread."""

    _known: OrderedDict[bytes, Known] = field(default_factory=OrderedDict)

    def recall(self, pixels: bytes) -> Known | None:
        """The image, which counts as the latest now, or None."""
        known = self._known.get(pixels)
        if known is not None:
            self._known.move_to_end(pixels)
        return known

    def keep(self, pixels: bytes, image: EncodedImage) -> Known:
        """Remember an image; the one that was asked about longest ago is forgotten when there are too many."""
        known = self._known[pixels] = Known(image)
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return known
