"""The process that speaks to Ray, with workers without a model."""

from __future__ import annotations

from tests.soak.ray_worker import FakeWorker
from xraygpt_edge.scale import ray_pool

if __name__ == "__main__":
    ray_pool.WORKER = FakeWorker
    ray_pool.main()
