"""How far to trust the answers of one model, one after another: the profile is read once, a radiograph asked once."""

from __future__ import annotations

from dataclasses import replace

from xraygpt_edge.engine import Ask, EncodedImage, OnText, XrayGPT
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import Answer, Trust, TrustLevel
from xraygpt_edge.trust import profile as profiles
from xraygpt_edge.trust.assess import Told, assess_told, why
from xraygpt_edge.trust.mapping import Mapper
from xraygpt_edge.trust.panel import Panels
from xraygpt_edge.trust.profile import Profile


class Assessor:
    """Says how far to trust each answer of a model; never raises for what it finds. For one thread at a time."""

    def __init__(self, model: XrayGPT, level: TrustLevel, *, maps: bool = False) -> None:
        """Level off says nothing; maps: draw them as well, where the level says anything."""
        self._model, self.level = model, level
        self._mapper, self._maps = Mapper(model), maps
        self._panels = Panels()
        self._found: tuple[Profile | None, str | None] | None = None

    def ask(
        self, image: EncodedImage, ask: Ask, on_text: OnText | None = None, deadline: Deadline | None = None
    ) -> tuple[Answer, Told]:
        """As `XrayGPT.ask`, the same tokens to the last, with what `assess` needs to know; raises what that raises."""
        leaving = self.leaving(image)
        with self._model.begin_answer(image, ask, leaving=leaving, deadline=deadline) as pieces:
            for piece in pieces:
                if on_text and piece.text:
                    on_text(piece.text)
            return pieces.answer(), Told.of(image, ask, pieces.generation())

    def leaving(self, image: EncodedImage) -> Prefix | None:
        """What an answer should leave computed for the panel; it changes not a bit of the answer."""
        return None if self.level == "off" else self._model.prefix(image)

    def assess(self, told: Told, deadline: Deadline | None = None) -> Trust | None:
        """Say how far to trust an answer; None at level off."""
        if self.level == "off":
            return None
        profile, failed = self._profile()
        trust = assess_told(self._model, told, profile, self.level, deadline, self._panels)
        trust = replace(trust, failed=trust.failed or failed)
        return self._mapper.with_maps(told.image, trust, profile, deadline) if self._maps else trust

    def with_maps(self, image: EncodedImage, answer: Answer, deadline: Deadline | None = None) -> Answer:
        """Add maps to an answer that was assessed before, as `Mapper.with_maps`."""
        if answer.trust is None:
            return answer
        trust = self._mapper.with_maps(image, answer.trust, self._profile()[0], deadline)
        return replace(answer, trust=trust)

    def _profile(self) -> tuple[Profile | None, str | None]:
        """The profile, or why it cannot be used."""
        if self._found is None:
            try:
                self._found = profiles.find(self._model.parts.plan), None
            except Exception as error:  # noqa: BLE001 - an answer never fails for what is said about it
                self._found = None, why(error, "profile")
        return self._found
