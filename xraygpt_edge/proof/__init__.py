"""What a bundle computes on this machine, beside what the original computed for the same pictures.

    receipts.npz ── receipts.load ─▶ Case ── parity.measure ─▶ figures ─┬─ gates ─▶ which are others
                                                                        └─ table ─▶ rows for people

Nothing of torch is needed: the original's figures travel in the bundle.
"""

from __future__ import annotations

from xraygpt_edge.proof.prove import Proof, prove

__all__ = ["Proof", "prove"]
