"""Encoder and language model of a bundle, each loaded in the background or when it is first needed."""

from __future__ import annotations

from concurrent.futures import Future
from contextlib import nullcontext
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from xraygpt_edge import loading
from xraygpt_edge.devices import trim_memory
from xraygpt_edge.encoder import Encoded, Encoder
from xraygpt_edge.generation.scheduler import Scheduler
from xraygpt_edge.loading import LoadPlan
from xraygpt_edge.native import Deadline, NativeThread, wait


class Parts:
    """The two models of a bundle; may be shared by threads.

    With little memory, the encoder leaves before the language model comes.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self.plan = plan
        self.providers: tuple[str, ...] = ()
        """Of the encoder, once it is there."""
        self._thread = NativeThread("encoder")
        self._beginning, self._encoding = Lock(), Lock()
        self._encoder: Future[Encoder] | None = None
        self._scheduler: Scheduler | None = None

    def begin(self) -> None:
        """Start loading and return at once."""
        self._begin_encoder()
        if self.plan.memory != "low":
            self._begin_scheduler()

    def wait_for_encoder(self) -> None:
        """Wait until it is loaded; raises what loading raised."""
        encoder = wait(self._begin_encoder())
        self.providers = encoder.providers

    def wait_for_language(self) -> Scheduler:
        """Wait until the language model is loaded; raises what loading raised."""
        scheduler = self._begin_scheduler()
        scheduler.wait_until_loaded()
        return scheduler

    def prompt_progress(self) -> tuple[int, int]:
        """Tokens computed, and tokens in all, of the prompt that is being computed; (0, 0) without one."""
        scheduler = self._scheduler
        return scheduler.prompt_progress if scheduler else (0, 0)

    def encode(self, tensor: NDArray[np.float32], deadline: Deadline | None = None) -> Encoded:
        """Encode one image tensor, one caller after another.

        No decode runs meanwhile: both need all cores. Raises what `Encoder.encode` raises.
        """
        with self._encoding:
            encoder = wait(self._begin_encoder())
            with self._scheduler.paused() if self._scheduler else nullcontext():
                return encoder.encode(tensor, deadline)

    def release_encoder(self) -> None:
        """Give the encoder's memory back when no image is left to encode; should one come, it is loaded again."""
        with self._encoding, self._beginning:
            self._close_encoder()

    def close(self) -> None:
        """Give the memory back; what is still being loaded is left to the end of the process."""
        if self._scheduler is not None:
            self._scheduler.close()
        with self._beginning:
            self._close_encoder()
        self._thread.close()

    def _begin_encoder(self) -> Future[Encoder]:
        with self._beginning:
            if self._encoder is None:
                self._encoder = self._thread.start(lambda: loading.load_encoder(self.plan))
            return self._encoder

    def _begin_scheduler(self) -> Scheduler:
        if self._scheduler is not None:
            return self._scheduler
        is_low = self.plan.memory == "low"
        with self._encoding if is_low else nullcontext(), self._beginning:  # as everywhere: encoding first
            if self._scheduler is None:
                if is_low:
                    self._close_encoder()
                self._scheduler = loading.begin_language(self.plan)
            return self._scheduler

    def _close_encoder(self) -> None:
        if self._encoder is not None and self._encoder.done() and not self._encoder.exception():
            self._encoder.result().close()
        self._encoder = None
        trim_memory()
