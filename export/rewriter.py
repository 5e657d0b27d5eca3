"""A language model that rewrites reports, put into a bundle beside the one that answers about radiographs.

    checkpoint ──▶ F16 GGUF ──▶ quantized GGUF ── held against the original ──▶ the bundle's manifest

Whoever rewrote the reports that a model learned from need not be that model: XrayGPT's authors asked another one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from export import gates, language_gguf, quantize
from export.bundle_writer import enter
from export.errors import ExportRefused, GateMissed
from export.receipts import original_ids
from export.reference_llama import EmbeddedPrompt, StreamedLlama
from export.staging import appearing
from export.vicuna import Vicuna, open_vicuna
from xraygpt_edge import bundle as bundles
from xraygpt_edge.devices import Device
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.proof.gates import misses
from xraygpt_edge.proof.parity import Parity, language_figures
from xraygpt_edge.proof.receipts import Case
from xraygpt_edge.summarize.rewrite import PLACE, require_place

ROLE = "rewriter"
BASE = "F16"
REPORTS = (
    "The heart is normal in size. The lungs are clear. No pleural effusion or pneumothorax is seen.",
    "There is a small right pleural effusion. The cardiac silhouette is mildly enlarged. No pneumothorax.",
    "Dense consolidation in the left lower zone. The pleura is normal. The aorta is tortuous.",
)
"""What the original is asked to rewrite, to hold the exported file against."""
ANSWER_TOKENS = 8


def put(checkpoint: Path, bundle: Path, prompt: str, precision: str, threads: int) -> Parity:
    """Convert a language model and make it the bundle's rewriter; returns how exact it is.

    checkpoint: a folder in Hugging Face's layout. prompt: its words around a report, with {report} in them. Raises
    ExportRefused, NoBundle, or GateMissed when the file is too far from the original; the bundle is as it was then.
    """
    require_place(prompt)
    former = bundles.load(bundle).rewriter
    if precision not in {BASE, *quantize.TYPES}:
        raise ExportRefused("This cannot be exported as asked.", [f"no language precision {precision!r}"])
    language = open_vicuna(checkpoint)
    with tempfile.TemporaryDirectory(dir=bundle.parent, prefix=f".{bundle.name}.") as folder:
        made = _made(language, Path(folder), precision, threads)
        figures = _figures(language, made, prompt, threads)
        limits = {ROLE: {name: gates.chosen((), (name,))["language"][name] for name in made}}
        if problems := misses(figures, limits):
            raise GateMissed("The exported rewriter is too far from the original.", problems)
        with appearing(bundle / made[precision].name) as unfinished:
            unfinished.write_bytes(made[precision].read_bytes())
    enter(bundle, bundle / made[precision].name, ROLE, precision, instead_of=former, rewrite=prompt)
    return figures


def _made(language: Vicuna, folder: Path, precision: str, threads: int) -> dict[str, Path]:
    """F16, which proves the conversion, and what is asked for."""
    made = {name: folder / f"{ROLE}-{name}.gguf" for name in dict.fromkeys((BASE, precision))}
    language_gguf.convert(language, made[BASE], BASE, name="rewriter of reports")
    if precision != BASE:
        quantize.quantize(made[BASE], made[precision], precision, threads)
    return made


def _figures(language: Vicuna, made: dict[str, Path], prompt: str, threads: int) -> Parity:
    """Agreement along the original's own rewritings."""
    cases = _cases(language, [prompt.replace(PLACE, report) for report in REPORTS])
    figures: Parity = {ROLE: {}}
    for precision, path in made.items():
        scheduler = Scheduler.load(path, Device("cpu", threads))
        ids = [tuple(scheduler.token_ids(case.question)[0]) for case in cases]
        found = [scheduler.logits_along(Prompt((case.ids_before,)), case.answer[:-1]) for case in cases]
        scheduler.close()
        equal = [case.ids_before == theirs for case, theirs in zip(cases, ids, strict=True)]
        figures[ROLE][precision] = {"equal_ids": float(np.mean(equal)), **language_figures(found, cases)}
    return figures


def _cases(language: Vicuna, texts: Sequence[str]) -> list[Case]:
    """What the original says behind each text; there is no image."""
    none = np.zeros((0, language.shape.width), np.float32)
    prompts = [original_ids(language.folder, text, "")[0] for text in texts]
    answers = StreamedLlama(language).answer([EmbeddedPrompt(ids, none, ()) for ids in prompts], ANSWER_TOKENS)
    return [
        Case(np.zeros((0, 0), np.uint8), text, none, ids, (), answer.token_ids, answer.logits)
        for text, ids, answer in zip(texts, prompts, answers, strict=True)
    ]
