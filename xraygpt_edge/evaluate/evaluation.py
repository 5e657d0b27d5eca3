"""Everything that is measured of a folder of records, in one object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from xraygpt_edge.errors import UsageError
from xraygpt_edge.evaluate import overlap
from xraygpt_edge.evaluate.draws import Difference, Draws, Figure, mean_of
from xraygpt_edge.evaluate.findings import Agreement, FindingTable, Table, finding_table, labelled, stated
from xraygpt_edge.evaluate.keyed import Keyed
from xraygpt_edge.evaluate.marks import Mark, Sides, marked, marks, sides
from xraygpt_edge.evaluate.pairs import Pair, Pairs, Protocol, cleaned
from xraygpt_edge.evaluate.strata import Stratum, strata
from xraygpt_edge.evaluate.trusted import TrustFigures, trust_figures
from xraygpt_edge.findings import CHEXPERT, Finding, places
from xraygpt_edge.records import SCHEMA, notice
from xraygpt_edge.trust import Sentence, check, claims

NORMAL_REPORT = "The heart is of normal size. The lungs are clear. There is no pleural effusion or pneumothorax."
"""What a program that looks at nothing would say about every film."""
_EXCHANGE_SEED = 7


@dataclass(frozen=True, slots=True)
class Options:
    """What the records are held against."""

    findings: tuple[Finding, ...] = CHEXPERT
    protocol: Protocol = "plain"
    labels: Mapping[str, Mapping[str, int]] | None = None
    """What is true of each radiograph, by the record's id or path; None: what the reference states."""
    strata: Keyed = field(default_factory=lambda: Keyed({}, {}))


@dataclass(frozen=True, slots=True)
class Score:
    """One measure of shared words, beside what texts reach that do not come from the film."""

    name: str
    answers: Figure
    exchanged: Figure | None
    """Each film is given the answer about another one; None where there is only one study."""
    normal: Figure
    """Every film is given the same normal report."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One measure of these records minus that of the others, in the same draws."""

    name: str
    difference: Difference


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate --json` prints."""

    schema: int
    n: int
    n_studies: int
    without_reference: int
    failed: int
    torn_bytes: int
    """Of a last record that is not whole, in either set of records."""
    signature: str
    normal_report: str
    scores: tuple[Score, ...]
    findings: tuple[FindingTable, ...]
    """Uncertain statements as absent, then as present."""
    sides: Sides
    marks: tuple[Mark, ...]
    trust: TrustFigures | None
    strata: tuple[Stratum, ...]
    n_compared: int | None
    compared: tuple[Compared, ...]
    notice: str


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """Pairs, and what their texts state."""

    pairs: tuple[Pair, ...]
    draws: Draws
    answers: tuple[tuple[Sentence, ...], ...]
    references: tuple[tuple[Sentence, ...], ...]
    said: Table
    truth: Table

    @property
    def texts(self) -> tuple[str, ...]:
        """The references."""
        return tuple(pair.reference for pair in self.pairs)


def evaluate(found: Pairs, options: Options, against: Pairs | None = None) -> Evaluation:
    """Hold answers against references; against: other answers about the same radiographs.

    Raises RuntimeMissing where the libraries that score text are not installed, and UsageError where the two sets of
    records have no radiograph in common.
    """
    read = _read(found.pairs, options)
    columns = places(options.findings)
    with_uncertain = Agreement.between(read.said, read.truth, "present")
    cells = [options.strata.by_path.get(p.path) or options.strata.by_id.get(p.id) for p in read.pairs]
    scores = _scores(read, options.protocol)
    common, compared = _compared(found, against, options) if against else (None, ())
    return Evaluation(
        schema=SCHEMA,
        n=len(read.pairs),
        n_studies=len({pair.study for pair in read.pairs}),
        without_reference=found.without_reference,
        failed=found.failed,
        torn_bytes=found.torn_bytes + (against.torn_bytes if against else 0),
        signature=_signature(read.pairs, options),
        normal_report=NORMAL_REPORT,
        scores=scores,
        findings=tuple(
            finding_table(read.said, read.truth, columns, read.draws, uncertain) for uncertain in ("absent", "present")
        ),
        sides=sides(read.answers, read.references, read.draws),
        marks=marks(read.answers, read.references, read.draws),
        trust=trust_figures(read.pairs, read.truth, columns),
        strata=strata(cells, with_uncertain, read.draws),
        n_compared=common,
        compared=compared,
        notice=notice(demo=found.is_demo),
    )


def _read(pairs: tuple[Pair, ...], options: Options) -> _Read:
    table = options.findings
    answers = tuple(check(claims(pair.answer, table), table, pair.film, pair.finish_reason) for pair in pairs)
    references = tuple(check(claims(pair.reference, table), table, pair.film) for pair in pairs)
    if options.labels is None:
        truth = stated(references, table)
    else:
        truth = labelled([options.labels.get(p.id) or options.labels.get(p.path) or {} for p in pairs], table)
    return _Read(pairs, Draws.of([p.study for p in pairs]), answers, references, stated(answers, table), truth)


def _scores(read: _Read, protocol: Protocol) -> tuple[Score, ...]:
    own = [cleaned(pair.answer, protocol) for pair in read.pairs]
    others = exchanged(read.pairs, own)
    texts = (own, others, [NORMAL_REPORT] * len(own))
    answers, exchange, normal = (
        read.draws.figures(overlap.overlap(text, read.texts).statistic) if text else [None] * len(overlap.METRICS)
        for text in texts
    )
    rows = zip(overlap.METRICS, answers, exchange, normal, strict=True)
    return tuple(Score(name, a, x, n) for name, a, x, n in rows if a and n)


def exchanged(pairs: Sequence[Pair], answers: Sequence[str]) -> list[str]:
    """For each pair the answer about another study, in one cycle through all studies; empty where there is only one."""
    first = {pair.study: answer for pair, answer in zip(reversed(pairs), reversed(answers), strict=True)}
    studies = sorted(first)
    if len(studies) < 2:
        return []
    order = [studies[n] for n in np.random.default_rng(_EXCHANGE_SEED).permutation(len(studies))]
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return [first[following[pair.study]] for pair in pairs]


def _compared(found: Pairs, against: Pairs, options: Options) -> tuple[int, tuple[Compared, ...]]:
    """Every measure of both, on the radiographs that both answered."""
    paths = {pair.path for pair in found.pairs} & {pair.path for pair in against.pairs}
    if not paths:
        raise UsageError("E-EVA-005")
    one, other = (_read(pairs.only(paths), options) for pairs in (found, against))
    words = [
        overlap.overlap([cleaned(pair.answer, options.protocol) for pair in read.pairs], read.texts).statistic
        for read in (one, other)
    ]
    rows = list(zip(overlap.METRICS, one.draws.differences(words[0], words[1]), strict=True))
    for uncertain in ("absent", "present"):
        both = [Agreement.between(read.said, read.truth, uncertain) for read in (one, other)]
        for name, statistics in (("macro F1", [a.macro for a in both]), ("micro F1", [a.micro for a in both])):
            difference = one.draws.differences(statistics[0], statistics[1])[0]
            rows.append((f"{name}, uncertain as {uncertain}", difference))
    contradictions = [mean_of(marked(read.answers, "W-TXT-002")) for read in (one, other)]
    rows.append(("contradictions", one.draws.differences(contradictions[0], contradictions[1])[0]))
    return len(paths), tuple(Compared(name, difference) for name, difference in rows)


def _signature(pairs: Sequence[Pair], options: Options) -> str:
    """All that the scores depend on, in one line."""
    engines = [pair.engine for pair in pairs]
    settings: dict[str, set[str | float]] = {
        "template": {engine.template for engine in engines},
        "temperature": {engine.temperature for engine in engines},
        "top-p": {engine.top_p for engine in engines},
        "seed": {engine.seed for engine in engines},
    }
    asked = ", ".join(f"{name} {'/'.join(sorted(map(str, values)))}" for name, values in settings.items())
    truth = "reference" if options.labels is None else "labels"
    removed = (
        "answers without <Img>, Impression:, line ends, #, ___" if options.protocol == "paper" else "nothing removed"
    )
    return (
        f"{overlap.signature()}; protocol {options.protocol}: {removed}; {asked}; "
        f"{len(places(options.findings))} findings from the {truth}; n = {len(pairs)}"
    )
