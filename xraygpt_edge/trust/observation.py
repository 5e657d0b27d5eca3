"""What is measured of one answer: its sentences, the panel, and the certainty of each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.findings import Finding, Place
from xraygpt_edge.generation.answer import Generation, TokenSignal
from xraygpt_edge.generation.request import GREEDY
from xraygpt_edge.records import FinishReason
from xraygpt_edge.trust import film, panel, profile, reliance, support
from xraygpt_edge.trust.checks import Film, check, film_of
from xraygpt_edge.trust.claims import Sentence, claims
from xraygpt_edge.trust.panel import Form, Panel
from xraygpt_edge.trust.reliance import ContrastFilms, Spoken
from xraygpt_edge.trust.support import Evidence
from xraygpt_edge.trust.tokens import with_tokens


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """One film, the report about it, and the panel."""

    features: NDArray[np.float64]
    """As `film.features` gives them."""
    seen: NDArray[np.float64]
    """As `film.seen` gives it."""
    panel: Panel
    sentences: tuple[Sentence, ...]
    entropies: tuple[float | None, ...]
    """Of each sentence, as `entropy_of` gives it."""
    generation: Generation


def observe(model: XrayGPT, image: EncodedImage, form: Form = "question") -> Observation:
    """Ask for a report about a film, and ask the panel."""
    plan = model.parts.plan
    with model.begin_answer(image, REPORT, leaving=model.prefix(image)) as stream:
        generation = stream.generation()
    said = (generation.text, generation.signals, generation.finish_reason)
    found = sentences_of(*said, profile.findings_of(plan), film_of(image.source))
    asked = panel.ask(model, image, profile.places_of(plan), form)
    entropies = tuple(entropy_of(sentence, generation.signals) for sentence in found)
    return Observation(film.features(image.embeddings), film.seen(image), asked, found, entropies, generation)


REPORT = Ask(panel.REPORT_REQUEST, sampling=GREEDY)


def sentences_of(
    text: str,
    signals: Sequence[TokenSignal],
    finish_reason: FinishReason,
    findings: Sequence[Finding],
    known: Film,
) -> tuple[Sentence, ...]:
    """The sentences of an answer with what they state, the rules that mark them, and the tokens that wrote them."""
    checked = check(claims(text, findings), findings, known, finish_reason)
    return with_tokens(checked, text, [signal.piece for signal in signals])


def entropy_of(sentence: Sentence, signals: Sequence[TokenSignal]) -> float | None:
    """Highest entropy of the tokens of a sentence, in nats; None where the tokens are not known."""
    if sentence.token_range is None or sentence.token_range[1] > len(signals):
        return None
    start, end = sentence.token_range
    return float(np.max([signal.entropy for signal in signals[start:end]])) if start < end else None


def evidence_of(observation: Observation, moves: NDArray[np.bool_], names: Sequence[Place]) -> list[Evidence | None]:
    """Evidence for each sentence; moves: (n_places,) what counts of the panel."""
    z = np.where(moves, observation.panel.z, np.nan)
    pairs = zip(observation.sentences, observation.entropies, strict=True)
    return [support.evidence_of(sentence, entropy, z, names) for sentence, entropy in pairs]


def reliance_of(model: XrayGPT, observation: Observation, contrast: ContrastFilms) -> list[float | None]:
    """Reliance of each sentence of a report, in nats."""
    generation = observation.generation
    log_p = tuple(signal.log_probability for signal in generation.signals)
    spoken = Spoken(REPORT, generation.token_ids, log_p, observation.sentences)
    return reliance.nats(model, spoken, profile.places_of(model.parts.plan), contrast)
