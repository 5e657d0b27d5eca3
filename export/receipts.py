"""Receipts: what the unquantized model computes for pictures that we draw.

They travel in the bundle as `receipts.npz`, so that any machine can prove that it computes the same,
and every precision is measured against them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

from export.errors import ExportRefused
from export.image_path import ImagePath
from export.pictures import draw_all
from export.reference_llama import EmbeddedPrompt, Streamed
from export.staging import appearing
from export.vocabulary import open_tokenizer, token_ids
from xraygpt_edge.bundle import ImageRecipe, PromptRecipe
from xraygpt_edge.generation.prompt import ControlToken, Text, around
from xraygpt_edge.proof.receipts import Case, picture_tensor

QUESTIONS = (
    "Describe the given chest x-ray image in detail.",
    "Is the heart enlarged?",
    "findings?",
)
"""One for each picture."""
ANSWER_TOKENS = 8
"""Long enough to see a precision drift; each costs a pass through all shards."""


def tensors(recipe: ImageRecipe) -> list[NDArray[np.float32]]:
    """The drawn pictures as the encoder takes them, each (1, 3, size, size)."""
    return [picture_tensor(picture, recipe) for picture in draw_all()]


@torch.no_grad()
def reference_embeddings(path: ImagePath) -> list[NDArray[np.float32]]:
    """Image embeddings (n_image_tokens, n_embd) of each drawn picture by the original image path."""
    return [path.rows(torch.from_numpy(tensor)).numpy()[0] for tensor in tensors(path.facts.recipe)]


def make_cases(
    embeddings: Sequence[NDArray[np.float32]], tokenizer: Path, original: Streamed, prompt: PromptRecipe
) -> list[Case]:
    """Ask the original language model about each drawn picture.

    tokenizer: folder of its tokenizer.model.
    """
    template = prompt.templates[prompt.default]
    spaced = prompt.space_after_control
    prompts = [original_ids(tokenizer, *around(template, question), spaced=spaced) for question in QUESTIONS]
    embedded = [
        EmbeddedPrompt(before, image, after) for (before, after), image in zip(prompts, embeddings, strict=True)
    ]
    answers = original.answer(embedded, ANSWER_TOKENS)
    return [
        Case(picture, question, p.embeddings, p.before, p.after, answer.token_ids, answer.logits)
        for picture, question, p, answer in zip(draw_all(), QUESTIONS, embedded, answers, strict=True)
    ]


def original_ids(
    folder: Path, before: Text, after: Text, *, spaced: bool = True
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Token ids of the text before and after the image by the sentencepiece package itself.

    spaced: whether a run behind a control token begins with the tokenizer's leading space.
    """
    pieces = open_tokenizer(folder)
    marked = [run for text in (before, after) if not isinstance(text, str) for run in text.runs]
    named = token_ids(folder, [run.text for run in marked if isinstance(run, ControlToken)])
    before_ids, after_ids = (_ids(pieces, named, text, spaced=spaced) for text in (before, after))
    return (pieces.bos_id(), *before_ids), tuple(after_ids)


def _ids(pieces: SentencePieceProcessor, named: Mapping[str, int], text: Text, *, spaced: bool) -> list[int]:
    """named: ids of the control tokens in the text. Raises ExportRefused for one that the tokenizer lacks."""
    if isinstance(text, str):
        return list(pieces.encode(text))
    ids: list[int] = []
    for number, run in enumerate(text.runs):
        if isinstance(run, ControlToken):
            if run.text not in named:
                raise ExportRefused("The tokenizer lacks a token that the prompt names.", [run.text])
            ids.append(named[run.text])
        else:
            mark = "" if number == 0 or spaced else "\n"
            ids += pieces.encode(mark + run)[len(pieces.encode(mark)) :]
    return ids


def save(cases: Sequence[Case], target: Path) -> None:
    """Write receipts.npz: `count`, and for each case k arrays named `picture_k`, `rows_k` and so on."""
    arrays: dict[str, NDArray[np.generic]] = {"count": np.array(len(cases))}
    for k, case in enumerate(cases):
        arrays[f"picture_{k}"] = case.picture
        arrays[f"question_{k}"] = np.array(case.question)
        arrays[f"rows_{k}"] = case.embeddings
        arrays[f"ids_before_{k}"] = np.array(case.ids_before, np.int32)
        arrays[f"ids_after_{k}"] = np.array(case.ids_after, np.int32)
        arrays[f"answer_{k}"] = np.array(case.answer, np.int32)
        arrays[f"first_logits_{k}"] = case.logits[0]
        arrays[f"later_logits_{k}"] = case.logits[1:].astype(np.float16)
    with appearing(target) as partial, partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]  # its stub knows no keywords
