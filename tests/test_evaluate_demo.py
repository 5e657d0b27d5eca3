"""The demonstration model's answers about phantoms, evaluated: what a text that looks at nothing reaches beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from export.demo.dicom_files import PACKINGS, write_picture
from export.demo.evaluation import ANSWER, REPORT_REQUEST
from export.demo.findings import sample_case
from export.demo.phantoms import draw
from export.demo.table import FINDINGS
from export.demo.texts import answer
from xraygpt_edge import XrayGPT
from xraygpt_edge.evaluate import Options, evaluate, keyed, pairs
from xraygpt_edge.ledger import Ledger

pytest.importorskip("rouge_score", reason="the evaluate extra is not installed")

SEEDS = range(40_000_000, 40_000_300)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of DICOM files with a reference report for each."""
    folder, random = tmp_path_factory.mktemp("films"), np.random.default_rng(1)
    rows = ["path,text"]
    for number, seed in enumerate(SEEDS):
        case = sample_case(seed)
        write_picture(folder / f"{number}.dcm", draw(case), number, PACKINGS[number % len(PACKINGS)])
        rows.append(f'{number}.dcm,"{answer(case, "description", random)}"')
    (folder / "references.csv").write_text("\n".join(rows))
    return folder


def asked(films: Path, demo: Path, language: str, out: Path) -> Path:
    out.mkdir()
    ledger = Ledger(out)
    with XrayGPT.load(demo, "cpu", threads=1, language=language) as model:
        for number in range(len(SEEDS)):
            result = model.ask(films / f"{number}.dcm", REPORT_REQUEST, sampling=ANSWER)
            ledger.append(result, str(number), f"{number}.dcm", REPORT_REQUEST, 1)
    ledger.close()
    return out


@pytest.mark.slow
def test_answers_beat_texts_that_look_at_nothing_and_two_quantizations_are_the_same(
    films: Path, demo: Path, tmp_path: Path
) -> None:
    texts = keyed.read(films / "references.csv", "E-EVA-001")
    small, exact = (pairs.read(asked(films, demo, name, tmp_path / name), texts) for name in ("Q8_0", "F16"))
    found = evaluate(small, Options(FINDINGS), exact)
    rouge1 = found.scores[0]
    print([(s.name, s.answers.value, s.exchanged.value, s.normal.value) for s in found.scores])
    print([(c.name, c.difference) for c in found.compared], found.findings[1].macro, found.sides)
    assert rouge1.answers.low > rouge1.normal.high > rouge1.exchanged.value
    assert rouge1.normal.value > 0.75 * rouge1.answers.value
    assert found.findings[1].macro.low > 0.85
    assert found.sides.same.value > 0.95
    assert all(mark.answers.value == 0 for mark in found.marks if mark.id != "W-TXT-007")
    assert all(abs(one.difference.figure.value) < 0.02 for one in found.compared)
