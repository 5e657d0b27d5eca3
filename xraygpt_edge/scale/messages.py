"""What a pool and the process that speaks to Ray say to each other, beside the messages of a model host."""

from __future__ import annotations

import msgspec

from xraygpt_edge.host import Load


class Wish(msgspec.Struct, frozen=True):
    """Which machines, and how they are shared out."""

    address: str | None = None
    """HOST:PORT of a cluster's head; None starts Ray on this computer alone, for as long as the run takes."""
    cpus_per_worker: int | None = None
    """None gives each machine to one worker."""
    gpus_per_worker: float = 0
    chunk: int = 64
    """Films that a worker is given at once, at most."""
    send_files: bool = False
    """Send films to the workers; else each opens the same path."""


class Start(msgspec.Struct, frozen=True, tag="start"):
    """The first line to the process."""

    wish: Wish
    load: Load
    manifest_sha256: str
    """Of the bundle: a worker whose bundle is another one takes no part."""
    version: str
    """Of this program, likewise."""
    temp: str
    """A private folder for a cluster that is started here."""


class Lost(msgspec.Struct, frozen=True, tag="lost"):
    """A worker has died, or its machine is gone; its films are given to others."""


class Begun(msgspec.Struct, frozen=True, tag="begun"):
    """What a worker says once its model process is ready to be asked."""

    version: str
    manifest_sha256: str
    environment: dict[str, str]
    error_id: str = ""
    """Why it cannot take part; empty where it can."""
    why: str = ""
