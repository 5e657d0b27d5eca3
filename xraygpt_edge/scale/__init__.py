"""One folder of radiographs over several machines, each of which runs a batch of its own.

    plan ──▶ list ──▶ batch --shard 0/N ──▶ folder ┐
                      batch --shard 1/N ──▶ folder ┼─▶ merge ──▶ one batch folder
                      ...                          ┘

plan    the films of a folder, written down once
merge   folders of shards into one, checked
parts   one shard's folder, and what must be the same in all
table   every record of all shards as a few numbers: which of them counts
placing a folder that appears whole or not at all
"""

from __future__ import annotations

from xraygpt_edge.scale.merge import Merged, Terms, merge
from xraygpt_edge.scale.plan import Plan, Share, plan

__all__ = ["Merged", "Plan", "Share", "Terms", "merge", "plan"]
