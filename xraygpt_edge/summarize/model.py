"""The language model that rewrites: a bundle's, or any GGUF file; no image, no encoder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from xraygpt_edge import loading
from xraygpt_edge.bundle.store import find_bundle
from xraygpt_edge.files import sha256_of
from xraygpt_edge.findings import CHEXPERT
from xraygpt_edge.generation.answer import Wording
from xraygpt_edge.generation.capacity import SHARED
from xraygpt_edge.generation.core import CoreOptions
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.summarize.rewrite import PROMPT, STOP, Rewriter, require_place


@contextmanager
def opened(
    bundle: str | None, language: Path | None, prompt: str | None, sampling: Sampling, options: LoadOptions
) -> Iterator[tuple[Rewriter, dict[str, Any]]]:
    """A loaded language model as a rewriter, and what decides its words, for the job's facts.

    bundle: a name or a folder, as --bundle takes it. language: a GGUF file instead. prompt: words with {report}; None
    takes the bundle's own. Raises UsageError where there are none, and what loading raises.
    """
    options = replace(options, capacity=SHARED)
    if language is not None:
        words = require_place(PROMPT if prompt is None else prompt)
        device = loading.choose_device(options)
        with _closing(Scheduler(language, device, CoreOptions(SHARED))) as scheduler:
            rewriter = Rewriter(scheduler.submit, words, sampling, STOP, CHEXPERT, at_once=SHARED.most_slots)
            yield rewriter, _facts(sha256_of(language), words, sampling)
        return
    plan = loading.choose(find_bundle(bundle), options)
    recipe = plan.bundle.manifest.prompt
    words = require_place(recipe.rewrite if prompt is None else prompt)
    with _closing(loading.begin_rewriter(plan)) as scheduler:
        wording = Wording(recipe.stop, recipe.clean_up)
        findings = recipe.findings or CHEXPERT
        rewriter = Rewriter(scheduler.submit, words, sampling, wording, findings, at_once=SHARED.most_slots)
        yield rewriter, _facts((plan.bundle.rewriter or plan.language_file).sha256, words, sampling)


@contextmanager
def _closing(scheduler: Scheduler) -> Iterator[Scheduler]:
    try:
        scheduler.wait_until_loaded()
        yield scheduler
    finally:
        scheduler.close()


def _facts(language_sha256: str, words: str, sampling: Sampling) -> dict[str, Any]:
    prompt = sha256(words.encode()).hexdigest()
    return {"language_sha256": language_sha256, "prompt_sha256": prompt, "max_tokens": sampling.max_tokens}
