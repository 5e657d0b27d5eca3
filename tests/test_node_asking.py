"""What a node asks: its settings' words, or the bundle's own by their names, with the one reason for all exams."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.node import Node
from tests.test_questions import PLAIN, QUESTIONS
from tests.tiny import TEMPLATES, write_bundle
from xraygpt_edge.batch import DEFAULT_QUESTION
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import UsageError
from xraygpt_edge.node import asking
from xraygpt_edge.node.settings import NodeTable

NAMED = {"default": "demo", "stop": ["###"], "templates": TEMPLATES, "questions": QUESTIONS}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has questions by name."""
    return write_bundle(tmp_path_factory.mktemp("named") / "tiny", prompt=NAMED)


@pytest.fixture(scope="module")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("unnamed") / "tiny")


def asked(bundle: Path, *questions: str, indication: str = "") -> tuple[str, ...]:
    node = NodeTable("XRAYGPT", "data", str(bundle), questions=questions or None, indication=indication)
    return asking.opened(node)[1]


def test_without_a_question_each_bundle_is_asked_what_it_is_asked_everywhere(named: Path, unnamed: Path) -> None:
    assert asked(named) == (PLAIN,)
    assert asked(unnamed) == (DEFAULT_QUESTION,)


def test_a_name_is_the_bundles_own_question_and_the_indication_stands_where_there_is_a_place_for_it(
    named: Path,
) -> None:
    assert asked(named, "@findings", " Is there a mass? ") == (PLAIN, "Is there a mass?")
    both = asked(named, "@findings", "Is there a mass?", "@findings", indication="Screening\nfor work")
    assert both == ("What is found given: Screening for work", "Is there a mass?")


@pytest.mark.parametrize(
    ("question", "indication", "error_id"),
    [
        ("@nothing", "", "E-USE-010"),
        ("@findings-indication", "", "E-USE-011"),
        ("Is there a mass?", "Screening", "E-USE-011"),
        ("@findings", "x" * 501, "E-USE-012"),
    ],
)
def test_what_the_bundle_cannot_be_asked_ends_run_with_2_and_one_line_before_anything_listens(
    named: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], question: str, indication: str, error_id: str
) -> None:
    with pytest.raises(UsageError):
        asked(named, question, indication=indication)
    box = '[[result]]\nname = "box"\nfolder = "box"\n'
    node = Node(tmp_path, named, box, questions=[question], indication=indication)
    assert command(["node", "run", str(node.config)]) == 2
    said = capsys.readouterr()
    assert (said.err.count("\n"), error_id in said.err, "Screening" in said.err) == (1, True, False)
    assert command(["node", "check", str(node.config)]) == 2
    assert "FAIL model: " in capsys.readouterr().out
