"""One folder of radiographs over several machines, each of which runs a batch of its own.

    plan ──▶ list ──▶ batch --shard 0/N ──▶ folder ┐
                      batch --shard 1/N ──▶ folder ┼─▶ merge ──▶ one batch folder
                      ...                          ┘

plan    the films of a folder, written down once
merge   folders of shards into one, checked
parts   one shard's folder, and what must be the same in all
table   every record of all shards as a few numbers: which of them counts
placing a folder that appears whole or not at all

Or one batch over a pool of machines (the extra `ray`), which then is the only writer of its records.

pool        stands in for the batch's model host
films       which worker has which film, and what becomes of a dead one's
ray_pool    the process that speaks to Ray, and alone imports it
ray_worker  what runs on each machine: a model host
guard       who may reach a cluster
messages    what these say to each other
"""

from __future__ import annotations

from xraygpt_edge.scale.merge import Merged, Terms, merge
from xraygpt_edge.scale.plan import Plan, Share, plan

__all__ = ["Merged", "Plan", "Share", "Terms", "merge", "plan"]
