"""What a run measures: the bundle, the threads, and how much of everything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks import peers
from benchmarks.peers import Peers
from export.llama_wheel import Cpu
from xraygpt_edge import bundle as bundles
from xraygpt_edge.bundle import Bundle, FileEntry
from xraygpt_edge.loading import VISION_FOR

WORDS_BEFORE = 8
WORDS_AFTER = 21
"""Tokens around the image rows. With the released model's 32 rows that makes 61, the training prompt's length."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    repetitions: int = 3
    """Prompts in one process; their median is the round's value."""
    decoded: int = 64
    """Tokens of the single answer."""
    decoded_beside: int = 32
    """Tokens of the single answer beside a busy program, and of the one alone that it is compared with."""
    sequences: tuple[int, ...] = (1, 8, 16, 32)
    decoded_by_many: int = 32
    """Tokens of each sequence."""
    encoded: int = 5
    """Images in one process; their median is the round's value."""
    images: int = 16
    """Radiographs in the folder."""
    asked: int = 3
    """Of them, those that are asked one after another."""
    image_px: int = 2048
    answer_tokens: int = 120
    upstream_images: int = 1
    upstream_rounds: int = 3
    memory_tokens: int = 700
    """Room for the answer, with the prompt a context of 1024."""
    memory_s: float = 60.0
    """Peak memory is reached early in an answer: give up after this long."""
    starts: int = 10
    large_films: int = 200
    """Of 8 MB, that a node is sent."""
    small_films: int = 2000
    """Of 0.5 MB."""
    clients: int = 50
    """Who ask a server at once."""


class Task:
    """One run."""

    def __init__(
        self,
        bundle: Path,
        demo: Path,
        threads: int,
        sizes: Sizes | None = None,
        other_wheels: Mapping[Cpu, Path] | None = None,
    ) -> None:
        """demo: the demonstration bundle, whose start is measured. other_wheels: of llama.cpp, beside our builds."""
        self.bundle, self.demo, self.threads = bundle.resolve(), demo.resolve(), threads
        self.sizes, self.other_wheels = sizes or Sizes(), other_wheels or {}

    @cached_property
    def opened(self) -> Bundle:
        """The bundle, its manifest checked against the disk."""
        return bundles.load(self.bundle)

    @cached_property
    def peers(self) -> Peers:
        """llama.cpp's tools, built when they are first needed."""
        return peers.ready()

    @property
    def language(self) -> FileEntry:
        """The language file that the program takes by itself."""
        return self.opened.file("language")

    @property
    def vision(self) -> FileEntry:
        """The encoder that the program takes by itself."""
        return self.opened.file("vision", *VISION_FOR["cpu"])

    @property
    def language_path(self) -> Path:
        """Of the GGUF file."""
        return self.opened.path_of(self.language)

    @property
    def positions(self) -> int:
        """Of the prompt, image rows counted in."""
        return WORDS_BEFORE + self.opened.manifest.n_image_tokens + WORDS_AFTER
