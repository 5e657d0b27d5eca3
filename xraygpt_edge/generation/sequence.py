"""One request on its way through the cache: what is computed, what is wanted next, where it ends."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge.errors import OutOfTime
from xraygpt_edge.generation.answer import Composer, Generation, TokenSignal
from xraygpt_edge.generation.context_tokens import ContextTokens, tokenise
from xraygpt_edge.generation.drafter import Drafter
from xraygpt_edge.generation.forks import ROWS, Fork, tree
from xraygpt_edge.generation.llama import LlamaModel
from xraygpt_edge.generation.prefix import Prefix
from xraygpt_edge.generation.prompt import Prompt
from xraygpt_edge.generation.request import Piece, Request
from xraygpt_edge.generation.sampler import Sampler, is_near_tie, likeliest, uncertainty
from xraygpt_edge.generation.slots import Slot
from xraygpt_edge.generation.spelling import Spelling
from xraygpt_edge.native import Deadline
from xraygpt_edge.records import FinishReason

Logits: TypeAlias = NDArray[np.float32]
NO_TOKEN = -1


class Cancelled(Exception):
    """Whoever asked did not want to wait any longer."""


class Sequence:
    """Tokens that are wanted behind each other; used by the scheduler's thread, but for `stopping`."""

    def __init__(
        self, prompt: Prompt | ContextTokens, deadline: Deadline, after: Prefix | None = None, *, n_logits: int = 1
    ) -> None:
        """n_logits: how many of the prompt's last positions need logits."""
        self._prompt = prompt
        self.deadline, self.after, self.n_logits = deadline, after, n_logits
        self.room = 0
        """Most tokens that may come behind the prompt."""
        self.keeps: Prefix | None = None
        """What it computed becomes this prefix when it has ended."""
        self.leaves: Prefix | None = None
        """This beginning of its prompt stays in the cache when it has ended."""
        self.stopping: FinishReason | None = None
        """Somebody wants it to end at the next border of a step."""
        self.ended = False
        self.wanted: list[int] = []
        """Token ids to decode next, behind the prompt."""
        self.drafter: Drafter | None = None
        self._logits: list[Logits] = []

    def prepare(self, model: LlamaModel) -> ContextTokens:
        """Tokenise the prompt; raises what `tokenise` raises."""
        if isinstance(self._prompt, Prompt):
            self._prompt = tokenise(model, self._prompt)
        return self._prompt

    @property
    def tokens(self) -> ContextTokens:
        """The tokenised prompt."""
        if isinstance(self._prompt, Prompt):
            raise TypeError("not tokenised yet")
        return self._prompt

    def enter(self, slot: Slot) -> None:
        """Begin in a slot of the cache."""
        self._slot = slot

    @property
    def slot(self) -> Slot:
        """Where it is computed."""
        return self._slot

    @property
    def n_missing(self) -> int:
        """Positions of the prompt that are not computed yet."""
        return max(0, len(self.tokens) - self.slot.n_computed)

    @property
    def n_cells(self) -> int:
        """Most positions that it holds at the same time."""
        return len(self.tokens) + self.room

    @property
    def is_under_way(self) -> bool:
        """It has taken more than its first token, so others' prompts should not hold it up."""
        return False

    @property
    def is_patient(self) -> bool:
        """It waits for a slot rather than have a larger context made, which forgets what is computed."""
        return False

    @property
    def is_forked(self) -> bool:
        """Several continuations are wanted of what its slot holds."""
        return False

    def collect(self, logits: Logits) -> None:
        """Take the logits (n, n_vocab) of a part of the prompt."""
        self._logits.append(logits)
        if not self.n_missing:
            self.take_prompt(np.concatenate(self._logits))
            self._logits = []

    def take_prompt(self, logits: Logits) -> None:
        """Take the logits (n_logits, n_vocab) behind the prompt."""
        raise NotImplementedError

    def take(self, logits: Logits) -> None:
        """Take the logits (n_vocab,) behind the token that was wanted."""
        raise NotImplementedError

    def finish(self, reason: FinishReason) -> None:
        """End."""
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        """End with an error."""
        raise NotImplementedError

    def kept(self) -> ContextTokens:
        """What its slot holds."""
        return self.tokens


class Measurement(Sequence):
    """A prompt whose logits are wanted, and nothing behind it."""

    def __init__(
        self, prompt: Prompt | ContextTokens, deadline: Deadline, after: Prefix | None = None, *, n_logits: int = 1
    ) -> None:
        super().__init__(prompt, deadline, after, n_logits=n_logits)
        self.result: Future[Logits] = Future()

    @property
    def is_patient(self) -> bool:
        """What is measured must not change how others are computed."""
        return True

    def take_prompt(self, logits: Logits) -> None:
        """Hand the logits over."""
        self.ended = True
        self.result.set_result(logits)

    def finish(self, reason: FinishReason) -> None:
        """End before the logits are there."""
        self.fail(OutOfTime("E-RUN-017") if reason == "timeout" else Cancelled())

    def fail(self, error: BaseException) -> None:
        """Hand the error over."""
        self.ended = True
        self.result.set_exception(error)


class Continued(Measurement):
    """Given token ids behind a prefix, or several such continuations: the logits of each, one below the other."""

    def __init__(self, prefix: Prefix, given: Many[tuple[Many[int], int]], deadline: Deadline) -> None:
        """given: token ids behind the prefix, and how many of the last positions need logits."""
        super().__init__(ContextTokens(()), deadline, prefix)
        self._prefix, self._given = prefix, given
        self.left: Many[Fork] = ()
        """Continuations that are not computed yet, each behind the prefix."""

    def prepare(self, model: LlamaModel) -> ContextTokens:
        """Put each behind the prefix; what they share ends where the first logits are needed."""
        if not self.left:
            behind = self._prefix.prepare(model)
            self.left = [Fork(behind.followed_by(token_ids), n_logits) for token_ids, n_logits in self._given]
            longest = max((fork.tokens for fork in self.left), key=len)
            self.n_logits = len(longest) - min(len(fork.tokens) - fork.n_logits for fork in self.left)
            self._prompt = longest
        return self.tokens

    @property
    def n_cells(self) -> int:
        """Those of the prefix, and side by side those of as many continuations as one decode takes."""
        start = len(self._prefix)
        return max(len(self.tokens), start + min(ROWS, sum(map(len, tree(self.left, start)))))

    @property
    def is_forked(self) -> bool:
        """There are several continuations, so each is a fork of what the slot holds."""
        return len(self._given) > 1

    def take_forks(self, logits: Many[Logits]) -> None:
        """Take the logits (n_logits, n_vocab) of the first continuations that are left."""
        self._logits += logits
        self.left = self.left[len(logits) :]
        if not self.left:
            self.take_prompt(np.concatenate(self._logits))


Event: TypeAlias = Piece | Generation | BaseException
Tell: TypeAlias = Callable[[Event], object]


class AnswerSequence(Sequence):
    """A prompt and the answer behind it, token by token."""

    def __init__(self, request: Request, sampler: Sampler, tell: Tell, after: Prefix | None = None) -> None:
        """tell: called with each piece, and with the answer or the error at the end; it must return at once.

        One that raises ends this answer, and no other.
        """
        super().__init__(request.prompt, request.deadline, after)
        self.request, self._sampler = request, sampler
        self.room = request.sampling.max_tokens
        self._listener = tell
        self._composer = Composer(request.wording)
        self._answer: list[int] = []

    def prepare(self, model: LlamaModel) -> ContextTokens:
        """Tokenise the prompt; raises what `tokenise` raises."""
        self._model, self._spelling = model, Spelling(model)
        return super().prepare(model)

    def enter(self, slot: Slot) -> None:
        """Begin in a slot of the cache."""
        super().enter(slot)
        self._composer.begin(len(self.tokens))

    @property
    def is_under_way(self) -> bool:
        """It has taken more than its first token, so others' prompts should not hold it up."""
        return len(self._answer) > 1

    @property
    def n_left(self) -> int:
        """Most tokens that may still come."""
        return self.room - len(self._answer)

    def would_choose(self, logits: Logits, ahead: int) -> int:  # noqa: ARG002 - what is given looks at the other one
        """Return the token behind a draft, which greedy answers alone have; ahead: how many of it were accepted."""
        return likeliest(logits)

    def is_unsure(self, logits: Logits) -> bool:
        """Whether sums in another order could turn the choice."""
        return is_near_tie(logits)

    def take_prompt(self, logits: Logits) -> None:
        """Choose the first token."""
        self.take(logits[-1])

    def take(self, logits: Logits) -> None:
        """Choose a token; end with it or want the next."""
        token = self._sampler(logits)
        self._answer.append(token)
        self.wanted = [token]
        if self.drafter:
            self.drafter.push(token)
        signal = TokenSignal(self._spelling.piece(token), *uncertainty(logits, token))
        text = self._composer.push(token, signal)
        self._tell(Piece(text, token))
        if self._model.is_end(token) or self._composer.stopped:
            self.finish("stop")
        elif len(self._answer) >= self.room:
            self.finish("length")

    def finish(self, reason: FinishReason) -> None:
        """Hand over what was held back, and the answer."""
        try:
            text, generation = self._composer.finish(reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever asked
            self.fail(error)
            return
        self.ended = True
        if text:
            self._tell(Piece(text, None))
        self._tell(generation)

    def fail(self, error: BaseException) -> None:
        """Hand the error over."""
        self.ended = True
        self._tell(error)

    def _tell(self, event: Event) -> None:
        try:
            self._listener(event)
        except Exception:  # noqa: BLE001 - others are computed by the same thread
            self.ended = True

    def kept(self) -> ContextTokens:
        """What its slot holds: the prompt, and the answer as far as it was decoded."""
        return self.tokens.followed_by(self._answer[: self.slot.n_computed - len(self.tokens)])


class GivenAnswer(AnswerSequence):
    """An answer that is given: decoded as a generated one is, whatever the model would say."""

    def __init__(self, request: Request, token_ids: Many[int], look: Callable[[Logits], object], tell: Tell) -> None:
        """look: called with the logits (n_vocab,) behind the prompt, and behind each token."""
        super().__init__(request, likeliest, tell)
        self._given, self._look = tuple(token_ids), look

    def take(self, logits: Logits) -> None:
        """Want the next given token; end behind the last one."""
        self._look(logits)
        if not self.n_left:
            self.ended = True
            self._tell(Generation("", self._given, "length", 0.0, 0.0, 0.0))
            return
        self.wanted = [self._given[len(self._answer)]]
        self._answer += self.wanted
        if self.drafter:
            self.drafter.push(*self.wanted)

    def would_choose(self, logits: Logits, ahead: int) -> int:  # noqa: ARG002
        """Return the given token instead of the model's."""
        return self._given[len(self._answer) + ahead] if self.n_left > ahead else NO_TOKEN

    def is_unsure(self, logits: Logits) -> bool:  # noqa: ARG002
        """Never: what is given is certain."""
        return False
