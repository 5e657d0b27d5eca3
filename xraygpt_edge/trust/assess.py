"""How far to trust an answer: everything that is known of it, in one object. Nothing here changes a token."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.errors import UnusableOutput, XrayGPTError
from xraygpt_edge.findings import Finding, Place
from xraygpt_edge.generation.answer import Generation, TokenSignal
from xraygpt_edge.generation.sampler import uncertainty
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import (
    Answer,
    ClaimTrust,
    FilmTrust,
    FindingTrust,
    FinishReason,
    SentenceTrust,
    Trust,
    TrustLevel,
    Verdict,
)
from xraygpt_edge.trust import reliance, support
from xraygpt_edge.trust.checks import Film, check, film_of
from xraygpt_edge.trust.claims import Sentence, claims
from xraygpt_edge.trust.film import seen
from xraygpt_edge.trust.observation import entropy_of, sentences_of
from xraygpt_edge.trust.panel import MASS_LEAST, Panel, Panels
from xraygpt_edge.trust.profile import Profile, findings_of, places_of

FILM_UNLIKE, IMAGE_UNUSED = "W-TRU-001", "W-TRU-002"
PRESENT_WITHOUT_LABELS = 2.0
"""Log-odds that are a verdict where no labels say how sure they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """An answer with all that is known from its making."""

    image: EncodedImage
    ask: Ask
    text: str
    token_ids: tuple[int, ...]
    signals: tuple[TokenSignal, ...]
    """One for each token id; empty where only the text is left: then nothing is said of certainty and reliance."""
    panel: Panel | None = None
    """Of the same radiograph, where it was asked before: every answer about it shares one."""
    finish_reason: FinishReason = "stop"
    film: Film | None = None
    """What is known of what the model was given; None: of the one radiograph what its file says."""

    @classmethod
    def of(
        cls,
        image: EncodedImage,
        ask: Ask,
        generation: Generation,
        panel: Panel | None = None,
        film: Film | None = None,
    ) -> Self:
        """An answer that was just generated."""
        text, ids, signals = generation.text, generation.token_ids, generation.signals
        return cls(image, ask, text, ids, signals, panel, generation.finish_reason, film)


def assess(
    model: XrayGPT,
    image: EncodedImage,
    answer: Answer,
    profile: Profile | None,
    level: TrustLevel = "fast",
    ask: Ask | None = None,
) -> Trust:
    """As `assess_told`, for an answer of which only the record is left: its tokens are computed once more.

    ask: how it was asked, where there was a history.
    """
    asked = ask or Ask(answer.question, template=answer.engine.template)
    try:
        told = told_again(model, image, answer, asked)
    except Exception as error:  # noqa: BLE001 - an answer never fails for what is said about it
        return replace(_nothing(profile, level), failed=why(error, "tokens"))
    return assess_told(model, told, profile, level)


def told_again(model: XrayGPT, image: EncodedImage, answer: Answer, ask: Ask) -> Told:
    """Compute what is known of each token of a kept answer; raises what an answer would raise."""
    scheduler = model.parts.wait_for_language()
    prompt = model.prompt(image.embeddings, ask)
    logits = scheduler.logits_along(prompt, answer.token_ids[:-1])[: len(answer.token_ids)]
    pieces = scheduler.pieces(answer.token_ids)
    signals = tuple(
        TokenSignal(piece, *uncertainty(row, token))
        for row, token, piece in zip(logits, answer.token_ids, pieces, strict=True)
    )
    return Told(image, ask, answer.text, answer.token_ids, signals, finish_reason=answer.finish_reason)


def assess_told(
    model: XrayGPT,
    told: Told,
    profile: Profile | None,
    level: TrustLevel = "fast",
    deadline: Deadline | None = None,
    panels: Panels | None = None,
) -> Trust:
    """Say how far to trust an answer; never raises for what the model computes: `failed` says what is missing.

    panels: those known already; without any the radiograph is asked anew.
    Without a profile there are sentences with their entropies, claims and flags, and nothing else.
    """
    began_s = time.monotonic()
    trust = _nothing(profile, level)
    assessment = _Assessment(model, told, profile, deadline, panels or Panels())
    for step in _steps(assessment, profile, level):
        try:
            trust = step(trust)
        except Exception as error:  # noqa: BLE001 - an answer never fails for what is said about it
            trust = replace(trust, failed=why(error, step.__name__))
            break
    return replace(_gated(trust), seconds=time.monotonic() - began_s)


def _nothing(profile: Profile | None, level: TrustLevel) -> Trust:
    nothing = Trust(None, level, None, (), (), (), ())
    return replace(nothing, profile=profile.sha256, reference=profile.facts) if profile else nothing


def why(error: Exception, step: str) -> str:
    """What `Trust.failed` says of an error: its id, and what was being computed."""
    return f"{error.error_id if isinstance(error, XrayGPTError) else 'E-BUG-001'} ({step})"


def about_file(trust: Trust, answer: Answer, findings: Sequence[Finding]) -> Trust:
    """The same of an answer about other files of the same pixels: what the file's header says decides some marks."""
    marked = check(claims(answer.text, findings), findings, film_of(answer.input), answer.finish_reason)
    pairs = zip(trust.sentences, marked, strict=False)  # none where the sentences failed
    return replace(trust, sentences=tuple(replace(one, flags=again.flags) for one, again in pairs))


Step: TypeAlias = Callable[[Trust], Trust]


def _steps(assessment: _Assessment, profile: Profile | None, level: TrustLevel) -> list[Step]:
    with_profile: list[Step] = [assessment.film, assessment.panel] if profile else []
    full: list[Step] = [assessment.reliance] if profile and level == "full" and assessment.has_tokens else []
    return [assessment.sentences, *with_profile, *full]


class _Assessment:
    """What is being said about one answer; each step adds its part, or raises."""

    def __init__(
        self, model: XrayGPT, told: Told, profile: Profile | None, deadline: Deadline | None, panels: Panels
    ) -> None:
        self._model, self._told, self._deadline, self._panels = model, told, deadline, panels
        self._known_profile = profile
        self._places = places_of(model.parts.plan)
        self._sentences: tuple[Sentence, ...] = ()

    @property
    def _profile(self) -> Profile:
        if self._known_profile is None:
            raise ValueError("no profile")
        return self._known_profile

    @property
    def has_tokens(self) -> bool:
        """What is known of each token is there; of an answer that was kept it is not."""
        return len(self._told.signals) == len(self._told.token_ids)

    def sentences(self, trust: Trust) -> Trust:
        """Sentences with their claims, flags and entropies."""
        told, findings = self._told, findings_of(self._model.parts.plan)
        known = told.film or film_of(told.image.source)
        self._sentences = sentences_of(told.text, told.signals, told.finish_reason, findings, known)
        return replace(trust, sentences=tuple(_plain(sentence, told.signals) for sentence in self._sentences))

    def film(self, trust: Trust) -> Trust:
        """Whether the film is like the reference films."""
        distance = self._profile.films.distance(seen(self._told.image))
        if not np.isfinite(distance):
            raise UnusableOutput("E-RUN-031", "in the distance of the film")
        threshold = self._profile.films.threshold
        like = distance <= threshold
        warned = trust.warnings if like else (*trust.warnings, FILM_UNLIKE)
        return replace(trust, film=FilmTrust(distance, threshold, like), warnings=warned)

    def panel(self, trust: Trust) -> Trust:
        """The model's own answers, and how far each sentence agrees with them."""
        profile, told, places = self._profile, self._told, self._places
        asking = (self._model, told.image, places, profile.head.form, self._deadline)
        asked = told.panel or self._panels.ask(*asking)
        if not (np.isfinite(asked.z).all() and np.isfinite(asked.mass).all()):
            raise UnusableOutput("E-RUN-031", "in the panel")
        counted = np.where((asked.mass >= MASS_LEAST) & profile.moves, asked.z, np.nan)
        supported = [
            _supported(known, support.evidence_of(sentence, known.entropy, counted, places), profile, places)
            for known, sentence in zip(trust.sentences, self._sentences, strict=True)
        ]
        findings = _findings(asked, self._sentences, profile, places)
        unsaid = tuple(
            finding.name for finding in findings if finding.verdict == "present" and finding.said != "present"
        )
        return replace(trust, sentences=tuple(supported), findings=findings, unsaid=unsaid)

    def reliance(self, trust: Trust) -> Trust:
        """Whether each sentence rests on the image."""
        profile, told = self._profile, self._told
        log_p = tuple(signal.log_probability for signal in told.signals)
        spoken = reliance.Spoken(told.ask, told.token_ids, log_p, self._sentences)
        found = reliance.nats(self._model, spoken, self._places, profile.contrast, self._deadline)
        if not np.isfinite([value for value in found if value is not None]).all():
            raise UnusableOutput("E-RUN-031", "in the likelihoods")
        verdicts = [reliance.verdict(value, profile.head.reliance_bound_nats) for value in found]
        unused = {verdict for verdict in verdicts if verdict} == {"little"}
        sentences = tuple(
            replace(sentence, reliance_nats=value, reliance=verdict)
            for sentence, value, verdict in zip(trust.sentences, found, verdicts, strict=True)
        )
        warned = (*trust.warnings, IMAGE_UNUSED) if unused else trust.warnings
        return replace(trust, sentences=sentences, warnings=warned)


def _plain(sentence: Sentence, signals: Sequence[TokenSignal]) -> SentenceTrust:
    claims = tuple(ClaimTrust(c.finding, c.sides, c.zone, c.polarity) for c in sentence.claims)
    entropy = entropy_of(sentence, signals)
    if entropy is not None and not np.isfinite(entropy):
        raise UnusableOutput("E-RUN-031", "in the entropy")
    place = (sentence.start, sentence.end)
    return SentenceTrust(*place, entropy, "unchecked", None, None, None, sentence.flags, claims)


def _findings(
    asked: Panel, sentences: Sequence[Sentence], profile: Profile, places: Sequence[Place]
) -> tuple[FindingTrust, ...]:
    stated = support.said(sentences, places)
    denied = np.any(
        [support.denied(sentence, places) for sentence in sentences] or [np.zeros(len(places), bool)], axis=0
    )
    calibrated = profile.calibration
    p = calibrated.joined.probabilities(asked.z, stated) if calibrated else np.full(len(places), np.nan)
    return tuple(
        FindingTrust(
            place.name,
            float(asked.z[k]),
            float(asked.mass[k]),
            "present" if stated[k] else "absent" if denied[k] else None,
            float(p[k]) if calibrated and profile.moves[k] and asked.mass[k] >= MASS_LEAST else None,
            _verdict(k, asked, float(p[k]), profile),
            calibrated.band.doubt(k) if calibrated else None,
        )
        for k, place in enumerate(places)
    )


def _verdict(place: int, asked: Panel, p: float, profile: Profile) -> Verdict:
    if not profile.moves[place]:
        return "image-independent"
    if asked.mass[place] < MASS_LEAST:
        return "unanswered"
    if profile.calibration:
        return profile.calibration.band.verdict(place, p)
    if abs(asked.z[place]) < PRESENT_WITHOUT_LABELS:
        return "unsure"
    return "present" if asked.z[place] > 0 else "absent"


def _supported(
    known: SentenceTrust, evidence: support.Evidence | None, profile: Profile, places: Sequence[Place]
) -> SentenceTrust:
    if evidence is None:
        return known
    score = float(profile.support.score([evidence])[0])
    verdict, weakest = profile.support.verdict(evidence, score), places[evidence.place].name
    return replace(known, support=verdict, score=score, weakest=weakest)


def _gated(trust: Trust) -> Trust:
    """For a film unlike the reference films: no percentage, no verdict and no agreement; what warns stays."""
    if trust.film is None or trust.film.like:
        return trust
    return replace(
        trust,
        sentences=tuple(
            replace(s, support="unchecked" if s.support == "agrees" else s.support, score=None) for s in trust.sentences
        ),
        findings=tuple(replace(f, p=None, verdict=None, doubt=None) for f in trust.findings),
        unsaid=(),
    )
