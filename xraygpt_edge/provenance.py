"""What made an answer: bundle, program, settings and times, so that the same can be asked again."""

from __future__ import annotations

from xraygpt_edge import devices, loading
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.generation.request import GREEDY, Sampling
from xraygpt_edge.parts import Parts
from xraygpt_edge.records import Answer, BundleFacts, EngineFacts, Source, Timing
from xraygpt_edge.version import __version__


def bundle_facts(parts: Parts) -> BundleFacts:
    """Return the bundle, and which of its files answer."""
    plan, manifest = parts.plan, parts.plan.bundle.manifest
    return BundleFacts(
        id=manifest.id,
        manifest_sha256=plan.bundle.manifest_sha256,
        kind=manifest.kind,
        vision=str(plan.vision_file.precision),
        language=str(plan.language_file.precision),
        demo=manifest.demo,
    )


def engine_facts(parts: Parts, sampling: Sampling = GREEDY, template: str | None = None) -> EngineFacts:
    """Return the program and the settings that answer; waits for the language model."""
    plan, scheduler = parts.plan, parts.wait_for_language()
    return EngineFacts(
        version=__version__,
        device=plan.device.name,
        providers=parts.providers,
        threads=plan.device.threads,
        memory=plan.memory,
        n_ctx=scheduler.n_ctx,
        seed=sampling.seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        template=template or plan.bundle.manifest.prompt.default,
        draft=scheduler.drafts(sampling),
        libraries=loading.library_versions(),
        cpu=devices.kind_of_cpu(),
    )


def answer_of(
    source: Source, question: str, generation: Generation, bundle: BundleFacts, engine: EngineFacts, spent: Timing
) -> Answer:
    """Return what was generated, with everything that made it; spent: the times of what came before the prompt."""
    return Answer(
        text=generation.text,
        question=question,
        finish_reason=generation.finish_reason,
        token_ids=generation.token_ids,
        input=source,
        bundle=bundle,
        engine=engine,
        timing=timing(spent, generation),
    )


def timing(before: Timing, generation: Generation) -> Timing:
    """Return all times of an answer; before: those of reading, loading and encoding."""
    tokens = len(generation.token_ids)
    prefill_s = generation.wait_s + generation.prefill_s
    first_token_s = before.read_s + before.load_s + before.vision_s + prefill_s
    return Timing(
        read_s=before.read_s,
        load_s=before.load_s,
        vision_s=before.vision_s,
        prefill_s=prefill_s,
        decode_s=generation.decode_s,
        first_token_s=first_token_s,
        total_s=first_token_s + generation.decode_s,
        tokens=tokens,
        # The first token comes with the prompt, so the others share the decode time.
        tokens_per_s=(tokens - 1) / generation.decode_s if tokens > 1 else 0.0,
    )
