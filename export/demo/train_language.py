"""Train the demo's projector and small LLaMA on features of the frozen encoder.

One training row is a prompt prefix, the image's rows and several branches. A branch is a question (now and
then after earlier turns) and its answer; branches see the prefix, the image and themselves only, so each
is exactly the sequence that is seen at run time, and the long prefix is computed once for all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from .findings import LABELS, Case
from .texts import TOPICS, Rng, Topic, answer, question, yes_no_answer, yes_no_question
from .train_vision import warm_cosine
from .vocabulary import BEFORE, after

WIDTH = 256
BATCH, FEATURE_NOISE = 12, 0.05
YES_OR_NO = "yes or no"
_OPEN_KINDS = {
    "description": 0.24,
    "findings": 0.08,
    "both": 0.07,
    "impression": 0.07,
    "abnormalities": 0.05,
    "heart": 0.02,
    "lungs": 0.03,
    "pleura": 0.03,
    "normal": 0.03,
    "risks": 0.03,
}
"""Shares of the open questions among themselves; they are scaled to what yes/no questions leave."""
_EARLIER_TURNS = 0.15


@dataclass(frozen=True, slots=True)
class Round:
    """One pass from a high learning rate down to zero."""

    steps: int
    rate: float
    branches: int
    """Questions about each image in a step."""
    yes_no_share: float
    first_token_weight: float
    """A yes or no is one token among ten or more that only repeat the question."""
    near_miss_weight: float = 1.0
    """How much oftener to ask what is not there, but nearly: the same finding in another place."""
    decay_steps: int = 0
    """Length of the cosine if the round ends before it does; 0 for the round's own length."""
    fresh_only: bool = False
    """Only pictures that the encoder was not trained on: on those it is as unsure as on any new one."""


ROUNDS = (
    Round(1100, 1.5e-3, branches=6, yes_no_share=0.35, first_token_weight=1.0),
    Round(300, 1e-3, branches=8, yes_no_share=0.7, first_token_weight=6.0, decay_steps=700),
    # What was still wrong by then: "Yes" where the finding is there, but on the other side or in another zone.
    Round(330, 8e-4, branches=8, yes_no_share=0.6, first_token_weight=6.0, near_miss_weight=4.0),
    Round(340, 6e-4, branches=8, yes_no_share=0.7, first_token_weight=6.0, near_miss_weight=3.0, fresh_only=True),
)


def small_llama(vocabulary: int, layers: int = 4) -> LlamaConfig:
    """The layout of Vicuna with small figures; width and MLP are multiples of 256 for the quantizer."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=768,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
        dtype="float32",
    )


@dataclass(frozen=True, slots=True)
class Speaker:
    """Projector, language model and vocabulary."""

    projector: nn.Module
    language: LlamaForCausalLM
    vocabulary: SentencePieceProcessor

    def prefix(self, template: str) -> list[int]:
        """Token ids before the image, beginning with BOS."""
        return [1, *self.vocabulary.encode(BEFORE[template])]


def new_speaker(vocabulary: bytes, features: Tensor, seed: int) -> Speaker:
    """Fresh weights; the projector starts with centred outputs of moderate size."""
    torch.manual_seed(seed)
    pieces = SentencePieceProcessor(model_proto=vocabulary)
    language = LlamaForCausalLM(small_llama(pieces.get_piece_size()))
    width = features.shape[-1]
    projector = nn.Linear(width, WIDTH)
    with torch.no_grad():
        spread = features.std(0).mean().clamp(min=1e-6)
        projector.weight.normal_().mul_(0.3 / (width**0.5 * spread))
        projector.bias.copy_(-projector.weight @ features.reshape(-1, width).mean(0))
    return Speaker(projector, language, pieces)


def train_speaker(
    speaker: Speaker,
    features: Tensor,
    cases: Sequence[Case],
    training: Round,
    seed: int,
    keep: Path,
    check: Callable[[Speaker], None] | None = None,
) -> None:
    """Train in place for one round; `features` (n, 512) or (n, rows, width) belong to `cases`, picture by picture."""
    steps = training.steps
    rng = np.random.default_rng((seed, 4))
    noise = torch.Generator().manual_seed(seed)
    scale = FEATURE_NOISE * features.std(0)
    topics = TopicChoice(cases, training.near_miss_weight)
    parameters = [*speaker.projector.parameters(), *speaker.language.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=training.rate, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: warm_cosine(step, training.decay_steps or steps, 60)
    )
    started, recent = time.monotonic(), []
    for step in range(1, steps + 1):
        chosen = rng.integers(len(cases), size=BATCH)
        seen = features[torch.from_numpy(chosen)]
        seen = seen + scale * torch.randn(seen.shape, generator=noise)
        template = "demo" if rng.random() < 0.7 else "train"
        share, count = training.yes_no_share, training.branches
        batch = [[make_branch(speaker, cases[i], template, topics, share, rng) for _ in range(count)] for i in chosen]
        loss = answer_loss(speaker, template, seen, batch, training.first_token_weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        recent.append(loss.item())
        if step % 50 == 0:
            taken = time.monotonic() - started
            print(f"language step {step} loss {np.mean(recent[-50:]):.4f} {taken:.0f} s", flush=True)
        if step % 300 == 0 or step == steps:
            _save(speaker, keep)
            if check is not None:
                check(speaker)


def _save(speaker: Speaker, path: Path) -> None:
    torch.save({"projector": speaker.projector.state_dict(), "language": speaker.language.state_dict()}, path)


class TopicChoice:
    """Chooses yes/no topics so that over all cases each topic is asked as often with yes as with no."""

    def __init__(self, cases: Sequence[Case], near_miss_weight: float) -> None:
        self._near_miss_weight = near_miss_weight
        table = np.array([[label in case.labels for label in LABELS] for case in cases])
        columns = [[LABELS.index(label) for label in topic.labels] for topic in TOPICS]
        share = [
            (table[:, column].any(1) != topic.inverse).mean() for topic, column in zip(TOPICS, columns, strict=True)
        ]
        self._yes_share = np.clip(np.array(share), 0.02, 0.98)

    def pick(self, case: Case, rng: Rng) -> Topic:
        """Draw a topic to ask about a case."""
        holds = np.array([topic.holds(case) for topic in TOPICS])
        near = ~holds & np.array([_nearly_holds(topic, case) for topic in TOPICS])
        weight = np.where(near, self._near_miss_weight, 1.0) / np.where(holds, self._yes_share, 1 - self._yes_share)
        return TOPICS[int(rng.choice(len(TOPICS), p=weight / weight.sum()))]


def _nearly_holds(topic: Topic, case: Case) -> bool:
    """The case has the same finding elsewhere; for findings without a place, any finding."""
    kinds = {label.split()[0] for label in topic.labels}
    siblings = frozenset(label for label in LABELS if label.split()[0] in kinds) - topic.labels
    return bool(case.labels & siblings) if siblings else bool(case.labels)


def _turn(case: Case, topics: TopicChoice, yes_no_share: float, rng: Rng) -> tuple[str, str]:
    open_share = (1 - yes_no_share) / sum(_OPEN_KINDS.values())
    shares = {**{kind: share * open_share for kind, share in _OPEN_KINDS.items()}, YES_OR_NO: yes_no_share}
    kind = str(rng.choice(list(shares), p=list(shares.values())))
    if kind == YES_OR_NO:
        topic = topics.pick(case, rng)
        return yes_no_question(topic, rng), yes_no_answer(case, topic, rng)
    return question(kind, rng), answer(case, kind, rng)


def make_branch(
    speaker: Speaker, case: Case, template: str, topics: TopicChoice, yes_no_share: float, rng: Rng
) -> tuple[list[int], list[int]]:
    """Token ids of the text after the image, and of the answer with its end."""
    turns = [_turn(case, topics, yes_no_share, rng) for _ in range(int(rng.integers(1, 3)))]
    turns = turns if rng.random() < _EARLIER_TURNS else []
    asked, told = _turn(case, topics, yes_no_share, rng)
    encode = speaker.vocabulary.encode
    return encode(after(template, turns, asked)), [*encode(told), 2]


def answer_loss(
    speaker: Speaker,
    template: str,
    features: Tensor,
    batch: list[list[tuple[list[int], list[int]]]],
    first_token_weight: float,
) -> Tensor:
    """Weighted mean cross-entropy over the answer tokens of every branch; `features` (n, 512) or (n, rows, width)."""
    prefix = speaker.prefix(template)
    image = image_rows(speaker.projector(features))
    start = len(prefix) + image.shape[1]
    length = start + max(sum(len(asked) + len(told) for asked, told in row) for row in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    branch = torch.full((len(batch), length), -1)
    position = torch.zeros(len(batch), length, dtype=torch.long)
    weight = torch.zeros(len(batch), length)
    ids[:, : len(prefix)], branch[:, :start] = torch.tensor(prefix), 0
    position[:, :start] = torch.arange(start)
    for row, branches in enumerate(batch):
        at = start
        for number, (asked, told) in enumerate(branches, 1):
            end = at + len(asked) + len(told)
            ids[row, at:end] = torch.tensor(asked + told)
            branch[row, at:end] = number
            position[row, at:end] = torch.arange(start, start + end - at)
            weight[row, end - len(told) : end] = 1
            weight[row, end - len(told)] = first_token_weight
            at = end
    embeds = speaker.language.get_input_embeddings()(ids)
    embeds = torch.cat([embeds[:, : len(prefix)], image, embeds[:, start:]], dim=1)
    hidden = speaker.language.model(
        inputs_embeds=embeds, attention_mask=_may_see(branch), position_ids=position, use_cache=False
    ).last_hidden_state
    answered = weight[:, 1:] > 0
    logits = speaker.language.lm_head(hidden[:, :-1][answered])
    losses = cross_entropy(logits, ids[:, 1:][answered], reduction="none")
    weights = weight[:, 1:][answered]
    return (losses * weights).sum() / weights.sum()


def image_rows(projected: Tensor) -> Tensor:
    """Projected images (n, WIDTH) or (n, rows, WIDTH) as rows: (n, rows, WIDTH)."""
    return projected.view(len(projected), -1, WIDTH)


def _may_see(branch: Tensor) -> Tensor:
    """Boolean mask (n, 1, length, length): earlier tokens of the same branch and of the prefix."""
    same = branch[:, :, None] == branch[:, None]
    allowed = (same | (branch[:, None] == 0)) & (branch[:, None] >= 0)
    causal = torch.ones(branch.shape[1], branch.shape[1], dtype=torch.bool).tril()
    itself = torch.eye(branch.shape[1], dtype=torch.bool)
    return ((allowed & causal) | itself)[:, None]


@torch.no_grad()
def speak(speaker: Speaker, template: str, rows: Tensor, texts: list[str], limit: int = 120) -> list[str]:
    """Greedy answers; `rows` (n, 256) or (n, rows, 256) are projected images, `texts` what comes after each image."""
    pieces = [speaker.vocabulary.encode(text) for text in texts]
    answers = [""] * len(texts)
    for length in sorted({len(ids) for ids in pieces}):
        same = [i for i, ids in enumerate(pieces) if len(ids) == length]
        for at in range(0, len(same), 100):
            group = same[at : at + 100]
            ids = _greedy(speaker, template, rows[group], torch.tensor([pieces[i] for i in group]), limit)
            for i, said in zip(group, ids, strict=True):
                answers[i] = speaker.vocabulary.decode(said).split("###")[0].strip()
    return answers


def _greedy(speaker: Speaker, template: str, rows: Tensor, asked: Tensor, limit: int) -> list[list[int]]:
    embed = speaker.language.get_input_embeddings()
    prefix = embed(torch.tensor(speaker.prefix(template)))[None].expand(len(rows), -1, -1)
    inputs: dict[str, Tensor] = {"inputs_embeds": torch.cat([prefix, image_rows(rows), embed(asked)], dim=1)}
    said, cache, open_ = [], None, torch.ones(len(rows), dtype=torch.bool)
    for _ in range(limit):
        out = speaker.language(**inputs, past_key_values=cache, use_cache=True)
        token, cache = out.logits[:, -1].argmax(-1), out.past_key_values
        said.append(torch.where(open_, token, 2))
        open_ &= token != 2
        if not open_.any():
            break
        inputs = {"input_ids": token[:, None]}
    return [[token for token in line if token != 2] for line in torch.stack(said, 1).tolist()]
