"""Text from outside: clean UTF-8 or refused before anything is asked; shown on any screen and any code page."""

from __future__ import annotations

import codecs
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.sample_batch import answer, record, write_batch
from tests.test_cli import failed
from tests.tiny import write_bundle
from xraygpt_edge import text
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import UsageError
from xraygpt_edge.records import NOTICE

QUESTION = "Befund für den Thorax: 肺 ≥ 3 cm?"
MARKED = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
UNCLEAN = {
    "Latin-1": "Befund für den Thorax?".encode("latin-1"),
    "a Windows code page": "“Befund”".encode("cp1252"),
    "UTF-8 that was cut": "für".encode()[:2],
    "half a character": b"a\xed\xa0\x80?",
    "UTF-16 without a mark": "Befund?".encode("utf-16-le"),
    "an escape": b"Befund \x1b[2J?",
    "UTF-16 that was cut": codecs.BOM_UTF16_LE + "Befund?".encode("utf-16-le")[:-1],
    "half a character in UTF-16": codecs.BOM_UTF16_LE + "a\ud800?".encode("utf-16-le", "surrogatepass"),
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.png"
    y, x = np.mgrid[0:300, 0:260]
    Image.fromarray(((np.sin(x / 20) + np.cos(y / 30) + 2) * 60).astype(np.uint8)).save(path)
    return path


def run(*words: str | bytes | Path, given: bytes = b"", **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "xraygpt_edge", *words]
    return subprocess.run(command, capture_output=True, input=given, timeout=60, env={**os.environ, **environment})


def refused(done: subprocess.CompletedProcess[bytes], where: str) -> None:
    """One line that names the place; nothing was computed."""
    failed(subprocess.CompletedProcess(done.args, done.returncode, "", done.stderr.decode("ascii")), 2, "E-USE-009")
    assert where.encode() in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_says_what_the_text_is_and_is_taken_off(encoding: str) -> None:
    assert text.decoded(MARKED[encoding] + QUESTION.encode(encoding), "here") == QUESTION


def test_line_ends_of_any_system_become_newlines() -> None:
    assert text.decoded(b"a\r\nb\rc\n\td", "here") == "a\nb\nc\n\td"


@pytest.mark.parametrize("data", UNCLEAN.values(), ids=UNCLEAN.keys())
def test_what_is_not_clean_is_refused_with_its_place(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"here, (byte|character) \d+: ") as caught:
        text.decoded(data, "here")
    assert caught.value.error_id == "E-USE-009"


@given(st.binary(max_size=40))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        found = text.decoded(data, "here")
    except UsageError:
        return
    assert text.require_clean(found.encode().decode(), "here") == found


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=40))
def test_whatever_is_shown_can_be_encoded_and_steers_no_screen(shown: str) -> None:
    for seen in (text.visible(shown), text.one_line(shown)):
        seen.encode("utf-8")
        assert not any(c < " " or "\x7f" <= c <= "\x9f" for c in seen.replace("\n", ""))


def test_a_byte_that_could_not_be_decoded_is_shown_as_that_byte() -> None:
    assert text.visible("f\udcfcr \ud800") == "f\\xfcr \\ud800"


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("ask", "no.png", b"f\xfcr?"), "question"),
        (("ask", "no.png", "a?", "--template", b"\xfc"), "--template"),
        (("batch", ".", "--out", "out", "--question", "a?", "--question", b"f\xfcr?"), "--question"),
        (("chat", "no.png", "--template", b"\xfc"), "--template"),
    ],
)
def test_an_option_that_is_not_clean_is_named_and_nothing_is_begun(
    command: tuple[str | bytes, ...], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run(*command, PYTHONPATH=str(root)), option)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_an_option_is_utf_8_under_any_locale(tiny: Path, film: Path, locale: dict[str, str]) -> None:
    words = ("ask", film, codecs.BOM_UTF8 + QUESTION.encode(), "--bundle", tiny, "--max-tokens", "2", "--json")
    done = run(*words, **locale)
    assert json.loads(done.stdout)["question"] == QUESTION, done.stderr


def test_standard_input_is_decoded_by_its_mark_or_refused(
    tiny: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("ask", film, "-", "--bundle", tiny, "--max-tokens", "2", "--json")
    marked = codecs.BOM_UTF16_LE + f"{QUESTION}\r\n".encode("utf-16-le")
    assert json.loads(here(monkeypatch, *words, given=marked)[1])["question"] == QUESTION
    refused(run(*words[:-1], given=UNCLEAN["Latin-1"]), "standard input, byte 9")


def test_a_line_of_a_chat_that_is_not_clean_is_not_asked_and_the_next_one_is(
    tiny: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("chat", film, "--bundle", tiny, "--max-tokens", "2", "--quiet")
    lines = codecs.BOM_UTF8 + b"one?\nf\xfcr?\n" + "für?\n".encode()
    code, data, said = here(monkeypatch, *words, given=lines)
    assert (code, data.count(NOTICE), said.count("error E-USE-009")) == (0, 2, 1)


def test_a_chat_may_come_from_a_file_of_utf_16(tiny: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("chat", film, "--bundle", tiny, "--max-tokens", "2", "--quiet")
    lines = codecs.BOM_UTF16_LE + "Ȋ one?\r\n肺?\r\n".encode("utf-16-le")
    assert here(monkeypatch, *words, given=lines)[1].count(NOTICE) == 2
    code, data, said = here(monkeypatch, *words, given=lines[:-1])
    assert (code, data, said.count("error E-USE-009")) == (2, "", 1)


def test_python_callers_are_told_as_well(tiny: Path, film: Path) -> None:
    from xraygpt_edge import XrayGPT

    with XrayGPT.load(tiny) as model, pytest.raises(UsageError, match="the question, character 2: U\\+DCFC"):
        model.ask(film, "f\udcfcr?")


@pytest.fixture
def place(film: Path, tmp_path: Path) -> Path:
    """A folder whose name, radiographs, bundle and everything in it is beyond old code pages."""
    place = tmp_path / "肺 ü 😀"
    (place / "films").mkdir(parents=True)
    (place / "films" / "肺.png").write_bytes(film.read_bytes())
    (place / "films" / "leer 肺.dcm").touch()
    manifest = write_bundle(place / "bundle", licence="© 肺 😀", notes=("≥ é 肺 😀",)) / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_bytes()), ensure_ascii=False), "utf-8")
    return place


def test_every_command_prints_any_name_and_any_words_where_only_ascii_can_be_printed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, asking = place / "films" / "肺.png", ("--bundle", place / "bundle", "--max-tokens", "2")
    batch = ("batch", place / "films", "--out", place / "out", *asking, "--question")
    report = ("report", place / "out", "--to")
    for words in (
        ("ask", film, "肺?", *asking),
        ("ask", place / "films" / "leer 肺.dcm", "肺?", *asking, "--json"),
        ("ask", film, "肺?", "--bundle", place / "nichts", "--json"),
        ("ask", film, "肺?", "--肺"),
        ("chat", film, *asking),
        (*batch, "肺?"),
        (*batch, "another?", "--json"),
        (*report, "html"),
        (*report, "csv", "--json"),
        (*report, "fhir", "--images", place / "films"),
        ("inspect", film, "--bundle", place / "bundle", "--save", place / "肺.png"),
        ("bundle", "info", place / "bundle"),
        ("bundle", "info", place / "bundle", "--json"),
        ("bundle", "verify", place / "bundle"),
        ("explain", "肺"),
    ):
        code, data, said = here(monkeypatch, *words, given="肺?\n".encode(), code_page="ascii")
        assert code in {0, 2, 3, 4, 10}, (words, said)
        assert "E-BUG" not in data + said, (words, said)
        if "--json" in words:
            assert json.loads(data)["schema"] in {1, 2}


def here(
    monkeypatch: pytest.MonkeyPatch, *words: str | Path, given: bytes, code_page: str = "utf-8"
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command in this process."""
    streams = {name: io.TextIOWrapper(io.BytesIO(), code_page, "strict") for name in ("stdout", "stderr")}
    with monkeypatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        text.escape_unencodable()
        code = command(list(map(str, words)))
        for stream in streams.values():
            stream.flush()
    data, said = (stream.buffer.getvalue().decode(code_page) for stream in streams.values())
    return code, data, said


@pytest.mark.parametrize("code_page", ["cp1252", "ascii:strict", "cp437"])
def test_the_program_itself_never_fails_to_print(tmp_path: Path, code_page: str) -> None:
    made = write_batch(tmp_path / "肺 ü", [record(answer(), "肺.dcm")])
    done = run("report", made, "--to", "csv", PYTHONIOENCODING=code_page, PYTHONUTF8="0")
    assert (done.returncode, b"\\u80ba" in done.stdout) == (0, True), done.stderr
