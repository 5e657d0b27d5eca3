"""Our side of `trust`, in a process of its own: the same answers with the panel behind them and without, in turn."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.ours import drawn_image, plain
from benchmarks.pairs import Raw
from xraygpt_edge.engine import Ask, EncodedImage, XrayGPT
from xraygpt_edge.generation.capacity import Capacity
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.records import Source
from xraygpt_edge.trust import panel, profile
from xraygpt_edge.trust.assess import Told
from xraygpt_edge.trust.assessor import Assessor

QUESTION = "Describe the given chest x-ray image in detail."


def pairs(bundle: str, threads: int, tokens: int, at_once: int, repetitions: int) -> Raw:
    """Seconds of so many answers begun together, at `off` and at `fast`; each pair is about images of its own."""
    capacity = Capacity() if at_once == 1 else Capacity(at_once, at_once)
    with XrayGPT.load(bundle, LoadOptions("cpu", threads, capacity=capacity)) as model:
        manifest, off_s, fast_s, n_tokens = model.parts.plan.bundle.manifest, [], [], 0
        has_profile = profile.find(model.parts.plan) is not None
        for number in range(repetitions + 1):  # the first one warms up
            drawn = (
                drawn_image(manifest.n_image_tokens, manifest.n_embd, number * at_once + k) for k in range(at_once)
            )
            images = [EncodedImage(Source("", "png"), embeddings) for embeddings in drawn]
            off_s.append(_seconds(model, images, tokens, trusting=False))
            fast_s.append(_seconds(model, images, tokens, trusting=True))
        n_tokens = len(model.ask(images[0], QUESTION, sampling=plain(tokens)).token_ids)
    ratios = [fast / off for off, fast in zip(off_s[1:], fast_s[1:], strict=True)]
    values = {"off_s": median(off_s[1:]), "fast_s": median(fast_s[1:]), "ratio": median(ratios)}
    facts = {"off_s": off_s[1:], "fast_s": fast_s[1:], "tokens": n_tokens, "has_profile": has_profile}
    return {"values": values, **facts}


def _seconds(model: XrayGPT, images: list[EncodedImage], tokens: int, *, trusting: bool) -> float:
    """As a batch does it: the panel of one answer is asked while the others are still being written."""
    assessor, ask = Assessor(model, "fast" if trusting else "off"), Ask(QUESTION, sampling=plain(tokens))
    began_s = time.perf_counter()
    streams = [(image, model.begin_answer(image, ask, leaving=assessor.leaving(image))) for image in images]
    for image, stream in streams:
        told = Told.of(image, ask, stream.generation())
        trust = assessor.assess(told)
        if trust and not trust.findings:  # a bundle without a profile: what one would make it compute
            panel.ask(model, image, profile.places_of(model.parts.plan))
    return time.perf_counter() - began_s
