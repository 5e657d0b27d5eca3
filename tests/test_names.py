"""A file name is bytes: records and reports find a file again under any locale, whatever its name."""

from __future__ import annotations

import base64
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import in_one_process
from tests.sample_batch import answer, record, write_batch
from tests.tiny import write_bundle
from xraygpt_edge.errors import OutputError
from xraygpt_edge.imaging.images import read_radiograph
from xraygpt_edge.ledger import Records
from xraygpt_edge.reports import FORMATS
from xraygpt_edge.reports.rows import read_batch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names that are bytes, and locales made with localedef")

NAMES = (b"plain.dcm", "Thorax_ü.dcm".encode(), "Thorax_肺.dcm".encode(), b"caf\xe9_\xff.dcm", "é/ü 肺.dcm".encode())
"""The last but one is not UTF-8; the last lies in a folder."""
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF_8 = {"LC_ALL": "C.UTF-8"}
MADE = ("de_DE.ISO-8859-1", "zh_CN.GBK")


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Environments by locale: those that every system has, and old ones where they can be made."""
    found = {"ASCII": ASCII, "UTF-8": UTF_8}
    folder = tmp_path_factory.mktemp("locales")
    for name in MADE if shutil.which("localedef") else ():
        language, charset = name.split(".")
        made = subprocess.run(["localedef", "-i", language, "-f", charset, folder / name], capture_output=True)
        if made.returncode == 0:
            found[name] = {"LOCPATH": str(folder), "LC_ALL": name}
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, phantom: Path) -> Path:
    """Radiographs under every name, and a bundle in a folder that is not ASCII."""
    place = tmp_path_factory.mktemp("names") / "Röntgen"
    write_bundle(place / "bundle")
    for name in NAMES:
        path = place / "films" / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantom, path)
    return place


def batch(environment: dict[str, str], place: Path, out: Path) -> list[dict[str, Any]]:
    """The records after a batch under a locale, each valid JSON in UTF-8."""
    asking = ("--bundle", place / "bundle", "--max-tokens", "2", "--quiet")
    done = in_one_process(environment, ("batch", place / "films", "--out", out, *asking))
    assert (done.returncode, done.stderr) == (0, b""), (environment, done.stderr)
    return [json.loads(line) for line in (out / "records.jsonl").read_text("utf-8").splitlines()]


def names(records: list[dict[str, Any]]) -> set[bytes]:
    """As the records hold them: text in UTF-8, or bytes."""
    return {base64.b64decode(r["path_b64"]) if "path_b64" in r else r["path"].encode() for r in records}


@pytest.mark.long
def test_a_batch_begun_under_one_locale_is_complete_under_every_other(
    place: Path, tmp_path: Path, locales: dict[str, dict[str, str]]
) -> None:
    records = batch(ASCII, place, tmp_path)
    assert names(records) == set(NAMES)
    for other in locales.values():
        assert batch(other, place, tmp_path) == records


@pytest.mark.long
def test_every_report_finds_every_file_under_any_locale_and_says_the_same(
    place: Path, tmp_path: Path, locales: dict[str, dict[str, str]]
) -> None:
    oldest = list(locales.values())[-1]
    batch(oldest, place, tmp_path)
    wanted: dict[str, bytes] = {}
    for environment in (UTF_8, ASCII, oldest):
        done = in_one_process(environment, *reports(tmp_path, place / "films", "html", "csv", "dicom-sr"))
        assert done.returncode == 0, (environment, done.stderr)
        for path in tmp_path.glob("report.*"):
            assert wanted.setdefault(path.name, path.read_bytes()) == path.read_bytes()
    assert len(wanted) == 2
    shown = {row["path"] for row in csv.DictReader(wanted["report.csv"].decode("utf-8-sig").splitlines())}
    assert shown == {"plain.dcm", "Thorax_ü.dcm", "Thorax_肺.dcm", "caf\\xe9_\\xff.dcm", "é/ü 肺.dcm"}


def reports(out: Path, films: Path, *forms: str) -> list[tuple[str | Path, ...]]:
    """A command for each form, with all that is read from the radiographs."""
    more = {"html": ["--thumbnails"]}
    return [("report", out, "--images", films, "--to", form, *more.get(form, [])) for form in forms]


def test_records_with_a_question_that_was_not_utf_8_are_still_reported(tmp_path: Path, phantom: Path) -> None:
    """Earlier versions took such questions."""
    source = read_radiograph(phantom).source
    (tmp_path / "films").mkdir()
    shutil.copy(phantom, tmp_path / "films" / "a.dcm")
    question = "f\udcfcr?"
    row = record(answer(input=source, question=question), "a.dcm", question=question)
    made = write_batch(tmp_path / "b", [row])
    done = in_one_process(UTF_8, *reports(made, tmp_path / "films", *FORMATS))
    assert done.returncode == 0, done.stderr
    assert "f\\xfcr?" in (made / "report.csv").read_text("utf-8-sig")
    assert json.loads((made / "report.json").read_bytes())["records"] == [json.loads(json.dumps(row))]


def test_bytes_of_a_name_that_are_no_base64_are_damage(tmp_path: Path) -> None:
    made = write_batch(tmp_path / "b", [record(answer(), "a.dcm", path_b64="*")] * 2)
    with pytest.raises(OutputError, match="line 1"):
        read_batch(made)


def test_a_hostile_path_of_half_characters_is_only_a_name(tmp_path: Path) -> None:
    (entry,) = Records(write_batch(tmp_path / "b", [{**record(answer(), "a.dcm"), "path": "\ud800/..\udcff"}]))
    assert entry.row.shown_path.isascii()


def test_a_bundle_in_a_folder_whose_name_is_not_utf_8_is_refused(place: Path, phantom: Path) -> None:
    bundle = shutil.copytree(place / "bundle", place / os.fsdecode(b"b\xfc"))
    done = in_one_process(UTF_8, ("ask", phantom, "a?", "--bundle", bundle))
    assert (done.returncode, b"E-BND-025" in done.stderr) == (13, True), done.stderr
