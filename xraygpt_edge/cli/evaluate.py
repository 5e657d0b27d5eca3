"""`evaluate`: a batch's records held against references, without the model."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from xraygpt_edge.cli import options

if TYPE_CHECKING:
    from xraygpt_edge.evaluate import Options
    from xraygpt_edge.evaluate.pairs import Protocol
    from xraygpt_edge.findings import Finding

Records = Annotated[
    Path, typer.Argument(metavar="RECORDS", help="The folder given to batch with --out.", show_default=False)
]
References = Annotated[
    Path, typer.Option(metavar="FILE", help="CSV or JSON lines: id or path, and text.", show_default=False)
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV",
        help="What is true: id,finding,label with 1, 0 or -1. Without it, what the references state.",
        show_default=False,
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(metavar="RECORDS2", help="Other records about the same radiographs.", show_default=False),
]
Strata = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV", help="Groups: id or path, and a column for each kind: sex, view, ...", show_default=False
    ),
]
ProtocolName = Annotated[
    str, typer.Option("--protocol", metavar="paper|plain", help="paper: answers are cleaned as the paper's were.")
]
PairsOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write both texts of each pair, in the form that RadEval reads.", show_default=False
    ),
]
Question = Annotated[
    str | None, typer.Option(help="Whose answers, where the records hold several questions.", show_default=False)
]
Bundle = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|DIR", help="Take its table of findings; else the fourteen of CheXpert.", show_default=False
    ),
]


def evaluate(
    records: Records,
    references: References,
    labels: Labels = None,
    against: Against = None,
    strata: Strata = None,
    protocol: ProtocolName = "plain",
    pairs_out: PairsOut = None,
    question: Question = None,
    bundle: Bundle = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Hold the answers of a batch against reference reports; the model is not needed.

    Nothing is sent anywhere. Research software, not a medical device.
    """
    options.one_of("--protocol", protocol, ("paper", "plain"))
    from xraygpt_edge import evaluate as evaluation
    from xraygpt_edge.cli import evaluation_page
    from xraygpt_edge.evaluate import keyed, pairs

    wanted = _options(bundle, labels, strata, cast("Protocol", protocol))
    texts = keyed.read(references, "E-EVA-001")
    found = pairs.read(records, texts, question)
    other = pairs.read(against, texts, question) if against else None
    measured = evaluation.evaluate(found, wanted, other)
    if pairs_out:
        pairs.write(pairs_out, found.pairs, wanted.protocol)
    if as_json:
        print(json.dumps(asdict(measured)))
    else:
        evaluation_page.show(measured)


def _options(bundle: str | None, labels: Path | None, strata: Path | None, protocol: Protocol) -> Options:
    from xraygpt_edge.evaluate import Options, keyed
    from xraygpt_edge.findings import places
    from xraygpt_edge.trust import labels as label_file

    findings = _findings(bundle)
    return Options(
        findings,
        protocol,
        label_file.read(labels, [place.name for place in places(findings)]) if labels else None,
        keyed.read(strata, "E-EVA-004") if strata else keyed.Keyed({}, {}),
    )


def _findings(bundle: str | None) -> tuple[Finding, ...]:
    from xraygpt_edge.bundle import load
    from xraygpt_edge.bundle.store import find_bundle
    from xraygpt_edge.findings import CHEXPERT

    return (load(find_bundle(bundle)).manifest.prompt.findings or CHEXPERT) if bundle else CHEXPERT
