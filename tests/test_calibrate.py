"""`calibrate` as a clinic types it: a folder and a table of labels into a profile, and the check of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from export.demo import reference_films
from xraygpt_edge.cli.app import run
from xraygpt_edge.errors import ExitCode, UsageError
from xraygpt_edge.trust import labels, metrics, profile, reference

PLACES = ("effusion right", "oedema")


@pytest.fixture(autouse=True)
def a_dozen_films_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LEAST_FILMS", 12)
    monkeypatch.setattr(metrics, "DRAWS", 20)


def drawn(folder: Path, seeds: Sequence[int]) -> Path:
    folder.mkdir()
    for seed in seeds:
        Image.fromarray(reference_films.clean(seed)).save(folder / f"{seed}.png")
    (folder / "notes.txt").write_text("not a radiograph")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return folder


def labelled(target: Path, seeds: Sequence[int]) -> Path:
    rows = [
        f"{film}.png,{place},{value}"
        for film, known in reference_films.labels(seeds).items()
        for place, value in known.items()
    ]
    target.write_text("\n".join(["id,finding,label", *rows]), "utf-8")
    return target


@pytest.mark.long
def test_a_folder_and_labels_become_a_profile_that_is_checked_on_other_films_alone(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds, others = reference_films.CLEAN_SEEDS[:12], reference_films.CLEAN_SEEDS[100:106]
    films, other_films = drawn(tmp_path / "films", seeds), drawn(tmp_path / "others", others)
    out = tmp_path / "own.npz"
    common = ["--bundle", str(demo), "--threads", "1", "--json"]
    table = ["--labels", str(labelled(tmp_path / "labels.csv", [*seeds, *others]))]
    assert run(["calibrate", str(films), *table, "--out", str(out), "--site", "our ward", *common]) == ExitCode.DONE
    told = {row["what"]: row["figure"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert told["profile"].startswith("12 films of our ward")
    assert told["left out"].startswith("1 films")
    assert "W-TRU-004" in told
    assert out.stat().st_mode & 0o077 == 0

    monkeypatch.setattr(profile, "site_path", lambda _: out)
    assert run(["calibrate", str(other_films), *table, "--check", *common]) == ExitCode.DONE
    told = {row["what"]: row["figure"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert float(told["panel, AUC"].split()[0]) > 0.9
    assert run(["calibrate", str(films), *table, "--check", *common]) == ExitCode.USAGE
    assert "12 of 12 films made it" in capsys.readouterr().err


def test_too_few_films_a_missing_folder_and_no_place_to_write_end_with_one_line(
    demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    films = drawn(tmp_path / "films", reference_films.CLEAN_SEEDS[:3])
    common = ["--bundle", str(demo), "--threads", "1", "--quiet"]
    for arguments, code, words in (
        ([str(films), "--out", str(tmp_path / "a.npz")], ExitCode.USAGE, "E-TRU-003"),
        ([str(tmp_path / "nowhere")], ExitCode.USAGE, "E-BAT-001"),
        ([str(films), "--out", str(tmp_path / "nowhere" / "a.npz")], ExitCode.OUTPUT, "E-OUT-001"),
        ([str(films), "--check", "--out", "a.npz"], ExitCode.USAGE, "E-USE-001"),
    ):
        assert run(["calibrate", *arguments, *common]) == code
        heard = capsys.readouterr().err
        assert words in heard
        assert heard.count("\n") == 1
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1"),
        ("film,finding,label\n", "line 1"),
        ("id,finding,label\na.png,oedema\n", "line 2 has 2"),
        ("id,finding,label\na.png,oedema,1\nSECRET.png,nothing,1\n", "line 3 names no finding"),
        ("id,finding,label\nSECRET.png,oedema,yes\n", "line 2 has a label"),
        ("id,finding,label\nSECRET.png,oedema,1\nSECRET.png,oedema,0\n", "line 3 contradicts"),
        ('id,finding,label\n"a,b', "line 2"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_with_their_line_and_without_a_name(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "labels.csv").write_text(text, "utf-8")
    with pytest.raises(UsageError, match=why) as refused:
        labels.read(tmp_path / "labels.csv", PLACES)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", None])
def test_labels_that_are_no_text_or_are_not_there_are_refused(tmp_path: Path, data: bytes | None) -> None:
    if data:
        (tmp_path / "labels.csv").write_bytes(data)
    with pytest.raises(UsageError, match="cannot be read"):
        labels.read(tmp_path / "labels.csv", PLACES)


def test_labels_of_a_spreadsheet_with_a_byte_order_mark_and_empty_lines_are_read(tmp_path: Path) -> None:
    text = "\ufeffid,finding,label\r\na/b.png, oedema ,1\r\n\r\na/b.png,effusion right,-1\r\n"
    (tmp_path / "labels.csv").write_bytes(text.encode())
    assert labels.read(tmp_path / "labels.csv", PLACES) == {"a/b.png": {"oedema": 1, "effusion right": -1}}
