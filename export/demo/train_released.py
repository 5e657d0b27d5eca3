"""Train the demonstration's encoder in the released form, with the one in the paper's form as its teacher.

First it learns to see: what is drawn, and what the teacher's Swin makes of each part of a picture, which says far more
a picture than labels do. Then it learns to be understood: the language model that is there answers by its rows, and
only the encoder changes, as XrayGPT changed its projector alone. Training that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from .findings import Case, mirrored
from .pictures import MEAN, STD, Pictures
from .released_encoder import EVA, QUERIES, ReleasedEncoder, begin
from .train_language import Speaker, TopicChoice, answer_loss, make_branch
from .train_vision import (
    SEVERITIES,
    Heads,
    Shown,
    Targets,
    label_logits,
    report_f1,
    show,
    truth_loss,
)

LABEL_WEIGHTS = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 1.0, 2.0)
BEGINNING = 256
"""Pictures by which the first weights, and what is imitated, are scaled."""
IMITATION, RAREST = 1.0, 1e-3
YES_NO_SHARE, FIRST_TOKEN_WEIGHT, NEAR_MISS_WEIGHT, BRANCHES, DEMO_SHARE = 0.6, 4.0, 3.0, 3, 0.4
"""Of the second lesson; see `train_language.Round`."""
WARM, FALLING = 100, 0.3
"""Steps in which the learning rate rises, and the share of a lesson in which it falls."""
CHECK_EVERY, KEEP_EVERY = 500, 100


@dataclass(frozen=True, slots=True)
class Lesson:
    """A steady learning rate, and its fall to zero at the end: a lesson that goes well can be made longer."""

    name: str
    steps: int
    rate: float
    batch: int

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.rate * min(1.0, (step + 1) / WARM, (self.steps - step) / (FALLING * self.steps))


SEE, SPEAK = Lesson("see", 4000, 1.1e-3, 12), Lesson("speak", 1600, 4e-4, 6)


@dataclass(frozen=True, slots=True)
class Teacher:
    """The trained Swin: what it makes of pictures, each channel with mean 0 and deviation 1."""

    swin: nn.Module
    mean: Tensor
    """(128,) of its last grid's channels."""
    deviation: Tensor
    row_mean: Tensor
    """(256,) of its row's channels."""
    row_variance: float
    """Mean over them."""

    @classmethod
    @torch.no_grad()
    def of(cls, swin: nn.Module, pixels: Tensor) -> Self:
        """Scaled by pictures (n, 224, 224)."""
        grid, row = _seen_by(swin, pixels)
        return cls(swin, grid.mean((0, 1)), grid.std((0, 1)) + 1e-6, row.mean(0), float(row.var(0).mean()))

    @torch.no_grad()
    def see(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """The last grid (n, 49, 128), scaled, and the row (n, 256) that the language model gets."""
        grid, row = _seen_by(self.swin, pixels)
        return (grid - self.mean) / self.deviation, row


def _seen_by(swin: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    pictures = ((pixels.float() / 255 - MEAN) / STD)[:, None].expand(-1, 3, -1, -1)
    seen = swin.encoder(pixel_values=pictures)
    return seen.last_hidden_state, swin.projector(swin.projection(seen.pooler_output))


class Pupil(nn.Module):
    """The encoder, and what is asked of it while it is trained."""

    def __init__(self, teacher: Teacher) -> None:
        super().__init__()
        self.teacher = teacher
        self.encoder = ReleasedEncoder()
        self.heads = Heads(SEVERITIES, self.encoder)
        self.grid = nn.Linear(EVA.hidden_size, len(teacher.mean))

    @torch.no_grad()
    def begin(self, targets: Targets) -> None:
        """First weights: rows as large as the teacher's, and heads that know how rare each finding is.

        Otherwise all queries would first become alike, to reach what all rows have in common.
        """
        begin(self.encoder, targets.pixels[:BEGINNING])
        projector = self.encoder.path.projector
        projector.weight *= self.teacher.row_variance**0.5
        projector.bias.copy_(self.teacher.row_mean)
        self.heads.labels.bias.copy_(targets.labels.mean((0, 1)).logit(eps=RAREST))
        rare = targets.places[0, :BEGINNING].float().mean((0, 1, 2)).logit(eps=RAREST)
        self.heads.places.bias.copy_(rare.repeat(len(self.heads.places.bias) // len(rare)))

    def groups(self) -> list[dict[str, object]]:
        """Parameters, and the share of the learning rate that each group gets.

        A step changes all of the heads' weights alike, and there are 32 rows of them, not one.
        """
        heads = list(self.heads.parameters())
        others = [*self.encoder.parameters(), *self.grid.parameters()]
        return [{"params": others, "share": 1.0}, {"params": heads, "share": QUERIES**-0.5}]

    def look(self, shown: Shown) -> tuple[Tensor, Tensor]:
        """The queries' answers (n, 32, 128) about the pictures of a step, and the last grid (n, 49, 88)."""
        return self.encoder(self.encoder.normalise(shown.pixels))

    def imitation_loss(self, shown: Shown, seen: tuple[Tensor, Tensor]) -> Tensor:
        """How far the grid, and the mean of the rows, are from the teacher's."""
        grid, row = self.teacher.see(shown.pixels)
        rows = self.encoder.path.projector(seen[0]).mean(1)
        return mse_loss(self.grid(seen[1]), grid) + mse_loss(rows, row) / self.teacher.row_variance


Loss = Callable[[int, Shown], Tensor]
"""Of a step's number and its pictures."""


def train_released(
    swin: nn.Module, speaker: Speaker, data: Pictures, check: Pictures, seed: int, keep: Path
) -> ReleasedEncoder:
    """Train an encoder through both lessons; `keep` holds the latest state, and is gone on from where it is there.

    swin, speaker: the trained demonstration in the paper's form; neither is changed.
    """
    torch.manual_seed(seed)
    for fixed in (swin, speaker.language):
        fixed.requires_grad_(requires_grad=False)
    targets = Targets(data)
    pupil = Pupil(Teacher.of(swin, targets.pixels[:BEGINNING]))
    pupil.begin(targets)
    weights = torch.tensor(LABEL_WEIGHTS)

    def seeing(_: int, shown: Shown) -> Tensor:
        seen = pupil.look(shown)
        return truth_loss(pupil.heads, targets, shown, seen, weights) + IMITATION * pupil.imitation_loss(shown, seen)

    talk = _Talk(pupil.encoder, speaker, data.cases, TopicChoice(data.cases, NEAR_MISS_WEIGHT), seed)

    def speaking(step: int, shown: Shown) -> Tensor:
        seen = pupil.look(shown)
        return talk.loss(step, shown, seen[0]) + truth_loss(pupil.heads, targets, shown, seen, weights)

    for lesson, loss in ((SEE, seeing), (SPEAK, speaking)):
        _Run(pupil, lesson, keep, seed).practise(targets, check, loss)
    return pupil.encoder


@dataclass(frozen=True, slots=True)
class _Talk:
    """The second lesson: questions about pictures, answered by the language model that is there."""

    encoder: ReleasedEncoder
    speaker: Speaker
    cases: Sequence[Case]
    topics: TopicChoice
    seed: int

    def loss(self, step: int, shown: Shown, answers: Tensor) -> Tensor:
        """Of the language model's answers; answers: (n, 32, 128) of the queries about the pictures."""
        rng = np.random.default_rng((self.seed, step))
        pairs = zip(shown.rows.tolist(), shown.flip.tolist(), strict=True)
        cases = [mirrored(self.cases[row]) if flip else self.cases[row] for row, flip in pairs]
        template = "demo" if rng.random() < DEMO_SHARE else "train"
        speaker = Speaker(self.encoder.path.projector, self.speaker.language, self.speaker.vocabulary)
        batch = [
            [make_branch(speaker, case, template, self.topics, YES_NO_SHARE, rng) for _ in range(BRANCHES)]
            for case in cases
        ]
        return answer_loss(speaker, template, answers, batch, FIRST_TOKEN_WEIGHT)


@dataclass(frozen=True, slots=True)
class _Run:
    """One lesson of a pupil; its state is kept, so that another process can go on with it."""

    pupil: Pupil
    lesson: Lesson
    keep: Path
    seed: int

    def practise(self, targets: Targets, check: Pictures, loss_of: Loss) -> None:
        """AdamW, from where an earlier run was."""
        lesson, parameters = self.lesson, list(self.pupil.parameters())
        optimiser = torch.optim.AdamW(self.pupil.groups(), weight_decay=0.05, fused=True)
        started, recent = time.monotonic(), []
        for step in range(self._resumed(optimiser), lesson.steps):
            for group in optimiser.param_groups:
                group["lr"] = group["share"] * lesson.rate_at(step)
            loss = loss_of(step, self._shown(targets, step))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            recent.append(loss.item())
            done = step + 1
            if done % KEEP_EVERY == 0 or done == lesson.steps:
                self._save(optimiser, done)
                mean, taken_s = np.mean(recent[-KEEP_EVERY:]), time.monotonic() - started
                print(f"{lesson.name} step {done} loss {mean:.4f} {taken_s:.0f} s", flush=True)
            if done % CHECK_EVERY == 0 or done == lesson.steps:
                report_f1(label_logits(self.pupil.encoder, self.pupil.heads, check) > 0, check.labels)

    def _shown(self, targets: Targets, step: int) -> Shown:
        """The same pictures for a step, whichever process comes to it."""
        rng = torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 2 + (self.lesson is SPEAK))
        rows = torch.randint(len(targets.pixels), (self.lesson.batch,), generator=rng)
        return show(targets, rows, rng)

    def _resumed(self, optimiser: torch.optim.Optimizer) -> int:
        """Steps that an earlier run has done of this lesson; its state is taken over."""
        kept = torch.load(self.keep, weights_only=True) if self.keep.is_file() else None
        if kept is None or kept["seed"] != self.seed:
            return 0
        if kept["lesson"] != self.lesson.name:
            return self.lesson.steps if self.lesson is SEE else 0
        self.pupil.load_state_dict(kept["pupil"])
        optimiser.load_state_dict(kept["optimiser"])
        return int(kept["done"])

    def _save(self, optimiser: torch.optim.Optimizer, done: int) -> None:
        state = {"seed": self.seed, "lesson": self.lesson.name, "done": done, "pupil": self.pupil.state_dict()}
        unfinished = self.keep.with_suffix(".unfinished")
        torch.save({**state, "optimiser": optimiser.state_dict()}, unfinished)
        unfinished.replace(self.keep)
