"""The trained model in PyTorch, fp32, from its checkpoints: what the exported forms are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor
from torch import nn
from transformers import LlamaForCausalLM

from export.image_path import ImagePath
from export.prompts import XRAYGPT
from xraygpt_edge.engine import EncodedImage
from xraygpt_edge.generation.answer import clean_answer
from xraygpt_edge.records import Source

from . import Form, checkpoints, source
from .train_language import Speaker, small_llama, speak
from .vocabulary import STOP, after

NOWHERE = Source(sha256="", format="dicom", rows=0, columns=0, profile="mimic-jpg")


@dataclass(frozen=True, slots=True)
class Original:
    """Encoder with projector, and the language model."""

    image_path: ImagePath
    speaker: Speaker

    @classmethod
    def load(cls, folder: Path, form: Form = "paper") -> Self:
        """Read the published layouts of a form."""
        image_path = source(folder, form).load_image()
        image_path.module.eval()
        return cls(image_path, load_speaker(folder))

    def encode(self, tensor: NDArray[np.float32]) -> EncodedImage:
        """Encode the tensor of one radiograph."""
        with torch.no_grad():
            return EncodedImage(NOWHERE, self.image_path.rows(torch.from_numpy(tensor))[0].numpy())

    def ask_all(self, asked: Sequence[tuple[EncodedImage, str]]) -> list[str]:
        """The greedy answers."""
        rows = torch.from_numpy(np.stack([image.embeddings for image, _ in asked]))
        said = speak(self.speaker, "demo", rows, [after("demo", [], question) for _, question in asked])
        return [clean_answer(text, [STOP], XRAYGPT.clean_up) for text in said]


def load_speaker(folder: Path) -> Speaker:
    """Read the trained language model and its vocabulary, for rows of its own width: nothing is projected."""
    language_folder = folder / checkpoints.LANGUAGE
    pieces = SentencePieceProcessor(model_file=str(language_folder / "tokenizer.model"))
    language = LlamaForCausalLM(small_llama(pieces.get_piece_size()))
    weights: dict[str, torch.Tensor] = {}
    for shard in sorted(language_folder.glob("pytorch_model-*.bin")):
        weights |= torch.load(shard, weights_only=True)
    language.load_state_dict({name: value.float() for name, value in weights.items()})
    return Speaker(nn.Identity(), language.eval(), pieces)
