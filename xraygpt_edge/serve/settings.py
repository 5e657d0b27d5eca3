"""What a server was told at its start, and the limits that protect it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from xraygpt_edge.bundle import Bundle
from xraygpt_edge.generation.capacity import ONE_AT_A_TIME
from xraygpt_edge.generation.request import Sampling
from xraygpt_edge.imaging.images import DEFAULT, ReadOptions
from xraygpt_edge.loading import LoadOptions
from xraygpt_edge.records import TRUST, TrustLevel
from xraygpt_edge.serve import addresses
from xraygpt_edge.serve.runs.keeping import Keeper
from xraygpt_edge.serve.ward import Ward

PORT = 8620
ANSWER_S = 300.0
"""Longest time for an answer unless --timeout says otherwise."""
SAMPLING = Sampling(timeout_s=ANSWER_S)
AS_IT_SUITS = LoadOptions(capacity=ONE_AT_A_TIME)
"""The machine decides how the model is loaded."""
HEADER_S = 10.0
"""For a client to send its request's header."""
BODY_STILL_S, BODY_S = 10.0, 120.0
"""Without a byte of a request's body, and for all of it."""
READER_STILL_S = 30.0
"""Without a client taking anything of its answer."""
NOTE_S = 5.0
"""How often somebody who waits is told."""
JSON_BYTES = 1 << 20
"""Of a request beside the file that it may carry."""
SECRET_BYTES = 4096
"""Of a request by somebody who is not known yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may use."""

    upload_bytes: int = 128 << 20
    """Of one file."""
    held_bytes: int = 512 << 20
    """Of all files in memory, those that are being sent among them."""
    forget_after_s: float = 1800.0
    """Of a radiograph that nobody asks about."""
    waiting: int = 32
    """Questions beside the one that is being answered."""
    idle_s: float | None = None
    """After which the server ends by itself, when nobody asks."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that decides how a server behaves."""

    bundle: Bundle
    token: str | None
    """Of the programs; None where there is none for them."""
    link_token: str | None = None
    """Of the printed link, which stays in a browser's history; None on a ward. It must not outlive the server."""
    port: int = PORT
    names: tuple[str, ...] = addresses.LOOPBACK_NAMES
    """By which it may be addressed; the first one stands in links."""
    ward: Ward | None = None
    """What lets others than this computer in."""
    limits: Limits = Limits()
    loading: LoadOptions = AS_IT_SUITS
    reading: ReadOptions = DEFAULT
    """Where a request says nothing else."""
    sampling: Sampling = SAMPLING
    """Where a request says nothing else; its max_tokens is also the most that a request may ask for."""
    template: str | None = None
    trust: TrustLevel = TRUST
    """How much is said of how far to trust each answer."""
    strict: bool = False
    """Have the kernel take the network away, or do not start."""
    log: BinaryIO | None = None
    """Where a line a request is written."""
    parallel: int | None = None
    """Questions of a folder run that are answered at the same time; None lets memory and cores decide."""
    keep: Keeper | None = None
    """Where folder runs are kept."""
    api_only: bool = False
    """For programs: no page."""
    waits_when_broken: bool = False
    """A model that cannot be loaded ends the server only when nobody looks at the page any more, which says why."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Its addresses as browsers write them; the first one stands in links."""
        scheme = "https" if self.ward else "http"
        return tuple(addresses.origin(scheme, name, self.port) for name in self.names)
