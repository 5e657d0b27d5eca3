"""Records against references: every figure on small stored pairs, computed by hand."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.sample_batch import answer, record, source, write_batch
from xraygpt_edge.cli.app import app
from xraygpt_edge.errors import RuntimeMissing, UsageError
from xraygpt_edge.evaluate import NORMAL_REPORT, Options, evaluate, keyed, pairs
from xraygpt_edge.evaluate.draws import Draws, Figure, holm, mean_of, share
from xraygpt_edge.evaluate.evaluation import exchanged
from xraygpt_edge.evaluate.findings import Agreement, finding_table, labelled, stated
from xraygpt_edge.findings import CHEXPERT, Finding, places
from xraygpt_edge.records import Failure
from xraygpt_edge.trust import claims

rouge_score = pytest.importorskip("rouge_score", reason="the evaluate extra is not installed")

A = Finding("a", ("alpha",))
B = Finding("b", ("beta",))
TWO = (A, B)


def folder(path: Path, texts: list[str], **more) -> Path:
    records = [record(answer(text, input=source(str(n).encode())), f"{n}.dcm", **more) for n, text in enumerate(texts)]
    return write_batch(path, records)


def references(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"path": f"{n}.dcm", "text": text}) + "\n" for n, text in enumerate(texts)))
    return path


def measured(tmp_path: Path, said: list[str], true: list[str], options: Options | None = None, **more):
    texts = keyed.read(references(tmp_path / "references.jsonl", true), "E-EVA-001")
    found = pairs.read(folder(tmp_path / "records", said, **more), texts)
    return evaluate(found, options or Options())


def score(found, name: str):
    return next(one for one in found.scores if one.name == name)


def test_rouge_is_what_counting_by_hand_gives(tmp_path: Path) -> None:
    found = measured(tmp_path, ["the heart is normal", "x y"], ["the heart is large", "a b"])
    # 3 of 4 words, 2 of 3 pairs of words, a common sequence of 3; the second answer shares nothing.
    assert score(found, "rouge1").answers.value == pytest.approx(0.75 / 2)
    assert score(found, "rouge2").answers.value == pytest.approx(2 / 3 / 2)
    assert score(found, "rougeL").answers.value == pytest.approx(0.75 / 2)
    assert score(found, "rouge1").exchanged.value == 0


def test_bleu_is_that_of_the_whole_set_as_sacrebleu_gives_it(tmp_path: Path) -> None:
    from sacrebleu.metrics.bleu import BLEU

    said = ["The heart is of normal size. The lungs are clear.", "There is a small left effusion on the film."]
    true = ["The heart is of normal size and the lungs are clear.", "There is a small left effusion."]
    found = measured(tmp_path, said, true)
    assert score(found, "bleu").answers.value == pytest.approx(BLEU().corpus_score(said, [true]).score / 100)


def test_beside_each_score_stand_the_texts_that_do_not_come_from_the_film(tmp_path: Path) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    true = ["The heart is enlarged.", "The lungs are clear."]
    found = measured(tmp_path, list(true), true)
    scorer = RougeScorer(["rouge1"])
    crossed = np.mean(
        [scorer.score(true[0], true[1])["rouge1"].fmeasure, scorer.score(true[1], true[0])["rouge1"].fmeasure]
    )
    normal = np.mean([scorer.score(text, NORMAL_REPORT)["rouge1"].fmeasure for text in true])
    one = score(found, "rouge1")
    assert (one.answers.value, one.exchanged.value, one.normal.value) == (
        1.0,
        pytest.approx(crossed),
        pytest.approx(normal),
    )
    assert found.normal_report == NORMAL_REPORT


def test_exchanged_answers_are_never_about_the_own_study(tmp_path: Path) -> None:
    records = [
        record(answer(f"{n}", input=source(str(n).encode(), study=f"study {n // 2}")), f"{n}.dcm") for n in range(20)
    ]
    texts = keyed.read(references(tmp_path / "r.jsonl", ["x"] * 20), "E-EVA-001")
    found = pairs.read(write_batch(tmp_path / "records", records), texts).pairs
    others = exchanged(found, [pair.answer for pair in found])
    assert all(int(other) // 2 != int(pair.answer) // 2 for other, pair in zip(others, found, strict=True))
    assert len({int(other) // 2 for other in others}) == 10


def test_no_exchange_is_made_up_where_there_is_one_study(tmp_path: Path) -> None:
    found = measured(tmp_path, ["The lungs are clear."], ["The lungs are clear."])
    assert score(found, "rouge1").exchanged is None


SAID = ["alpha", "alpha", "no alpha", "beta", "possible beta", ""]
TRUE = ["alpha", "no alpha", "alpha", "beta", "beta", "possible beta"]


def reports(texts: list[str]):
    return [claims(text, TWO) for text in texts]


@pytest.mark.parametrize(
    ("uncertain", "expected"),
    [
        # a: 1 hit, 1 false alarm, 1 miss. b: 1 hit, 0 false alarms, 1 miss; as present 2 hits and 1 miss.
        ("absent", {"a": (2, 0.5, 0.5, 0.5), "b": (2, 1.0, 0.5, 2 / 3), "macro": (0.5 + 2 / 3) / 2, "micro": 4 / 7}),
        ("present", {"a": (2, 0.5, 0.5, 0.5), "b": (3, 1.0, 2 / 3, 0.8), "macro": 0.65, "micro": 6 / 9}),
    ],
)
def test_the_table_of_findings_is_what_counting_by_hand_gives(uncertain: str, expected: dict) -> None:
    said, true = stated(reports(SAID), TWO), stated(reports(TRUE), TWO)
    table = finding_table(said, true, places(TWO), Draws.of([str(n) for n in range(6)]), uncertain)
    for row in table.rows:
        assert (row.n, row.precision.value, row.recall.value, row.f1.value) == pytest.approx(expected[row.name])
    assert (table.macro.value, table.micro.value) == pytest.approx((expected["macro"], expected["micro"]))
    assert table.macro_five is None


def test_a_finding_that_nobody_names_has_no_f1_and_does_not_lower_the_mean() -> None:
    said = stated(reports(["alpha", "alpha"]), TWO)
    table = finding_table(said, said, places(TWO), Draws.of(["1", "2"]), "absent")
    assert table.rows[1].f1 == Figure(None)
    assert table.macro.value == 1.0


def test_the_five_of_the_competition_have_means_of_their_own() -> None:
    texts = ["Cardiomegaly.", "Pleural effusion.", "Fracture."]
    said = stated([claims(text, CHEXPERT) for text in texts], CHEXPERT)
    true = stated([claims(text, CHEXPERT) for text in [*texts[:2], "Clear."]], CHEXPERT)
    table = finding_table(said, true, places(CHEXPERT), Draws.of(["1", "2", "3"]), "absent")
    assert (table.macro_five.value, table.micro_five.value) == (1.0, 1.0)
    assert table.micro.value < 1.0


def test_no_finding_is_what_is_left_when_nothing_is_found() -> None:
    texts = ["The lungs are clear.", "There may be an effusion.", "A pacemaker.", "Cardiomegaly."]
    table = stated([claims(text, CHEXPERT) for text in texts], CHEXPERT)
    assert table[:, 0].tolist() == [1, 0, 1, 0]


def test_labels_replace_what_the_references_state_and_what_has_none_is_not_counted() -> None:
    truth = labelled([{"a": 1}, {"a": 0, "b": -1}, {}], TWO)
    said = stated(reports(["alpha", "alpha beta", "alpha"]), TWO)
    agreement = Agreement.between(said, truth, "present")
    assert agreement.hits.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert agreement.false_alarms.tolist() == [[0, 0], [1, 0], [0, 0]]


def test_pairs_of_a_study_are_drawn_together() -> None:
    values = np.array([0.0, 0.0, 1.0, 1.0])
    together = Draws.of(["x", "x", "y", "y"]).figure(mean_of(values))
    alone = Draws.of(["a", "b", "c", "d"]).figure(mean_of(values))
    assert together.value == alone.value == 0.5
    assert (together.low, together.high) == (0.0, 1.0)
    assert Draws.of(["x", "x", "y", "y"]).figure(mean_of(values)) == together
    wide = Draws.of([str(n) for n in range(400)]).figure(mean_of(np.tile(values, 100)))
    assert 0.5 - wide.low == pytest.approx(1.96 * 0.5 / 20, abs=0.01)


def test_a_share_of_none_is_no_proof_that_there_is_none() -> None:
    assert share(Figure(0.0, 0.0, 0.0), 100) == Figure(0.0, 0.0, pytest.approx(0.0362, abs=1e-4))
    assert share(Figure(1.0, 1.0, 1.0), 100) == Figure(1.0, pytest.approx(0.9638, abs=1e-4), 1.0)
    assert share(Figure(0.5, 0.4, 0.6), 100) == Figure(0.5, 0.4, 0.6)
    assert share(Figure(None), 0) == Figure(None)


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    random = np.random.default_rng(0)
    hard = random.random(200)
    better, worse = hard + 0.05, hard
    draws = Draws.of([str(n) for n in range(200)])
    (found,) = draws.differences(mean_of(better), mean_of(worse))
    assert found.figure.value == pytest.approx(0.05)
    assert found.figure.low > 0.049
    assert found.p < 0.01
    (none,) = draws.differences(mean_of(worse), mean_of(worse))
    assert (none.figure.value, none.p) == (0.0, 1.0)


def test_p_values_are_corrected_by_holm() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_sides_and_marks_are_counted(tmp_path: Path) -> None:
    said = ["Left effusion. No effusion.", "Right effusion unchanged.", "Right effusion.", "Effusion."]
    true = ["Left effusion.", "Left effusion.", "Bilateral effusions.", "Right effusion."]
    found = measured(tmp_path, said, true)
    assert (found.sides.n, found.sides.same.value, found.sides.opposite.value) == (
        3,
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
    )
    marks = {mark.id: (mark.answers.value, mark.references.value) for mark in found.marks}
    assert marks["W-TXT-001"] == (0.25, 0.0)
    assert marks["W-TXT-002"] == (0.25, 0.0)


def test_small_groups_are_too_few_and_a_group_that_is_worse_is_found(tmp_path: Path) -> None:
    said = ["Cardiomegaly."] * 40 + ["The heart is normal."] * 35 + ["Cardiomegaly."] * 5 + ["Cardiomegaly."] * 3
    true = ["Cardiomegaly."] * 83
    rows = [[f"{n}.dcm", "F" if n < 40 else "M" if n < 80 else "X"] for n in range(83)]
    with (tmp_path / "strata.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "sex"], *rows])
    groups = keyed.read(tmp_path / "strata.csv", "E-EVA-004")
    found = measured(tmp_path, said, true, Options(strata=groups))
    women, men, few = found.strata
    assert (women.value, women.n, women.f1.value) == ("F", 40, 1.0)
    assert (women.gap.value > 0.5, women.p < 0.01) == (True, True)
    assert men.gap.high < 0
    assert (few.value, few.n, few.f1, few.p) == ("X", 3, None, None)


def test_a_column_of_names_is_no_way_to_divide_radiographs(tmp_path: Path) -> None:
    groups = keyed.Keyed({}, {f"{n}.dcm": {"path": f"{n}.dcm", "name": f"DOE^{n}"} for n in range(60)})
    with pytest.raises(UsageError, match="more than 50 groups") as caught:
        measured(tmp_path, ["Cardiomegaly."] * 60, ["Cardiomegaly."] * 60, Options(strata=groups))
    assert "DOE" not in caught.value.message


def test_two_sets_of_records_are_compared_on_what_both_answered(tmp_path: Path) -> None:
    true = ["Cardiomegaly.", "Left effusion.", "The lungs are clear."]
    texts = keyed.read(references(tmp_path / "r.jsonl", true), "E-EVA-001")
    good = pairs.read(folder(tmp_path / "one", true), texts)
    bad = pairs.read(folder(tmp_path / "two", ["Fracture.", "Fracture."]), texts)
    found = evaluate(good, Options(), bad)
    assert found.n_compared == 2
    differences = {one.name: one.difference for one in found.compared}
    assert differences["rouge1"].figure.value == 1.0
    assert differences["micro F1, uncertain as present"].figure.value == 1.0
    assert differences["contradictions"].figure.value == 0.0
    with pytest.raises(UsageError, match="no radiograph in common"):
        evaluate(good, Options(), pairs.Pairs((), 0, 0, is_demo=False))


def test_the_last_attempt_counts_and_failures_are_left_out(tmp_path: Path) -> None:
    failed = Failure("E-DCM-021", "broken.", 4)
    records = [
        record(answer("old"), "0.dcm"),
        record(answer("new"), "0.dcm", attempt=2),
        record(failed, "1.dcm"),
        record(answer("nothing to hold it against"), "2.dcm"),
    ]
    texts = keyed.read(references(tmp_path / "r.jsonl", ["new", "x"]), "E-EVA-001")
    found = pairs.read(write_batch(tmp_path / "records", records), texts)
    assert [pair.answer for pair in found.pairs] == ["new"]
    assert (found.without_reference, found.failed, found.torn_bytes) == (1, 1, 0)


def test_a_record_that_a_crash_has_cut_off_is_left_out_and_said_so(tmp_path: Path) -> None:
    records, texts = (
        folder(tmp_path / "records", ["Cardiomegaly."]),
        references(tmp_path / "r.jsonl", ["Cardiomegaly."]),
    )
    with (records / "records.jsonl").open("a") as stream:
        stream.write('{"schema": 1, "sta')
    shown = CliRunner().invoke(app, ["evaluate", str(records), "--references", str(texts)])
    assert shown.exit_code == 0, shown.output
    assert "a last record that is not whole" in shown.output


def test_records_of_several_questions_need_one_to_be_named(tmp_path: Path) -> None:
    records = [record(answer("x", question=q), "0.dcm", question=q) for q in ("findings?", "impression?")]
    texts = keyed.read(references(tmp_path / "r.jsonl", ["x"]), "E-EVA-001")
    write_batch(tmp_path / "records", records)
    with pytest.raises(UsageError, match="several questions"):
        pairs.read(tmp_path / "records", texts)
    assert len(pairs.read(tmp_path / "records", texts, "findings?").pairs) == 1


def test_the_paper_cleans_answers_and_not_references(tmp_path: Path) -> None:
    said, true = ["Impression: <Img>clear#\nlungs___"], ["Impression: clear lungs"]
    paper = measured(tmp_path, said, true, Options(protocol="paper"))
    assert pairs.cleaned(said[0], "paper") == " clearlungs"
    assert score(paper, "rouge1").answers.value == 0.0
    assert "protocol paper" in paper.signature
    assert "template demo" in paper.signature
    assert "temperature 0.0" in paper.signature


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("r.csv", "name,text\n1,x\n", 1),
        ("r.csv", "id,text\na,x\na,y\n", 3),
        ("r.csv", "id,text\na\n", 2),
        ("r.csv", "id,text\n,x\n", 2),
        ("r.jsonl", '{"id": "a", "text": "x"}\n{\n', 2),
        ("r.jsonl", '["a"]\n', 1),
        ("r.jsonl", '{"text": "x"}\n', 1),
    ],
)
def test_a_reference_that_cannot_be_used_is_named_by_its_line_alone(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError) as caught:
        keyed.read(tmp_path / name, "E-EVA-001")
    assert f"line {line}" in caught.value.why


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b'id,text\n"a', None])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "r.csv").write_bytes(data)
    with pytest.raises(UsageError) as caught:
        keyed.read(tmp_path / "r.csv", "E-EVA-001")
    assert caught.value.error_id == "E-EVA-001"


def test_where_nothing_fits_nothing_is_measured(tmp_path: Path) -> None:
    texts = keyed.read(references(tmp_path / "r.jsonl", ["x"]), "E-EVA-001")
    write_batch(tmp_path / "records", [record(answer("x"), "other.dcm")])
    with pytest.raises(UsageError) as caught:
        pairs.read(tmp_path / "records", texts)
    assert caught.value.error_id == "E-EVA-002"


def test_without_the_libraries_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(RuntimeMissing) as caught:
        measured(tmp_path, ["x"], ["x"])
    assert caught.value.code == 14
    assert "xraygpt-edge[evaluate]" in caught.value.message


def test_the_command_prints_tables_one_object_and_the_pairs(tmp_path: Path) -> None:
    true = ["Cardiomegaly.", "Left effusion."]
    records, texts = folder(tmp_path / "records", true), references(tmp_path / "r.jsonl", true)
    command = ["evaluate", str(records), "--references", str(texts), "--against", str(records)]
    shown = CliRunner().invoke(app, [*command, "--pairs-out", str(tmp_path / "pairs.json")])
    assert shown.exit_code == 0, shown.output
    for words in (
        "always normal",
        "rougeL",
        "macro",
        "W-TXT-002",
        "rouge-score 0.1",
        "not a medical device",
        "DEMONSTRATION",
    ):
        assert words in shown.output
    assert json.loads((tmp_path / "pairs.json").read_text()) == {"references": true, "hypotheses": true}
    printed = CliRunner().invoke(app, [*command, "--json"])
    found = json.loads(printed.stdout, parse_constant=pytest.fail)
    assert (found["schema"], found["n"], found["n_compared"]) == (1, 2, 2)
    assert found["scores"][0]["answers"]["value"] == 1.0


def test_the_demonstrations_own_table_is_taken_from_its_bundle(tmp_path: Path, demo: Path) -> None:
    true = ["A small right pleural effusion is noted.", "The lungs are clear."]
    records, texts = folder(tmp_path / "records", true), references(tmp_path / "r.jsonl", true)
    (tmp_path / "labels.csv").write_text("id,finding,label\n0.dcm,effusion right,1\n1.dcm,effusion right,0\n")
    command = ["evaluate", str(records), "--references", str(texts), "--bundle", str(demo), "--json"]
    printed = CliRunner().invoke(app, [*command, "--labels", str(tmp_path / "labels.csv")])
    rows = {row["name"]: row for row in json.loads(printed.stdout)["findings"][0]["rows"]}
    assert len(rows) == 13
    assert (rows["effusion right"]["n"], rows["effusion right"]["f1"]["value"]) == (1, 1.0)
    assert rows["cardiomegaly"]["f1"]["value"] is None


def test_what_records_say_about_trust_is_held_against_the_truth(tmp_path: Path) -> None:
    def trust(z: float, p: float, support: str) -> dict:
        claim = {"finding": "cardiomegaly", "sides": [], "zone": "", "polarity": "present"}
        sentence = {
            "start": 0, "end": 13, "entropy": 0.1, "support": support, "score": 0.5, "reliance_nats": None,
            "reliance": None, "flags": [], "claims": [claim],
        }  # fmt: skip
        finding = {"name": "cardiomegaly", "log_odds": z, "mass": 1.0, "said": "present", "p": p, "verdict": None}
        film = {"distance": 1.0, "threshold": 2.0, "like": True}
        return {
            "profile": "ab", "level": "fast", "film": film, "sentences": [sentence], "findings": [finding],
            "unsaid": [], "warnings": [], "maps": None, "seconds": 0.0, "failed": None,
        }  # fmt: skip

    told = [trust(3, 0.9, "agrees"), trust(2, 0.8, "agrees"), trust(-2, 0.3, "doubtful"), trust(2.5, 0.7, "agrees")]
    records = [
        record(answer("Cardiomegaly.", input=source(str(n).encode())), f"{n}.dcm", trust=one)
        for n, one in enumerate(told)
    ]
    true = ["Cardiomegaly.", "Cardiomegaly.", "The heart is normal.", "The heart is normal."]
    texts = keyed.read(references(tmp_path / "r.jsonl", true), "E-EVA-001")
    found = evaluate(pairs.read(write_batch(tmp_path / "records", records), texts), Options()).trust
    assert (found.n, found.unlike, found.auc.value) == (4, 0, 0.75)
    # Bins: 0.9 and 0.8 are right, 0.7 and 0.3 are absent.
    assert found.calibration_error.value == pytest.approx((0.1 + 0.2 + 0.3 + 0.7) / 4)
    assert {risk.coverage: risk.error.value for risk in found.risk_coverage}[1.0] == 0.25
    assert {one.support: (one.n, one.wrong) for one in found.sentences}["doubtful"] == (1, 1)
