"""Maps of what an answer states: added to what else is known of it; nothing here changes a token."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from xraygpt_edge.engine import EncodedImage, XrayGPT
from xraygpt_edge.errors import UnusableOutput, UsageError
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import FindingMap, FindingTrust, MapTrust, Trust
from xraygpt_edge.trust import maps
from xraygpt_edge.trust.assess import why
from xraygpt_edge.trust.maps import LastCovered, Map
from xraygpt_edge.trust.measured import require_measured
from xraygpt_edge.trust.profile import Profile

DIGITS = 3
"""Behind the point, of what is kept of a map."""


class Mapper:
    """Draws the maps of one model's answers. For one thread at a time."""

    def __init__(self, model: XrayGPT) -> None:
        self._model, self._covered = model, LastCovered()

    def with_maps(
        self, image: EncodedImage, trust: Trust, profile: Profile | None, deadline: Deadline | None = None
    ) -> Trust:
        """Add a map of every finding that the answer states or the panel sees; never raises: `failed` says why not.

        A film that is unlike the reference films gets none.
        """
        is_unlike = trust.film is not None and not trust.film.like
        if trust.failed or is_unlike:
            return trust
        began_s = time.monotonic()
        try:
            trust = replace(trust, maps=self._maps(image, trust, profile, deadline))
        except Exception as error:  # noqa: BLE001 - an answer never fails for what is said about it
            trust = replace(trust, failed=why(error, "maps"))
        return replace(trust, seconds=trust.seconds + time.monotonic() - began_s)

    def _maps(self, image: EncodedImage, trust: Trust, profile: Profile | None, deadline: Deadline | None) -> MapTrust:
        if profile is None:
            raise UsageError("E-TRU-006")
        require_measured(len(image.embeddings))
        recipe = self._model.parts.plan.bundle.manifest.image
        wanted = [number for number, finding in enumerate(trust.findings) if _is_wanted(finding)]
        if not wanted:
            return MapTrust(recipe.fit, recipe.size_px, ())
        covered = self._covered.of(self._model, image, profile.mean_film, deadline)
        z = [finding.log_odds for finding in trust.findings]
        drawn = maps.draw(self._model, image, covered, profile, z, wanted, deadline)
        return MapTrust(recipe.fit, recipe.size_px, tuple(map(_plain, drawn)))


def _is_wanted(finding: FindingTrust) -> bool:
    """The answer states it or the panel sees it, and the panel's answer moves with the image."""
    moves = finding.verdict not in {"unanswered", "image-independent"}
    return moves and "present" in {finding.said, finding.verdict}


def _plain(drawn: Map) -> FindingMap:
    if not np.isfinite([*drawn.values.flat, drawn.z, drawn.z_covered]).all():
        raise UnusableOutput("E-RUN-031", "in a map")
    values = tuple(tuple(round(float(value), DIGITS) for value in row) for row in drawn.values)
    return FindingMap(drawn.place, values, drawn.z, drawn.z_covered, drawn.is_borne_out)
