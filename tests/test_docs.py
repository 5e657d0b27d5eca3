"""What is printed runs as printed, and every page can be found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from xraygpt_edge.cli.app import app

SHELL = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c")


def links(page: Path) -> set[Path]:
    found = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text("utf-8"))
    return {(page.parent / link).resolve() for link in found if "://" not in link}


def reachable(start: Path) -> set[Path]:
    seen, open_pages = set(), {start.resolve()}
    while open_pages:
        page = open_pages.pop()
        seen.add(page)
        open_pages |= links(page) - seen
    return seen


def test_every_page_of_the_docs_can_be_reached_from_the_readme(root: Path) -> None:
    pages = {page.resolve() for page in (root / "docs").rglob("*.md")}
    assert sorted(page.name for page in pages - reachable(root / "README.md")) == []


def test_every_command_has_its_line_in_the_readme(root: Path) -> None:
    readme = (root / "README.md").read_text("utf-8")
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert [name for name in commands if not re.search(rf"^\| `{name}\b", readme, re.MULTILINE)] == []


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(6))
def test_the_python_page_runs_as_it_stands(root: Path, number: int) -> None:
    block = python_blocks(root / "docs" / "python.md")[number]
    done = subprocess.run([sys.executable, "-c", block], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_no_example_of_the_python_page_is_left_out(root: Path) -> None:
    assert len(python_blocks(root / "docs" / "python.md")) == 6


def printed_commands(page: Path) -> list[str]:
    """Lines behind a prompt in the console blocks; those that need a file of the reader's own are not meant."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def type_in(folder: Path, commands: list[str], home: Path) -> str:
    """In a fresh shell, with nothing of this one but the search path."""
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if ".venv" not in part)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "XDG_CACHE", "SSL_", "LANG"))}
    environment = {**kept, "PATH": path, "HOME": str(home)}
    done = subprocess.run([*SHELL, "\n".join(commands)], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_the_readme_prints_is_what_a_reader_types_and_gets(root: Path, tmp_path: Path) -> None:
    if not (root / ".venv" / "bin" / "xraygpt-edge").exists():
        pytest.skip("this checkout was not set up by make")
    commands = [line for line in printed_commands(root / "README.md") if not line.startswith("make")]
    assert len(commands) == 2
    said = type_in(root, commands, tmp_path)
    assert "A small right pleural effusion is noted." in said
    assert "Research software, not a medical device." in said


@pytest.mark.slow
def test_the_readme_runs_as_printed_in_a_fresh_shell_of_a_fresh_clone(root: Path, tmp_path: Path) -> None:
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("no git here")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xraygpt-edge"
    if kept.is_dir():  # the built llama.cpp: minutes that this test is not about
        shutil.copytree(kept, tmp_path / "home" / ".cache" / "xraygpt-edge")
    said = type_in(clone, printed_commands(clone / "README.md"), tmp_path / "home")
    assert said.count("A small right pleural effusion is noted.") == 2
