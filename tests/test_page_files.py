"""The page's own files: a fixed list, as published where they are not ours, under a policy that lets no text act."""

from __future__ import annotations

import json
import re
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from xraygpt_edge.records import NOTICE
from xraygpt_edge.serve import page_files
from xraygpt_edge.serve.guard import OPEN

IMPORT = re.compile(r"""(?:from |import\()"(\.[^"]+)\"""")


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "xraygpt_edge" / "serve" / "page"


def test_what_is_not_ours_is_as_it_was_published_and_has_its_licence(folder: Path) -> None:
    vendored = page_files.vendored()
    assert {each.file for each in vendored} == {path.name for path in (folder / "vendor").glob("*.mjs")}
    for each in vendored:
        assert sha256((folder / "vendor" / each.file).read_bytes()).hexdigest() == each.sha256
        assert (folder / "vendor" / each.license_file).stat().st_size > 1000


def test_the_list_holds_every_file_of_the_page_and_no_other(folder: Path) -> None:
    kinds = {".js", ".mjs", ".css", ".svg"}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in kinds}
    assert set(page_files.NAMES) == there
    assert {("GET", address) for address in page_files.ADDRESSES} <= OPEN


def test_every_import_leads_to_a_file_of_the_list_or_of_the_import_map(folder: Path) -> None:
    named = json.loads(page_files.IMPORT_MAP.search((folder / "index.html").read_text("utf-8"))[1])["imports"]
    assert set(named.values()) == {f"/page/vendor/{each.file}" for each in page_files.vendored()}
    for file in folder.glob("*.js"):
        wanted = {name.removeprefix("./") for name in IMPORT.findall(file.read_text("utf-8"))}
        assert wanted <= set(page_files.NAMES), file.name


def test_the_policy_lets_no_text_act_and_nothing_leave() -> None:
    policy = dict(rule.partition(" ")[::2] for rule in page_files.policy().split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert policy["trusted-types"] == "'none'"
    assert {policy[name] for name in ("style-src", "img-src", "connect-src")} == {"'self'"}
    assert re.fullmatch(r"'self' 'sha256-[A-Za-z0-9+/]{43}='", policy["script-src"])


def test_the_page_has_the_notice_of_the_program(folder: Path) -> None:
    """It is there before the server has said anything."""
    joined = re.sub(r'"\s*\+\s*"', "", (folder / "words.js").read_text("utf-8"))
    assert NOTICE in joined


def test_no_script_reads_text_as_html_or_keeps_anything(folder: Path) -> None:
    acts = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|dangerouslySet"
    forbidden = re.compile(rf"{acts}|localStorage|indexedDB|caches\.|document\.cookie|serviceWorker")
    found = {file.name: forbidden.findall(file.read_text("utf-8")) for file in folder.glob("*.js")}
    assert {name: words for name, words in found.items() if words} == {}


def test_git_and_so_the_wheel_leaves_out_no_file_of_the_page(root: Path, folder: Path) -> None:
    paths = [str(path) for path in folder.rglob("*") if path.is_file()]
    done = subprocess.run(["git", "-C", root, "check-ignore", *paths], capture_output=True, text=True)
    assert done.stdout == ""


def test_every_word_of_the_page_stands_in_one_file(folder: Path) -> None:
    """Text between tags is an expression, never a word; so are the names that a screen reader says."""
    spoken = re.compile(r"(?:aria-label|title|placeholder)=\"|>\s*[A-Z][a-z]+ [a-z]+")
    for file in folder.glob("*.js"):
        if file.name == "words.js":
            continue
        templates = "".join(re.findall(r"html`(.*?)`;", file.read_text("utf-8"), re.DOTALL))
        assert spoken.findall(templates) == [], file.name
