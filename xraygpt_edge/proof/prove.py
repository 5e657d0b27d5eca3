"""A finished bundle, measured again on this machine against the receipts that it carries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from xraygpt_edge import bundle as bundles
from xraygpt_edge.bundle import Bundle
from xraygpt_edge.errors import BundleAltered, UnusableOutput
from xraygpt_edge.proof import parity, receipts
from xraygpt_edge.proof.gates import Gates, misses, strays
from xraygpt_edge.proof.parity import Exported, Parity

PICTURES = "its pictures reach the language model otherwise: they are resized in another way, or its encoder is another"
TOKENIZER = "its questions become other tokens: the tokenizer in the language file is another"
LANGUAGE = "its language model computes something else: the file is of another model, or made by another conversion"
BOTH = "both of its models compute something else: the libraries do not work rightly on this processor"


@dataclass(frozen=True, slots=True)
class Proof:
    """What was measured, and what it had to be."""

    bundle_id: str
    figures: Parity
    gates: Gates
    """Of the precisions that the bundle holds."""
    problems: tuple[str, ...]
    """Every figure that misses its gate or is not what the exporter measured; none when all is well."""

    @property
    def reason(self) -> str:
        """What is likely wrong, in words that follow the name of the bundle; empty when all is well."""
        parts = {problem.partition(" ")[0] for problem in self.problems}
        if {"vision", "language"} <= parts:
            return BOTH
        if any("equal_ids" in problem for problem in self.problems):
            return TOKENIZER
        return PICTURES if "vision" in parts else LANGUAGE if parts else ""

    def require(self) -> None:
        """Raise UnusableOutput when this machine computes something else."""
        if self.problems:
            raise UnusableOutput("E-RUN-034", self.reason)


def prove(root: Path, threads: int) -> Proof:
    """Compute the receipts of a bundle with each of its files, on the CPU.

    Raises BundleAltered when the bundle is not what its manifest says, BundleIncompatible when it has no receipts.
    """
    bundle = bundles.load(root)
    if problems := bundles.verify(bundle):
        raise BundleAltered("E-BND-010", str(problems[0]))
    exported = _files(bundle)
    cases = receipts.load(bundle.path_of(bundle.file("receipts")))
    figures = parity.measure(exported, cases, threads)
    gates = _gates(bundle, exported)
    found = (*misses(figures, gates), *strays(figures, bundle.manifest.parity))
    return Proof(bundle.manifest.id, figures, gates, found)


def _files(bundle: Bundle) -> Exported:
    files = {
        role: {str(entry.precision): bundle.path_of(entry) for entry in bundle.manifest.files if entry.role == role}
        for role in ("vision", "language")
    }
    return Exported(files["vision"], files["language"], bundle.manifest.image, bundle.manifest.prompt)


def _gates(bundle: Bundle, exported: Exported) -> Gates:
    """Of the files that are there: others were measured for the export's own proof."""
    there = {"vision": exported.vision, "language": exported.language}
    return {
        part: {p: limits for p, limits in bundle.manifest.gates.get(part, {}).items() if p in files}
        for part, files in there.items()
    }
