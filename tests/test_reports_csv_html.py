"""Nothing in a table or a page can act, whatever a file name, a tag or the model says."""

from __future__ import annotations

import csv
import os
import pty
import re
import shutil
import subprocess
import sys
import unicodedata
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from tests import payloads
from tests.sample_batch import answer, record, source, write_batch
from xraygpt_edge.cli.app import run
from xraygpt_edge.records import Failure, ReadWarning

RUNS = "document.title='ACTIVE'"
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def hostile_batch(folder: Path, texts: list[str]) -> Path:
    """Each text as a file name, as the model's words, as a question, a warning and a failure's message."""
    lines = []
    for n, text in enumerate(texts):
        warned = source(str(n).encode(), warnings=(ReadWarning("W-DCM-001", text),), photometric=text)
        lines.append(record(answer(text, question=text, input=warned), text, question=text, id=f"{n}{text}"))
        lines.append(record(Failure("E-DCM-001", text, 4), f"x{n}{text}", question=text))
    return write_batch(folder, lines, {"schema": 1, "found": 2 * len(texts), "errors": dict.fromkeys(texts, 1)})


def written(batch: Path, name: str, *more: str) -> Path:
    assert run(["report", str(batch), "--to", name, "--quiet", *more]) == 0
    return batch / f"report.{name}"


def filled() -> list[str]:
    return [text.format(RUNS) for text in payloads.HTML]


def test_there_are_forty_of_each() -> None:
    assert [len(set(each)) for each in (payloads.HTML, payloads.FORMULAS, payloads.TERMINAL)] == [40, 40, 40]


def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path) -> None:
    batch = hostile_batch(tmp_path / "b", [*payloads.FORMULAS, *payloads.TERMINAL, *filled()])
    with written(batch, "csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert len(rows) == 1 + 2 * 120
    for cell in (cell for row in rows for cell in row):
        for start in (cell, *cell.split(";")):  # a computer set to semicolons would begin a cell there
            first = unicodedata.normalize("NFKC", start.strip())[:1]
            assert first not in {"=", "+", "-", "@"}, cell
        assert not any(unicodedata.category(c) in {"Cc", "Cf"} for c in cell)


def test_every_field_of_the_csv_is_quoted(tmp_path: Path) -> None:
    text = written(hostile_batch(tmp_path / "b", list(payloads.FORMULAS)), "csv").read_bytes().decode("utf-8-sig")
    for line in text.removesuffix("\r\n").split("\r\n"):
        assert re.fullmatch(r'"(?:[^"]|"")*"(?:,"(?:[^"]|"")*")*', line)


def test_plain_words_stay_as_they_are_in_the_csv(tmp_path: Path) -> None:
    words = "Heart size is normal; no effusion. T-spine: mild change (2-3 mm), naïve “quotes” – done."
    with written(write_batch(tmp_path / "b", [record(answer(words), "a.dcm")]), "csv").open(encoding="utf-8-sig") as f:
        assert next(csv.DictReader(f))["text"] == words


class Elements(HTMLParser):
    """Counts elements and attribute names, and keeps what is between script tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: Counter[str] = Counter()
        self.values: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.seen.update(f"{tag}@{name}" for name, _ in attrs)
        self.values += [value or "" for name, value in attrs if name in {"href", "src", "action", "data"}]


def elements(page: Path) -> Elements:
    parser = Elements()
    parser.feed(page.read_text("utf-8"))
    return parser


def test_no_payload_adds_an_element_or_an_attribute_to_the_page(tmp_path: Path) -> None:
    texts = [*filled(), *payloads.FORMULAS, *payloads.TERMINAL]
    harmless = [f"harmless {n}" for n in range(len(texts))]
    hostile = elements(written(hostile_batch(tmp_path / "hostile", texts), "html"))
    plain = elements(written(hostile_batch(tmp_path / "plain", harmless), "html"))
    assert hostile.seen == plain.seen
    assert hostile.values == ["#radiographs"]


def test_the_page_holds_no_invisible_character_and_no_template_is_run(tmp_path: Path) -> None:
    page = written(hostile_batch(tmp_path / "b", [*filled(), *payloads.TERMINAL]), "html").read_text("utf-8")
    assert not {c for c in page if unicodedata.category(c) in {"Cc", "Cf"}} - {"\n"}
    assert "{{ 7*7 }}" in page


def test_the_page_needs_nothing_from_outside_and_forbids_it(tmp_path: Path) -> None:
    page = written(write_batch(tmp_path / "b", [record(answer(), "a.dcm")]), "html").read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page).group(1)
    assert "default-src &#39;none&#39;" in policy
    assert "unsafe" not in policy
    assert "img-src" not in policy
    assert not re.search(r"(?:src|href)=\"?(?:https?:)?//|@import|url\(", page)


def test_failures_come_before_findings_and_the_demonstration_is_named(tmp_path: Path) -> None:
    lines = [record(answer("Clear lungs."), "a.dcm"), record(Failure("E-DCM-005", "cut short", 4), "b.dcm")]
    page = written(write_batch(tmp_path / "b", lines), "html").read_text("utf-8")
    body = page[page.index("<body>") :]
    assert body.index("DEMONSTRATION") < body.index("cut short") < body.index("Clear lungs.")
    assert "The batch has not finished" in page


def test_the_counts_are_the_summarys_and_add_up_without_one(tmp_path: Path) -> None:
    lines = [record(answer(question=q), "a.dcm", question=q) for q in ("1", "2")]
    lines += [record(Failure("E-DCM-005", "x", 4), "b.dcm", question=q) for q in ("1", "2")]
    counts = [("f", None, ["2", "1", "1", "0"])]
    counts += [("s", {"schema": 1, "found": 9, "ok": 5, "failed": 1, "skipped": 3}, ["9", "5", "1", "3"])]
    for name, summary, expected in counts:
        page = written(write_batch(tmp_path / name, lines, summary), "html").read_text("utf-8")
        assert re.findall(r"<dt>(?:Found|Answered|Failed|Skipped)</dt><dd>(\d+)", page) == expected


def test_pictures_are_in_the_page_only_when_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    Image.effect_noise((300, 260), 60).save(folder / "a.png")
    data = (folder / "a.png").read_bytes()
    lines = [record(answer(input=source(data, "png")), "a.png"), record(answer(input=source(b"other", "png")), "b.png")]
    (folder / "b.png").write_bytes(data)  # changed since the batch
    batch = write_batch(tmp_path / "b", lines)
    assert "data:image" not in written(batch, "html").read_text("utf-8")
    assert run(["report", str(batch), "--to", "html", "--thumbnails"]) == 2
    assert run(["report", str(batch), "--to", "html", "--thumbnails", "--images", str(folder)]) == 3
    page = (batch / "report.html").read_text("utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 1
    assert "img-src data:" in page


def chromium(*arguments: str, profile: Path) -> str:
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    flags += ["--disable-background-networking", "--disable-component-update", f"--user-data-dir={profile}"]
    done = subprocess.run([CHROMIUM, *flags, *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@needs_chromium
def test_no_payload_runs_in_a_browser_but_the_pages_own_script_does(tmp_path: Path) -> None:
    page = written(hostile_batch(tmp_path / "b", filled()), "html")
    shown = chromium("--virtual-time-budget=5000", "--dump-dom", page.as_uri(), profile=tmp_path / "profile")
    assert re.search(r"<title>(.*?)</title>", shown).group(1) == "Chest radiographs: draft findings"
    assert ">40 of 40 shown</output>" in shown


@needs_chromium
def test_the_browser_refuses_a_script_that_is_not_the_pages_own(tmp_path: Path) -> None:
    page = written(write_batch(tmp_path / "b", [record(answer(), "a.dcm")]), "html")
    text = page.read_text("utf-8").replace("</main>", f"<script>{RUNS}</script><img src=x onerror={RUNS}></main>")
    page.write_text(text, "utf-8")
    assert "<title>ACTIVE" not in chromium("--dump-dom", page.as_uri(), profile=tmp_path / "profile")


def test_the_terminal_gets_nothing_that_it_would_obey(tmp_path: Path) -> None:
    names = [f"{n}{text}" for n, text in enumerate([*payloads.TERMINAL, *filled()]) if "\0" not in text]
    lines = [record(answer(text, input=source(str(n).encode())), text, id=text) for n, text in enumerate(names)]
    batch = write_batch(tmp_path / "b", lines)
    parent, child = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "xraygpt_edge",
        "report",
        str(batch),
        "--to",
        "dicom-sr",
        "--images",
        str(tmp_path),
    ]
    process = subprocess.Popen(command, stdout=child, stderr=child)
    os.close(child)
    seen = b""
    try:
        while block := os.read(parent, 65536):
            seen += block
    except OSError:  # the other end is closed
        pass
    os.close(parent)
    assert process.wait() == 3
    text = seen.decode("utf-8").replace("\r\n", "\n")
    assert text.count("E-REP-010") == len(names)
    assert not {c for c in text if unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"}} - {"\n"}
