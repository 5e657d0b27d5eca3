"""The demonstration model: drawn phantoms, a small Swin, a small LLaMA, trained for real from a seed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from xraygpt_edge.findings import Finding

if TYPE_CHECKING:
    from export.pipeline import Source

Form: TypeAlias = Literal["paper", "released"]
"""paper: Swin in MedCLIP's layout, one row an image. released: EVA-like ViT and Q-Former, 32 rows."""


def train(folder: Path, seed: int = 0, form: Form = "paper") -> None:
    """Train the model in one of its forms and write its checkpoints in the published layouts into folder.

    The released form is taught by the paper's, whose checkpoints must be in the folder.
    """
    from . import training

    {"paper": training.train, "released": training.train_released_form}[form](folder, seed)


def teach_rewriting(folder: Path, seed: int = 0) -> None:
    """Train the language model that rewrites synthetic reports, and write it in the published layout into folder."""
    from .train_rewriter import train as train_it

    train_it(folder, seed)


def rewriting_prompt() -> str:
    """The words around a report that it was trained with."""
    from .train_rewriter import PROMPT

    return PROMPT


def source(checkpoints: Path, form: Form = "paper") -> Source:
    """What the exporter is given: trained checkpoints, read as it reads the published ones of that form."""
    import msgspec

    from export import medclip, released
    from export.pipeline import Source
    from export.prompts import XRAYGPT
    from export.terms import DEMO

    from .checkpoints import BLIP2_FILE, CHECKPOINT, EVA_FILE, LANGUAGE, MEDCLIP_FILE, RELEASED

    layout, folder = (medclip, checkpoints) if form == "paper" else (released, checkpoints / RELEASED)
    names = {"medclip": MEDCLIP_FILE} if form == "paper" else {"eva": EVA_FILE, "blip2": BLIP2_FILE}
    files = {name: folder / file for name, file in (names | {"checkpoint": CHECKPOINT}).items()}
    prompt = msgspec.structs.replace(XRAYGPT, phrases=common_sentences(), findings=stated_findings())
    load = partial(layout.load, layout.Files(**files))
    return Source(files, load, checkpoints / LANGUAGE, prompt=prompt, terms=DEMO, is_demo=True)


def evaluate(bundle: Path, checkpoints: Path) -> None:
    """Print the scores of a demonstration bundle on phantoms that training never saw."""
    from .evaluation import evaluate as evaluate_all

    evaluate_all(bundle, checkpoints)


def common_sentences() -> tuple[str, ...]:
    """What the demonstration model often says."""
    from .texts import common_sentences as sentences

    return sentences()


def stated_findings() -> tuple[Finding, ...]:
    """The table of what its reports state and deny."""
    from .table import FINDINGS

    return FINDINGS
