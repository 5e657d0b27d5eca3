"""A worker without a model: importing this replaces the model process on a machine of a pool."""

from __future__ import annotations

from tests.soak.driver import FAKE
from xraygpt_edge.host import process
from xraygpt_edge.scale.ray_worker import FilmWorker


class FakeWorker(FilmWorker):
    """As the real one in everything else."""

    def __init__(self, load: bytes) -> None:
        process.COMMAND = FAKE
        super().__init__(load)
