"""What a batch was asked to do, and how it is run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xraygpt_edge.batch.films import FilmList
from xraygpt_edge.batch.indications import Indications
from xraygpt_edge.batch.shard import WHOLE, Shard
from xraygpt_edge.batch.walk import Found, walk
from xraygpt_edge.generation.request import GREEDY, Sampling
from xraygpt_edge.host import Load
from xraygpt_edge.imaging.images import DEFAULT, ReadOptions
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.records import TRUST, TrustLevel

SCHEMA = 1
DEFAULT_QUESTION = "Take a look at this chest x-ray and describe the findings and impression."
"""The training set's request for findings and impression."""
AS_IT_SUITS = LoadOptions()
"""The machine decides how the model is loaded."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides the words of an answer, besides bundle, radiograph and question."""

    template: str | None = None
    reading: ReadOptions = DEFAULT
    sampling: Sampling = GREEDY
    """Its timeout and its draft change no word and are no part of the job."""


@dataclass(frozen=True, slots=True)
class Job:
    """Bundle, questions and settings, and the films of a folder that are read."""

    folder: Path
    bundle: Path
    manifest_sha256: str
    questions: tuple[str, ...] = (DEFAULT_QUESTION,)
    settings: Settings = Settings()
    films: FilmList | None = None
    """The films to read; None walks the folder."""
    shard: Shard = WHOLE
    """The share of them that is ours."""
    indications: Indications | None = None
    """Why exams were asked for, for questions that have a place for it."""

    def found(self, out: Path) -> Iterator[Found]:
        """Entries of the folder, or of the list, that are in our share; out: a folder that is not walked."""
        entries = self.films.found() if self.films else walk(self.folder, out)
        return (entry for entry in entries if self.shard.holds(entry.path))

    def questions_about(self, path: str) -> tuple[str, ...]:
        """What is asked about a film, by its path below the folder."""
        reasons = self.indications
        return tuple(reasons.put_into(question, path) for question in self.questions) if reasons else self.questions

    def reasons_left_over(self, paths: Iterable[str]) -> int:
        """Rows of the table of indications whose film is not among these paths, although it would be ours."""
        reasons = self.indications
        if reasons is None:
            return 0
        ours = sum(self.shard.holds(path.replace("/", os.sep)) for path in reasons.texts)
        return ours - sum(map(reasons.has_one_for, paths))

    @property
    def longest_questions(self) -> tuple[str, ...]:
        """What room is made for."""
        reasons = self.indications
        return tuple(map(reasons.longest, self.questions)) if reasons else self.questions

    @property
    def facts(self) -> dict[str, Any]:
        """What must be the same when a batch goes on; the folder's own name may identify a patient."""
        folder = bytes(self.folder.resolve())
        return {
            **facts_of(folder, self.manifest_sha256, self.questions, self.settings),
            # None of these is there without its option: so folders of version 0.1.0 are gone on with.
            **({"shard": str(self.shard)} if self.shard != WHOLE else {}),
            **({"list_sha256": self.films.end.sha256} if self.films else {}),
            **({"indications_sha256": self.indications.sha256} if self.indications else {}),
        }


@dataclass(frozen=True, slots=True)
class Running:
    """How a job is run; none of it changes what was asked."""

    options: LoadOptions = AS_IT_SUITS
    """How the model is loaded."""
    parallel: int | None = None
    """Radiographs that are answered at the same time; None lets memory and cores decide."""
    retry_failed: bool = False
    """Try radiographs again that have failed."""
    trust: TrustLevel = TRUST
    """How much is said of how far to trust each answer; it changes no word of one."""
    maps: bool = False
    """Draw maps as well."""


def facts_of(folder: bytes, manifest_sha256: str, questions: tuple[str, ...], settings: Settings) -> dict[str, Any]:
    """The facts of any job; folder: what tells it from others."""
    return {
        "schema": SCHEMA,
        "manifest_sha256": manifest_sha256,
        "folder_sha256": sha256(folder).hexdigest(),
        "questions": list(questions),
        "settings": _flat(settings),
    }


def load_of(job: Job, running: Running, n_files: int) -> Load:
    """What the model host is to load; n_files: radiographs at most, since room for more would be wasted."""
    return Load(
        bundle=str(job.bundle.absolute()),
        questions=job.longest_questions,
        options=running.options,
        template=job.settings.template,
        sampling=job.settings.sampling,
        reading=job.settings.reading,
        trust=running.trust,
        maps=running.maps,
        slots=running.parallel,
        slots_max=max(1, n_files * len(job.questions)),
    )


def _flat(settings: Settings) -> dict[str, Any]:
    """The form in which version 0.1.0 wrote settings, so that its folders are gone on with."""
    reading, sampling = settings.reading, settings.sampling
    return {
        "template": settings.template,
        "profile": reading.profile,
        "frame": reading.frame,
        "force": reading.force,
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
    }
