"""A finished bundle, measured again on this machine against the receipts that it carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from export import parity, receipts
from export.errors import GateMissed
from export.gates import Gates, misses
from export.parity import Parity
from xraygpt_edge import bundle as bundles
from xraygpt_edge.errors import BundleAltered


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured, and the gates of the precisions that the bundle holds."""

    bundle_id: str
    figures: Parity
    gates: Gates


def measure(root: Path, threads: int) -> Result:
    """Compute every precision of the bundle; raises BundleAltered when it does not verify."""
    bundle = bundles.load(root)
    problems = bundles.verify(bundle)
    if problems:
        raise BundleAltered("E-BND-010", str(problems[0]))
    files = {
        role: {str(e.precision): bundle.path_of(e) for e in bundle.manifest.files if e.role == role}
        for role in ("vision", "language")
    }
    exported = parity.Exported(files["vision"], files["language"], bundle.manifest.image, bundle.template(None))
    cases = receipts.load(bundle.path_of(bundle.file("receipts")))
    gates: Gates = {
        role: {p: limits for p, limits in bundle.manifest.gates.get(role, {}).items() if p in files[role]}
        for role in files
    }
    return Result(bundle.manifest.id, parity.measure(exported, cases, threads), gates)


def require(result: Result) -> None:
    """Raise GateMissed when this machine computes something else."""
    problems = misses(result.figures, result.gates)
    if problems:
        raise GateMissed("This machine computes something else than the original did.", problems)
