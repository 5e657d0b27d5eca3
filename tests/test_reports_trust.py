"""How reports show what is known of an answer: marks with reasons in words, and no figure where none belongs."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

from tests import payloads
from tests.sample_batch import answer, record, source, write_batch
from xraygpt_edge.cli import trusting
from xraygpt_edge.cli.app import run
from xraygpt_edge.records import (
    Answer,
    ClaimTrust,
    FilmTrust,
    FindingTrust,
    ReferenceFacts,
    SentenceTrust,
    Trust,
)
from xraygpt_edge.reports.rows import read_batch
from xraygpt_edge.reports.trusted import parts, read_first

TEXT = "The heart is unchanged. A nodule on the left. The lungs are clear.\nA pacemaker. Nothing else."
STARTS = (0, 24, 46, 67, 80)
ENDS = (23, 45, 66, 79, 93)
LIKE, UNLIKE = FilmTrust(200.0, 500.0, like=True), FilmTrust(900.0, 500.0, like=False)
PHANTOMS = ReferenceFacts(1200, 1200, "drawn phantoms", "2026-11-26", of_site=False)
SITE = ReferenceFacts(700, 700, "St Elsewhere", "2026-11-26", of_site=True)


def finding(name: str, p: float | None, verdict: Any, said: Any = None) -> FindingTrust:
    return FindingTrust(name, 1.0, 0.99, said, p, verdict, (0.1, 0.5))


def trust(**more: Any) -> Trust:
    """A sentence of each kind: marked by a rule, doubtful, agreeing, contradicted, unchecked."""
    kinds = (
        ("agrees", 0.99, ("W-TXT-001",), "cardiomegaly", "absent"),
        ("doubtful", 0.3, (), "nodule left", "present"),
        ("agrees", 0.98, (), "consolidation", "absent"),
        ("contradicted", 0.01, (), "device", "present"),
        ("unchecked", None, (), None, "present"),
    )
    sentences = tuple(
        SentenceTrust(start, end, 1.0, support, score, None, None, flags, (ClaimTrust("x", (), "", polarity),), weakest)  # type: ignore[arg-type]
        for start, end, (support, score, flags, weakest, polarity) in zip(STARTS, ENDS, kinds, strict=True)
    )
    findings = (
        finding("cardiomegaly", 0.02, "absent", "absent"),
        finding("nodule left", 0.41, "unsure", "present"),
        finding("device", 0.03, "absent", "present"),
        finding("oedema", 0.88, "present"),
    )
    known = Trust("ab" * 32, "fast", LIKE, sentences, findings, ("oedema",), (), reference=PHANTOMS)
    return replace(known, **more)


def answered(found: Trust | None = None, **more: Any) -> Answer:
    return replace(answer(TEXT, **more), trust=found or trust())


def batch_of(folder: Path, *answers: Answer, names: tuple[str, ...] = ("a.dcm", "b.dcm", "c.dcm", "d.dcm")) -> Path:
    return write_batch(folder, [record(each, name) for each, name in zip(answers, names, strict=False)])


def written(batch: Path, name: str, *more: str) -> Path:
    assert run(["report", str(batch), "--to", name, "--quiet", *more]) == 0
    return batch / {"html": "report.html", "csv": "report.csv", "fhir": "fhir", "dicom-sr": "dicom-sr"}[name]


# A terminal


def test_a_terminal_shows_each_mark_and_its_reason_in_words() -> None:
    assert list(trusting.lines(TEXT, trust())) == [
        (
            "! The heart is unchanged.  ? A nodule on the left.  \u2713 The lungs are clear.  \u2717 A pacemaker.  "
            "\u00b7 Nothing else."
        ),
        "Sentence 1: a sentence compares with an earlier radiograph that the model has not seen (W-TXT-001).",
        "Sentence 2: the model's own yes/no answer is unsure: nodule left (0.41).",
        "Sentence 4: the model's own yes/no answer is the opposite: device (0.03).",
        "Not stated in the text, but answered yes: oedema (0.88).",
        "Film: like the reference films.",
        "Figures from 1,200 films of drawn phantoms, 2026-11-26: they hold for such films only.",
    ]


def test_a_screen_of_ascii_has_marks_too() -> None:
    assert all(line.isascii() for line in trusting.lines(TEXT, trust(), ascii_only=True))


def test_a_film_unlike_the_reference_films_has_that_warning_and_no_line_that_it_is_like_them() -> None:
    lines = list(trusting.lines(TEXT, trust(film=UNLIKE, warnings=("W-TRU-001", "W-TRU-002"))))
    assert "W-TRU-001: The model's figures do not hold for such a film." in lines
    assert "W-TRU-002: This answer would read the same without the image." in lines
    assert "Film: like the reference films." not in lines


# A page


def test_the_page_marks_each_sentence_and_says_why(tmp_path: Path) -> None:
    page = written(batch_of(tmp_path / "b", answered()), "html").read_text("utf-8")
    shown = re.search(r'<p class="findings">(.*?)</p>', page, re.DOTALL)
    assert shown
    marks = re.findall(r'<span class="mark (\w+)" role="img" aria-label="([^"]+):">', shown[1])
    assert [name for name, _ in marks] == ["flagged", "doubtful", "agrees", "contradicted", "unchecked"]
    assert re.sub(r"<span.*?</span>", "", shown[1]) == TEXT
    assert "Sentence 4: the model&#39;s own yes/no answer is the opposite: device (0.03)." in page
    assert re.findall(r"<tr><td>(.*?)</td>", page) == ["oedema", "nodule left", "device", "cardiomegaly"]
    assert "0.10 to 0.50" in page
    assert "never that a sentence is right" in page


def test_the_page_shows_no_percentage_for_a_film_unlike_the_reference_films(tmp_path: Path) -> None:
    page = written(batch_of(tmp_path / "b", answered(trust(film=UNLIKE, warnings=("W-TRU-001",)))), "html")
    text = page.read_text("utf-8")
    assert "W-TRU-001: The model&#39;s figures do not hold for such a film." in text
    assert "own yes and no" not in text


def test_a_batch_without_trust_has_a_page_without_marks(tmp_path: Path) -> None:
    page = written(batch_of(tmp_path / "b", answer(TEXT)), "html").read_text("utf-8")
    assert '<p class="findings">' + TEXT + "</p>" in page
    assert 'value="first"' not in page


def test_radiographs_to_be_read_first_are_those_that_nobody_knows_then_the_weakest(tmp_path: Path) -> None:
    strong = trust(unsaid=(), findings=(finding("oedema", 0.01, "absent"),))
    strong = replace(strong, sentences=strong.sentences[2:3])
    batch = batch_of(
        tmp_path / "b", answered(strong), answered(), answered(trust(film=UNLIKE)), answered(trust(failed="E-BUG-001"))
    )
    order = read_first(read_batch(batch).radiographs)
    assert [path.name for path in sorted(order, key=order.__getitem__)] == ["c.dcm", "d.dcm", "b.dcm", "a.dcm"]
    assert read_first(read_batch(batch_of(tmp_path / "c", answer(TEXT))).radiographs) == {}


@pytest.mark.parametrize("places", [((5, 2),), ((0, 900),), ((-4, 3),), ((0, 10), (5, 20))])
def test_a_record_with_impossible_places_of_sentences_still_shows_every_word(
    tmp_path: Path, places: tuple[tuple[int, int], ...]
) -> None:
    one = trust().sentences[0]
    found = trust(sentences=())
    found = replace(found, sentences=tuple(replace(one, start=start, end=end) for start, end in places))
    (radiograph,) = read_batch(batch_of(tmp_path / "b", answered(found))).radiographs
    assert "".join(part.text for part in parts(radiograph.first)) == TEXT


def test_nothing_in_trust_can_act_on_a_page_or_in_a_table(tmp_path: Path) -> None:
    names = [text.format("document.title='ACTIVE'") for text in payloads.HTML] + list(payloads.FORMULAS)
    hostile = trust(
        unsaid=tuple(names), findings=tuple(finding(name, 0.5, "present") for name in names), failed=names[0]
    )
    batch = batch_of(tmp_path / "b", answered(replace(hostile, reference=replace(PHANTOMS, source=names[1]))))
    page = written(batch, "html").read_text("utf-8")
    assert page.count("<script>") == 1
    assert not re.search(r"<(?:img|svg|iframe|a) [^>]*ACTIVE", page)
    with written(batch, "csv").open(encoding="utf-8-sig", newline="") as stream:
        head, row = csv.reader(stream)
    assert not [cell for cell in (*head, *row) if cell.lstrip().startswith(("=", "+", "-", "@"))]


# A table


def test_the_table_has_the_film_the_weakest_sentence_what_is_unsaid_and_each_probability(tmp_path: Path) -> None:
    batch = batch_of(tmp_path / "b", answered(), answer(TEXT))
    with written(batch, "csv").open(encoding="utf-8-sig", newline="") as stream:
        one, other = csv.DictReader(stream)
    assert {name: one[name] for name in one if name.startswith(("trust_", "p "))} == {
        "trust_film": "like",
        "trust_weakest": "0.0100",
        "trust_unsaid": "oedema",
        "p cardiomegaly": "0.0200",
        "p nodule left": "0.4100",
        "p device": "0.0300",
        "p oedema": "0.8800",
    }
    assert {other[name] for name in other if name.startswith(("trust_", "p "))} == {""}


# An information system and an archive


def fhir(batch: Path) -> dict[str, Any]:
    (file,) = written(batch, "fhir").iterdir()
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def test_each_verdict_is_an_observation_that_names_its_profile_and_no_probability(tmp_path: Path) -> None:
    report = fhir(batch_of(tmp_path / "b", answered()))
    verdicts = {each["code"]["text"]: each for each in report["contained"] if "valueCodeableConcept" in each}
    shown = {name: each["valueCodeableConcept"]["coding"][0]["display"] for name, each in verdicts.items()}
    assert shown == {"cardiomegaly": "Absent", "nodule left": "Indeterminate", "device": "Absent", "oedema": "Present"}
    assert all("ab" * 32 in each["method"]["text"] and "component" not in each for each in verdicts.values())
    assert {each["reference"] for each in report["result"]} == {f"#{e['id']}" for e in report["contained"][1:]}
    assert "0.88" not in json.dumps(report)


def test_a_clinic_that_labelled_its_own_films_gets_their_probabilities(tmp_path: Path) -> None:
    report = fhir(batch_of(tmp_path / "b", answered(trust(reference=SITE))))
    values = [each["component"][0]["valueQuantity"]["value"] for each in report["contained"] if "component" in each]
    assert values == [0.02, 0.41, 0.03, 0.88]


def test_an_archive_gets_a_comment_for_each_marked_sentence_and_no_figure(tmp_path: Path, phantom: Path) -> None:
    data = phantom.read_bytes()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.dcm").write_bytes(data)
    batch = batch_of(tmp_path / "b", answered(trust(film=UNLIKE, warnings=("W-TRU-001",)), input=source(data)))
    (file,) = written(batch, "dicom-sr", "--images", str(tmp_path / "films")).iterdir()
    findings = pydicom.dcmread(file).ContentSequence[-2].ContentSequence
    comments = [item.TextValue for item in findings if item.ConceptNameCodeSequence[0].CodeMeaning == "Comment"]
    assert comments[1:] == [
        (
            "Software check of sentence 1: a sentence compares with an earlier radiograph that the model has not seen "
            "(W-TXT-001)."
        ),
        "Software check of sentence 2: the model's own yes/no answer is unsure: nodule left.",
        "Software check of sentence 4: the model's own yes/no answer is the opposite: device.",
        "Software check: not stated in the text, but the model's own answer is yes: oedema.",
        "W-TRU-001: The model's figures do not hold for such a film.",
    ]
    assert not re.search(r"0\.\d", " ".join(comments))


def test_another_level_of_trust_is_another_object_in_the_archive(tmp_path: Path, phantom: Path) -> None:
    data = phantom.read_bytes()
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.dcm").write_bytes(data)
    uids = set()
    for name, each in (("plain", answer(TEXT, input=source(data))), ("marked", answered(input=source(data)))):
        batch = batch_of(tmp_path / name, each)
        (file,) = written(batch, "dicom-sr", "--images", str(tmp_path / "films")).iterdir()
        uids.add(pydicom.dcmread(file).SOPInstanceUID)
    assert len(uids) == 2
