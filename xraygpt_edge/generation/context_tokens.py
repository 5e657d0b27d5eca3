"""A prompt as tokens of context: what stands at each position, and the embeddings that are decoded there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import BundleIncompatible, UnusableOutput
from xraygpt_edge.generation.embedding_table import EmbeddingTable
from xraygpt_edge.generation.llama import LlamaModel
from xraygpt_edge.generation.prompt import ControlToken, MarkedText, Prompt, Text

Keys: TypeAlias = NDArray[np.int64]
"""(n,) what stands at each position: a token id, or a negative number that an image's hash gives."""
HASH_BYTES = 7
"""Of an image; two images are taken for one less than once in 10^8 among a thousand held at the same time."""


class ContextTokens:
    """A tokenised prompt; never changes, so threads may share it."""

    def __init__(
        self, parts: Sequence[tuple[int, ...] | NDArray[np.float32]], *, sees_images_whole: bool = False
    ) -> None:
        """parts: runs of token ids and image embeddings, in order. sees_images_whole: as the model does."""
        self.parts, self._sees_images_whole = tuple(parts), sees_images_whole
        self.keys: Keys = np.concatenate([_keys(part) for part in parts]) if parts else np.empty(0, np.int64)
        self.n_image = sum(len(part) for part in parts if isinstance(part, np.ndarray))
        self.n_start = self._before_first_image()
        """Tokens before the first image, the same for every request of a template; 0 without an image."""
        self.blocks = tuple(self._images()) if sees_images_whole else ()
        """Positions that are computed in one decode and with nothing else: images, where a model sees them whole."""

    @property
    def last_run(self) -> tuple[int, ...]:
        """Token ids behind the last image."""
        last = self.parts[-1] if self.parts else ()
        return () if isinstance(last, np.ndarray) else last

    def __len__(self) -> int:
        """Count the positions."""
        return len(self.keys)

    def embeddings(self, table: EmbeddingTable, start: int, end: int) -> NDArray[np.float32]:
        """Embeddings (end - start, n_embd) of positions: looked up for token ids, given for images."""
        found, at = [], 0
        for part in self.parts:
            wanted = part[max(0, start - at) : max(0, end - at)]
            if len(wanted):
                found.append(wanted if isinstance(wanted, np.ndarray) else table.of(wanted))
            at += len(part)
        return np.concatenate(found)

    def followed_by(self, token_ids: Sequence[int]) -> ContextTokens:
        """Return the same tokens with others behind them."""
        return ContextTokens((*self.parts, tuple(token_ids)), sees_images_whole=self._sees_images_whole)

    def decode_end(self, start: int, end: int) -> int:
        """Where a decode from a position on must end, at `end` at the latest: a block is whole and alone."""
        for block in self.blocks:
            if start == block.start:
                return block.stop
            if start < block.start:
                return min(end, block.start)
        return end

    def is_block(self, start: int) -> bool:
        """Whether a block begins at a position."""
        return any(start == block.start for block in self.blocks)

    def outside_blocks(self, position: int) -> int:
        """The position, or the beginning of the block that it lies in the middle of."""
        return next((block.start for block in self.blocks if block.start < position < block.stop), position)

    def _images(self) -> Iterator[range]:
        """Positions of each image."""
        at = 0
        for part in self.parts:
            if isinstance(part, np.ndarray):
                yield range(at, at + len(part))
            at += len(part)

    def _before_first_image(self) -> int:
        return next((image.start for image in self._images()), 0)


def tokenise(model: LlamaModel, prompt: Prompt) -> ContextTokens:
    """Tokenise each run of text by itself; text is never a control token.

    Raises BundleIncompatible for a control token that the vocabulary lacks, for image embeddings of another width or
    type than the model's, and for more of them than it can see at once; UnusableOutput for NaN.
    """
    parts: list[tuple[int, ...] | NDArray[np.float32]] = []
    for number, segment in enumerate(prompt.segments):
        if isinstance(segment, (str, MarkedText)):
            beginning = (model.bos,) if number == 0 else ()
            parts.append((*beginning, *_ids_of(model, segment)))
        elif isinstance(segment, np.ndarray):
            parts.append(_checked(segment, model))
        else:
            parts.append(segment)
    return ContextTokens(parts, sees_images_whole=model.sees_images_whole)


def _ids_of(model: LlamaModel, text: Text) -> list[int]:
    """Token ids of text; a run behind a control token has a leading space only where the tokenizer gives it one."""
    if isinstance(text, str):
        return model.tokenize(text)
    ids: list[int] = []
    for number, run in enumerate(text.runs):
        if isinstance(run, ControlToken):
            ids.append(model.control_token(run.text))
        else:
            ids += model.tokenize(run) if number == 0 or model.space_after_control else model.tokenize_behind(run)
    return ids


def agreeing(one: Keys, other: Keys) -> int:
    """Length of the longest common prefix."""
    shorter = min(len(one), len(other))
    differing = np.flatnonzero(one[:shorter] != other[:shorter])
    return int(differing[0]) if len(differing) else shorter


def _checked(image: NDArray[np.float32], model: LlamaModel) -> NDArray[np.float32]:
    """llama.cpp is not told the width of an embedding, and lets NaN through."""
    if image.ndim != 2 or image.shape[1] != model.n_embd or image.dtype != np.float32:
        found = f"image embeddings {image.shape} {image.dtype}"
        raise BundleIncompatible("E-BND-021", f"{found}, the language model takes {model.n_embd}")
    if model.sees_images_whole and 0 < model.n_window < len(image):
        raise BundleIncompatible("E-BND-027", f"{len(image)} image embeddings, a window of {model.n_window}")
    if not np.isfinite(image).all():
        raise UnusableOutput("E-RUN-031", "in the image embeddings")
    return image


def _keys(part: tuple[int, ...] | NDArray[np.float32]) -> Keys:
    if not isinstance(part, np.ndarray):
        return np.array(part, np.int64)
    digest = blake2b(np.ascontiguousarray(part).data, digest_size=HASH_BYTES).digest()
    return -(int.from_bytes(digest, "big") + 1 + np.arange(len(part), dtype=np.int64))
