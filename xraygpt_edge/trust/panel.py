"""The panel: the model's own answer to one fixed question about each finding, read from its logits.

Questions fork from what is computed of the image, and nothing of them stays in the cache. It shows whether the model
contradicts itself, never whether it is right.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.errors import UnusableOutput
from xraygpt_edge.findings import Place
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt, around
from xraygpt_edge.generation.sampler import log_probabilities
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.native import Deadline

Form: TypeAlias = Literal["question", "statement"]
"""question: "Is there F?" and the logits of yes and no. statement: the likelihoods of "There is F." and "There is no
F." behind the request for a report, for a model that answers no questions."""
REPORT_REQUEST = "Describe the given chest x-ray image in detail."
YES, NO = ("Yes", "yes"), ("No", "no")
MASS_LEAST = 0.5
"""Probability of yes and no together below which the model does not answer such a question."""
REMEMBERED = 256
"""Panels of so many radiographs; 300 bytes each."""

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What the model answers about one radiograph, place by place."""

    z: Array
    """(n_places,) log-odds of yes against no."""
    mass: Array
    """(n_places,) probability of yes and no together; 1 in the form of statements."""


def ask(
    model: XrayGPT,
    image: EncodedImage,
    places: Sequence[Place],
    form: Form = "question",
    deadline: Deadline | None = None,
) -> Panel:
    """Ask about every place, all that fit at the same time; raises UnusableOutput for NaN, OutOfTime."""
    panel = _asked(model, image, places, deadline) if form == "question" else _stated(model, image, places, deadline)
    if not np.isfinite(panel.z).all():
        raise UnusableOutput("E-RUN-031", "in the panel")
    return panel


class Panels:
    """The panels of radiographs that were asked lately: every answer about one shares one. For one thread at a time."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Panel] = OrderedDict()

    def ask(
        self, model: XrayGPT, image: EncodedImage, places: Sequence[Place], form: Form, deadline: Deadline | None
    ) -> Panel:
        """As `panel.ask`, once for equal image embeddings; the model, the places and the form are always the same."""
        key = blake2b(image.embeddings.tobytes(), digest_size=16).digest()
        if key not in self._known:
            self._known[key] = ask(model, image, places, form, deadline)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[key]


def read(logits: NDArray[np.float32], yes: Sequence[int], no: Sequence[int]) -> Panel:
    """Log-odds and mass from the logits (n_places, n_vocab) of the first token behind each question."""
    log_p = log_probabilities(logits).astype(np.float64)
    if not yes or not no:
        return Panel(np.zeros(len(log_p)), np.zeros(len(log_p)))
    log_yes = np.logaddexp.reduce(log_p[:, list(yes)], axis=1)
    log_no = np.logaddexp.reduce(log_p[:, list(no)], axis=1)
    return Panel(log_yes - log_no, np.exp(log_yes) + np.exp(log_no))


def word_ids(scheduler: Scheduler) -> tuple[list[int], list[int]]:
    """Token ids that yes and no begin with, at the start of a run and behind a space; none that both begin with."""
    words = (*YES, *NO)
    _, mark, *found = scheduler.token_ids("", "#", *words, *(f"#{word}" for word in words))
    bare = found[len(words) :]
    joined = [ids[len(mark)] for ids in bare if ids[: len(mark)] == mark and len(ids) > len(mark)]
    first = [ids[0] for ids in found[: len(words)] if ids]
    begins = len(first) == len(joined) == len(words)
    if not begins:
        return [], []
    yes = {*first[: len(YES)], *joined[: len(YES)]}
    no = {*first[len(YES) :], *joined[len(YES) :]}
    return sorted(yes - no), sorted(no - yes)


def statements(place: Place) -> tuple[str, str]:
    """The sentences that state and that deny a finding at its place."""
    asked = re.fullmatch(r"Is there (an? )?(.+)\?", place.question)
    article, noun = (asked[1] or "", asked[2]) if asked else ("", place.name)
    return f"There is {article}{noun}.", f"There is no {noun}."


def _asked(model: XrayGPT, image: EncodedImage, places: Sequence[Place], deadline: Deadline | None) -> Panel:
    """Behind what is kept of the image; what questions begin with is computed once, in the same decode."""
    scheduler, template = model.parts.wait_for_language(), model.parts.plan.bundle.template(None)
    asked = [around(template, place.question) for place in places]
    before, *ids = map(tuple, scheduler.token_ids(around(template, "")[0], *(after for _, after in asked)))
    start = Prefix(Prompt((before, image.embeddings)))
    return read(scheduler.first_logits_behind(start, ids, deadline), *word_ids(scheduler))


def _stated(model: XrayGPT, image: EncodedImage, places: Sequence[Place], deadline: Deadline | None) -> Panel:
    scheduler = model.parts.wait_for_language()
    texts = [text for place in places for text in statements(place)]
    _, *ids = scheduler.token_ids("", *texts)
    behind = Prefix(model.prompt(image.embeddings, Ask(REPORT_REQUEST)))
    scores = [float(log_p.sum()) for log_p in scheduler.score([(behind, given) for given in ids], deadline)]
    return Panel(np.array(scores[::2]) - np.array(scores[1::2]), np.ones(len(places)))
