"""Rewriting by a language model, and the check of what comes back: planted faults, faithful rewordings, broken "
"models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.demo.findings import Case, sample_case
from export.demo.report_folder import write_folder
from export.demo.reports import sample_report
from export.demo.rewriting import rewritten
from export.demo.table import FINDINGS
from export.demo.texts import Finding, findings_of, sentence_of
from export.demo.wording import ABSENT
from tests.tiny import write_bundle
from xraygpt_edge.cli.app import run as run_command
from xraygpt_edge.errors import UnusableOutput
from xraygpt_edge.findings import CHEXPERT
from xraygpt_edge.generation.answer import Generation
from xraygpt_edge.generation.request import Request
from xraygpt_edge.summarize import records
from xraygpt_edge.summarize.check import differences
from xraygpt_edge.summarize.records import Failed, Summarized
from xraygpt_edge.summarize.rewrite import Rewriter, require_place
from xraygpt_edge.summarize.rules import clean
from xraygpt_edge.summarize.run import Job, run
from xraygpt_edge.summarize.sources import Source

GIVEN = "There is a small left pleural effusion. The lungs are clear. No pneumothorax is seen."
REPORT = f"FINDINGS: {GIVEN} The heart is normal in size.\n\nIMPRESSION: A left effusion.\n"
Plant = Callable[[list[Finding], np.random.Generator], list[Finding] | None]

DENIALS = {organ: [text for text in texts if "costophrenic" not in text] for organ, texts in ABSENT.items()}
"""Clear costophrenic angles say nothing of a pneumothorax: not the same as the others."""


@pytest.mark.parametrize(
    ("rewriting", "changes"),
    [
        (GIVEN, []),
        ("A small effusion lies on the left. Clear lungs without pneumothorax.", []),
        ("The lungs are clear and there is no pneumothorax. A small left pleural effusion is seen.", []),
        ("There is a small right pleural effusion. The lungs are clear. No pneumothorax is seen.", ["turned"]),
        ("There is no pleural effusion. The lungs are clear. No pneumothorax is seen.", ["turned"]),
        ("The lungs are clear. No pneumothorax is seen.", ["lost"]),
        ("There is a left pleural effusion. The lungs are clear. There is a pneumothorax.", ["turned"]),
        (f"{GIVEN} The heart is enlarged.", ["added"]),
        (f"{GIVEN} The heart is normal in size.", ["added"]),
        (f"{GIVEN} There is a fracture.", ["added"]),
        ("There may be a small left pleural effusion. The lungs are clear. No pneumothorax is seen.", ["turned"]),
        ("There is a small left pleural effusion. The lungs are clear.", ["lost"]),
    ],
)
def test_a_rewriting_that_adds_loses_or_turns_a_claim_is_seen(rewriting: str, changes: list[str]) -> None:
    assert [difference.change for difference in differences(GIVEN, rewriting)] == changes


def worded(found: list[Finding], rng: np.random.Generator) -> str:
    """What is there and what is not, in words of its own each time and in another order."""
    organs = {
        "heart": ("heart",),
        "lungs": ("consolidation", "nodule", "oedema"),
        "pleura": ("effusion", "pneumothorax"),
    }
    texts = [sentence_of(finding, rng) for finding in found]
    texts += [
        str(rng.choice(DENIALS[organ])) for organ, kinds in organs.items() if not any(f.kind in kinds for f in found)
    ]
    return " ".join(texts[number] for number in rng.permutation(len(texts)))


def added(found: list[Finding], rng: np.random.Generator) -> list[Finding] | None:
    """One more finding, of a kind that is not there."""
    others = [f for seed in rng.integers(0, 10**6, 8) for f in findings_of(sample_case(int(seed)))]
    new = [f for f in others if f.kind not in {known.kind for known in found}]
    return [*found, new[0]] if new else None


def lost(found: list[Finding], rng: np.random.Generator) -> list[Finding] | None:
    alone = [f for f in found if f.kind != "device"]
    one = alone[int(rng.integers(len(alone)))] if alone else None
    return [f for f in found if f is not one] if one else None


def turned(found: list[Finding], rng: np.random.Generator) -> list[Finding] | None:
    """A finding on the other side, where it is not already."""
    sided = [f for f in found if f.side and sum(other.kind == f.kind for other in found) == 1]
    if not sided:
        return None
    one = sided[int(rng.integers(len(sided)))]
    other = {"right": "left", "left": "right"}[one.side]
    return [Finding(f.kind, f.label, f.how, other, f.zone) if f is one else f for f in found]


def without_negation(text: str) -> str | None:
    """The same text with one denial turned into a statement."""
    for denial, statement in (
        ("There is no pleural effusion or pneumothorax.", "There is pleural effusion or pneumothorax."),
        ("No effusion and no pneumothorax is seen.", "Effusion and no pneumothorax is seen."),
        ("No pleural effusion or pneumothorax.", "Pleural effusion and pneumothorax."),
        ("There is no cardiomegaly.", "There is cardiomegaly."),
        ("No cardiomegaly is seen.", "Cardiomegaly is seen."),
        ("The heart is not enlarged.", "The heart is enlarged."),
        ("No consolidation or nodule is seen.", "Consolidation or nodule is seen."),
    ):
        if denial in text:
            return text.replace(denial, statement)
    return None


def planted(kind: str, case: Case, rng: np.random.Generator) -> tuple[str, str] | None:
    """A text and a rewriting with one fault; None where the case has no room for it."""
    found = findings_of(case)
    if kind == "negation":
        text = worded(found, rng)
        changed = without_negation(text)
        return (text, changed) if changed else None
    plant: Plant = {"added": added, "lost": lost, "side": turned}[kind]
    faulty = plant(found, rng)
    return (worded(found, rng), worded(faulty, rng)) if faulty is not None else None


def test_nearly_every_planted_fault_is_caught_and_hardly_a_faithful_rewording_refused() -> None:
    """400 faults, 100 of each kind, and 400 rewordings, on seeds of their own."""
    rng = np.random.default_rng(22)
    caught = dict.fromkeys(("added", "lost", "side", "negation"), 0)
    for kind in caught:
        pairs = (planted(kind, sample_case(seed), rng) for seed in range(61_000_000, 61_010_000))
        hundred = [pair for pair, _ in zip((p for p in pairs if p), range(100), strict=False)]
        caught[kind] = sum(bool(differences(given, rewriting, FINDINGS)) for given, rewriting in hundred)
    cases = [findings_of(sample_case(seed)) for seed in range(62_000_000, 62_000_400)]
    refused = sum(bool(differences(worded(case, rng), worded(case, rng), FINDINGS)) for case in cases)
    assert sum(caught.values()) / 400 >= 0.97, caught
    assert refused / 400 <= 0.02


class Scripted:
    """Stands for a language model at the scheduler's border: answers what it is told to."""

    def __init__(self, *answers: str | Exception, finish_reason: str = "stop") -> None:
        self.answers, self.prompts, self.finish_reason = list(answers), [], finish_reason

    def __call__(self, request: Request) -> Scripted:
        self.prompts.append(request.prompt.segments[0])
        return self

    def result(self) -> Generation:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Generation(answer, (), self.finish_reason, 0.0, 0.0, 0.0)

    def close(self) -> None:
        """Nothing runs."""


def row(text: str = GIVEN) -> Summarized:
    return Summarized(id="1", path="1.txt", text=text, rules_text=text, report=text, sections=(), removed=())


def test_a_faithful_rewriting_is_taken_and_any_other_leaves_the_rules_text() -> None:
    faithful = "The left side has a small effusion. Clear lungs. No pneumothorax."
    model = Scripted(faithful, "All is well.", UnusableOutput("E-RUN-031"))
    first, second, third = Rewriter(model, "Rewrite: {report} Answer:")([row(), row(), row()])
    assert (first.text, first.rewriting.passed) == (faithful, True)
    assert (second.text, second.rewriting.text, second.rewriting.passed) == (GIVEN, "All is well.", False)
    assert (third.text, third.rewriting.error_id) == (GIVEN, "E-RUN-031")
    assert model.prompts[0] == f"Rewrite: {GIVEN} Answer:"
    assert all(one.mode == "rewrite" for one in (first, second, third))


def test_what_did_not_pass_is_kept_only_on_demand_and_is_marked() -> None:
    (kept,) = Rewriter(Scripted("All is well."), keep_unchecked=True)([row()])
    assert (kept.text, kept.is_unchecked) == ("All is well.", True)
    (kept,) = Rewriter(Scripted(""), keep_unchecked=True)([row()])
    assert kept.text == GIVEN


def test_an_answer_that_did_not_come_to_its_end_does_not_pass() -> None:
    (cut,) = Rewriter(Scripted(GIVEN, finish_reason="length"))([row()])
    assert (cut.text, cut.rewriting.passed) == (GIVEN, False)


def test_rows_without_a_text_are_passed_on_in_their_order_and_cost_no_answer() -> None:
    failed = Failed(id="2", path="2.txt", error_id="E-SUM-010", message="", code=4)
    model = Scripted(GIVEN, GIVEN)
    assert [one.path for one in Rewriter(model, at_once=3)([row(), failed, row()])] == ["1.txt", "2.txt", "1.txt"]
    assert len(model.prompts) == 2


def test_the_share_that_passed_is_in_the_summary(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.txt").write_text(REPORT, "utf-8")
    text = f"{GIVEN} The heart is normal in size. A left effusion."
    model = Scripted(text, "All is well.", text, text)
    totals = run(Job(Source(tmp_path), "rewrite", {"prompt": "x"}), tmp_path / "out", Rewriter(model))
    assert (totals.rewritten, totals.passed, totals.to_dict()["share_passed"]) == (4, 3, 0.75)


def test_a_prompt_says_once_where_the_report_goes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert require_place("a {report} b") == "a {report} b"
    bundle = write_bundle(tmp_path / "tiny")
    (tmp_path / "1.txt").write_text(REPORT, "utf-8")
    words = ["summarize", str(tmp_path / "1.txt"), "--out", str(tmp_path / "out"), "--mode", "rewrite"]
    assert run_command([*words, "--bundle", str(bundle)]) == 2  # its model was not taught to rewrite
    assert "E-SUM-006" in capsys.readouterr().err


def test_the_demonstration_is_taught_to_change_no_claim_and_to_say_each_finding_once() -> None:
    texts = (clean(sample_report(seed).text) for seed in range(65_000_000, 65_000_200))
    for text in [cleaned.text for cleaned in texts if cleaned.reason is None]:
        told = rewritten(text)
        assert differences(text, told, FINDINGS) == (), (text, told)
        sentences = [sentence.rstrip(".") for sentence in told.split(". ")]
        assert len(sentences) == len(set(sentences))
        assert rewritten(told) == told


def test_the_demonstration_rewrites_reports_that_it_never_saw(tmp_path: Path, demo: Path) -> None:
    """Taught on others. Of 300, 78 % pass the check and 59 % are word for word what it was taught: 30 may scatter."""
    write_folder(tmp_path, 30, 66_000_000)
    words = ["summarize", str(tmp_path / "reports"), "--out", str(tmp_path / "out"), "--mode", "rewrite", "--quiet"]
    assert run_command([*words, "--bundle", str(demo)]) == 0
    kept = [one for one in records.rows(tmp_path / "out") if isinstance(one, Summarized)]
    passed = [one for one in kept if one.rewriting.passed]
    assert len(kept) > 20
    assert len(passed) >= 0.6 * len(kept)
    assert all(one.text == one.rules_text for one in kept if not one.rewriting.passed)
    assert all(one.text == one.rewriting.text for one in passed)
    assert sum(one.text == rewritten(one.rules_text) for one in passed) >= 0.4 * len(kept)


UNKNOWN = (
    "There is a displaced fracture of the left clavicle. A catheter ends in the right ventricle. No pacemaker.",
    "Left effusion, right effusion, nodule in the right upper zone, nodule in the left upper zone, and no pacemaker.",
)
"""Findings in words and in company that no report of the demonstration has."""


@pytest.mark.parametrize("findings", UNKNOWN)
def test_what_the_demonstration_cannot_rewrite_is_refused_and_the_rules_text_stays(
    tmp_path: Path, demo: Path, findings: str
) -> None:
    (tmp_path / "1.txt").write_text(f"FINDINGS: {findings}\n\nIMPRESSION: As described above here.\n", "utf-8")
    words = ["summarize", str(tmp_path / "1.txt"), "--out", str(tmp_path / "out"), "--mode", "rewrite", "--quiet"]
    assert run_command([*words, "--bundle", str(demo)]) == 0
    (kept,) = records.rows(tmp_path / "out")
    assert isinstance(kept, Summarized)
    assert not kept.rewriting.passed
    assert kept.text == kept.rules_text


@pytest.mark.parametrize(
    ("given", "rewriting"),
    [
        ("No consolidation or nodule is seen.", "The lungs are clear."),
        ("The lungs are clear.", "There is no nodule."),
        ("Normal pleura without effusion or pneumothorax.", "There is no pleural effusion or pneumothorax."),
        ("The pleural spaces are free of fluid and air.", "There is no pleural effusion or pneumothorax."),
        ("There is no pneumothorax.", "The pleura is normal."),
    ],
)
def test_a_normal_phrase_stands_for_what_such_phrases_deny_together(given: str, rewriting: str) -> None:
    assert differences(given, rewriting, CHEXPERT) == ()


@pytest.mark.parametrize(
    ("given", "rewriting"),
    [
        ("No fracture is seen.", "The lungs are clear."),
        ("The lungs are clear.", "The heart is normal in size."),
        ("There is no pneumothorax.", "The lungs are clear."),
        ("There is a nodule in the right lung.", "The lungs are clear."),
        ("The pleural spaces are clear.", "There is a small right effusion."),
    ],
)
def test_no_normal_phrase_stands_for_another_organ_or_hides_what_is_there(given: str, rewriting: str) -> None:
    assert differences(given, rewriting, CHEXPERT)


def test_a_real_language_model_that_knows_nothing_is_refused_and_the_rules_text_stays(tmp_path: Path) -> None:
    """A bundle with random weights, its own prompt, through the scheduler; then the same file by --language."""
    prompt = {"default": "demo", "stop": ["###"], "templates": {}, "rewrite": "Report: {report} Rewritten:"}
    bundle = write_bundle(tmp_path / "tiny", prompt=prompt)
    (tmp_path / "1.txt").write_text(REPORT, "utf-8")
    head = ["summarize", str(tmp_path / "1.txt"), "--mode", "rewrite", "--max-tokens", "8", "--quiet"]
    assert run_command([*head, "--out", str(tmp_path / "a"), "--bundle", str(bundle)]) == 0
    (tmp_path / "prompt.txt").write_text("{report} =>", "utf-8")
    by_file = ["--language", str(bundle / "language-F32.gguf"), "--prompt", str(tmp_path / "prompt.txt")]
    assert run_command([*head, "--out", str(tmp_path / "b"), *by_file]) == 0
    for folder in ("a", "b"):
        (kept,) = records.rows(tmp_path / folder)
        assert not kept.rewriting.passed
        assert kept.text == kept.rules_text
