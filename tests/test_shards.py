"""`plan`, `batch --list --shard` and `merge` together: many machines leave what one would have left."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.soak.driver import FAKE
from tests.soak.folder import command as driven
from tests.soak.folder import content, finish, keys, start, write_bundle, write_folder
from xraygpt_edge.batch import FilmList, Shard
from xraygpt_edge.batch.films import Listed, write
from xraygpt_edge.batch.shard import share_of
from xraygpt_edge.cli.app import run as command
from xraygpt_edge.errors import InputRefused, OutputError, UsageError
from xraygpt_edge.host import process
from xraygpt_edge.scale import Terms, merge, plan

KINDS = (b"OK", b"OK", b"OK", b"SR", b"BAD")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture(autouse=True)
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model process is replaced: its answer depends on a file's bytes alone."""
    monkeypatch.setattr(process, "COMMAND", FAKE)


def batch(folder: Path, out: Path, bundle: Path, *more: str | Path) -> int:
    return command(["batch", str(folder), "--out", str(out), "--bundle", str(bundle), "--quiet", *map(str, more)])


def films_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_seven_shards_of_a_list_merged_are_what_one_batch_leaves(tmp_path: Path, bundle: Path) -> None:
    folder, films = write_folder(tmp_path / "films", 40, KINDS), tmp_path / "films.list"
    plan(folder, films)
    assert batch(folder, tmp_path / "one", bundle) == 3  # some films are refused
    outs = [tmp_path / "shards" / str(number) for number in range(7)]
    codes = {batch(folder, out, bundle, "--list", films, "--shard", f"{n}/7") for n, out in enumerate(outs)}
    assert codes <= {0, 3}
    merge(outs, tmp_path / "all", Terms(partial=True))
    assert content(tmp_path / "all") == content(tmp_path / "one")
    assert len(keys(tmp_path / "all")) == len(set(keys(tmp_path / "all")))
    one, every = (json.loads((tmp_path / name / "summary.json").read_bytes()) for name in ("one", "all"))
    assert {name: one[name] for name in ("found", "ok", "failed", "skipped", "errors", "skipped_by_reason")} == {
        name: every[name] for name in ("found", "ok", "failed", "skipped", "errors", "skipped_by_reason")
    }


def test_without_a_list_each_shard_walks_the_folder_and_all_count_every_entry_once(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "films", 12)
    (folder / "notes.txt").write_text("words")
    (folder / "day.zip").write_bytes(b"PK\x03\x04")
    (folder / "link.png").symlink_to("nowhere")
    for number in range(3):
        monkeypatch.setenv("XRAYGPT_SHARD", f"{number}/3")
        assert batch(folder, tmp_path / str(number), bundle) == 0
    assert merge([tmp_path / str(n) for n in range(3)], tmp_path / "all", Terms()).ok == 12
    told = json.loads((tmp_path / "all" / "summary.json").read_bytes())
    assert told["skipped_by_reason"] == {"link": 1, "not an image": 1, "not read: a ZIP archive": 1}
    assert (told["found"], told["unread"]["a ZIP archive"]["files"]) == (15, 1)


def test_what_was_merged_is_a_batch_that_batch_goes_on_with(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 20)
    for number in range(2):
        assert batch(folder, tmp_path / str(number), bundle, "--shard", f"{number}/3") == 0
    merge([tmp_path / "0", tmp_path / "1"], tmp_path / "all", Terms(partial=True))
    assert batch(folder, tmp_path / "all", bundle) == 0
    assert sorted(path for path, _ in keys(tmp_path / "all")) == films_of(folder)


def test_a_film_added_later_moves_no_other(tmp_path: Path, bundle: Path) -> None:
    folder = write_folder(tmp_path / "films", 20)
    for number in range(4):
        batch(folder, tmp_path / str(number), bundle, "--shard", f"{number}/4")
    before = [keys(tmp_path / str(number)) for number in range(4)]
    (folder / "a new one.png").write_bytes(b"OK new")
    for number in range(4):
        batch(folder, tmp_path / str(number), bundle, "--shard", f"{number}/4")
    after = [keys(tmp_path / str(number)) for number in range(4)]
    assert [new[: len(old)] for old, new in zip(before, after, strict=True)] == before
    assert sum(map(len, after)) == 21


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (("--shard", "0/2"), ("--shard", "1/2"), "another shard"),
        (("--shard", "0/2"), ("--shard", "0/3"), "another shard"),
        (("--shard", "0/2"), (), "another shard"),
        ((), ("--shard", "0/2"), "another shard"),
        ((), ("--list", "LIST"), "another list"),
        (("--list", "LIST"), (), "another list"),
        (("--list", "LIST"), ("--list", "OTHER"), "another list"),
    ],
)
def test_another_shard_or_list_in_the_same_folder_is_refused(
    tmp_path: Path, bundle: Path, capfd: pytest.CaptureFixture[str], first: Any, second: Any, words: str
) -> None:
    folder = tmp_path / "films"
    folder.mkdir()
    write(tmp_path / "LIST", [])
    write(tmp_path / "OTHER", [Listed("gone.png", 1)])
    first, second = ([str(tmp_path / w) if w.isupper() else w for w in each] for each in (first, second))
    assert batch(folder, tmp_path / "out", bundle, *first) == 0
    assert batch(folder, tmp_path / "out", bundle, *second) == 2
    assert words in capfd.readouterr().err


@pytest.mark.parametrize("words", ["1", "2/2", "-1/2", "a/b", "0/0", "1/2/3", "0/9999999", "١/٢", "0/2\n0/3"])
def test_a_shard_that_is_none_is_refused(tmp_path: Path, bundle: Path, words: str) -> None:
    assert batch(tmp_path, tmp_path / "out", bundle, f"--shard={words}") == 2
    assert not (tmp_path / "out").exists()


def test_a_hundred_shares_of_100_000_films_are_of_about_one_size() -> None:
    shares = Counter(share_of(f"files/p{n % 97}/s{n}/{n:08x}.dcm", 100) for n in range(100_000))
    assert len(shares) == 100
    assert max(shares.values()) <= 1.15 * 1000


def test_the_shares_are_these_for_ever() -> None:
    names = [b"a.dcm", b"p1/s2/b.dcm", b"caf\xe9/\xff.dcm", "Röntgen/ü.png".encode()]
    assert [share_of(os.fsdecode(name), 1000) for name in names] == [210, 863, 291, 868]


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONUTF8": "1"}]
)
def test_names_that_are_not_utf_8_are_in_the_same_share_under_any_locale(
    tmp_path: Path, locale: dict[str, str]
) -> None:
    names = [b"caf\xe9_\xff.dcm", "Röntgen.dcm".encode(), b"two\nlines.dcm", b"plain.dcm"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(b"OK")
    code = (
        "import os, sys; from pathlib import Path; from xraygpt_edge.batch.shard import share_of; "
        "print(sorted((os.fsencode(n).hex(), share_of(n, 64)) for n in os.listdir(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], env={**os.environ, **locale}, capture_output=True)
    assert done.stdout.decode().strip() == str(sorted((n.hex(), share_of(os.fsdecode(n), 64)) for n in names))


def test_a_list_holds_the_films_that_a_walk_would_ask_about_and_how_many(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "films", 9)
    (folder / os.fsdecode(b"caf\xe9.dcm")).write_bytes(b"OK 123")
    (folder / "bare").write_bytes(bytes(128) + b"DICM")
    (folder / "notes.txt").write_text("words")
    (folder / "film.gif").write_bytes(b"GIF89a")
    made = plan(folder, tmp_path / "films.list", 4)
    assert (made.whole.films, made.skipped) == (11, {"not an image": 1, "not read: GIF": 1})
    assert sum(share.films for share in made.shards) == 11
    assert sum(share.size_bytes for share in made.shards) == made.whole.size_bytes
    listed = FilmList.read(tmp_path / "films.list")
    assert listed.end.sha256 == made.sha256
    assert {film.path: film.size_bytes for film in listed} == {
        path: (folder / path).stat().st_size for path in films_of(folder) if path not in ("notes.txt", "film.gif")
    }
    assert (tmp_path / "films.list").stat().st_mode & 0o777 == 0o600
    for number, share in enumerate(made.shards):
        assert share.films == sum(Shard(number, 4).holds(film.path) for film in listed)


def test_a_list_can_be_read_from_standard_input(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "films", 6)
    plan(folder, tmp_path / "films.list")
    data = (tmp_path / "films.list").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert batch(folder, tmp_path / "out", bundle, "--list", "-") == 0
    assert len(keys(tmp_path / "out")) == 6
    assert batch(folder, tmp_path / "out", bundle, "--list", tmp_path / "films.list") == 0  # the same list


def spoilt(data: bytes) -> dict[str, bytes]:
    lines = data.splitlines(keepends=True)
    end = json.loads(lines[-1])
    return {
        "cut in a line": data[:-30],
        "cut between lines": b"".join(lines[:-1]),
        "a line too few": b"".join(lines[1:]),
        "edited": data.replace(b"00001", b"00009"),
        "another line behind": data + lines[0],
        "two ends": data + lines[-1],
        "empty": b"",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "newer": b"".join(lines[:-1]) + json.dumps({**end, "schema": 2}).encode() + b"\n",
        "zeros": data[:-30] + bytes(300),
    }


@pytest.mark.parametrize("kind", spoilt(b'{"bytes": 1, "path": "00001"}\n{"films": 1, "sha256": "", "schema": 1}\n'))
def test_a_list_that_is_not_whole_is_refused_before_anything_is_asked(
    tmp_path: Path, bundle: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, films = write_folder(tmp_path / "films", 5), tmp_path / "films.list"
    plan(folder, films)
    films.write_bytes(spoilt(films.read_bytes())[kind])
    assert batch(folder, tmp_path / "out", bundle, "--list", films) == 4
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "E-SCA-001" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["../out.png", "/etc/passwd", "a/../../b.png", "", ".", "a\0b"])
def test_a_list_does_not_lead_out_of_the_folder(tmp_path: Path, path: str) -> None:
    write(tmp_path / "films.list", [Listed("a.png", 1), Listed(path, 1)])
    with pytest.raises(InputRefused, match="line 2"):
        FilmList.read(tmp_path / "films.list")


def test_a_film_of_the_list_that_has_gone_is_a_failure_and_the_others_are_answered(tmp_path: Path, demo: Path) -> None:
    """With the real reader: the replaced one knows no files that are missing."""
    process.COMMAND = (sys.executable, "-m", "xraygpt_edge.host.child")
    folder = tmp_path / "films"
    shutil.copytree(demo.parent.parent / "examples", folder)
    for path in sorted(folder.glob("*.dcm"))[2:]:
        path.unlink()
    plan(folder, tmp_path / "films.list")
    min(folder.glob("*.dcm")).unlink()
    more = ("--list", tmp_path / "films.list", "--device", "cpu", "--max-tokens", "3", "--trust", "off")
    assert batch(folder, tmp_path / "out", demo, *more) == 3
    assert json.loads((tmp_path / "out" / "summary.json").read_bytes())["ok"] == 1


def test_plan_replaces_its_own_list_and_nothing_else(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "films", 3)
    plan(folder, tmp_path / "films.list")
    (folder / "new.png").write_bytes(b"OK")
    assert plan(folder, tmp_path / "films.list").whole.films == 4
    film = folder / "new.png"
    with pytest.raises(UsageError) as caught:
        plan(folder, film)
    assert caught.value.error_id == "E-SCA-002"
    assert film.read_bytes() == b"OK"
    with pytest.raises(OutputError):
        plan(folder, tmp_path / "nowhere" / "films.list")


def test_plan_says_what_could_not_be_listed_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, real = write_folder(tmp_path / "films", 6), os.scandir

    def scandir(path: Path) -> Any:
        if path.name == "study-1":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert command(["plan", str(folder), "--out", str(tmp_path / "films.list"), "--shards", "2"]) == 3
    said = capfd.readouterr()
    assert "warning W-SCA-003" in said.err
    assert [line.split("\t")[0] for line in said.out.splitlines()] == ["0/2", "1/2"]
    assert FilmList.read(tmp_path / "films.list").end.films == 4
    assert command(["plan", str(tmp_path / "nowhere"), "--out", str(tmp_path / "films.list")]) == 2


def kill_and_finish(arguments: list[str], kills: int, random_: random.Random, delay_s: float) -> None:
    for _ in range(kills):
        running = start(arguments, delay_s)
        time.sleep(random_.uniform(0.2, 1.5))
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=60)
    assert finish(arguments, delay_s) in (0, 3)


@pytest.mark.parametrize(
    ("count", "kills", "n_films"),
    [(2, 1, 12), pytest.param(7, 3, 210, marks=pytest.mark.slow)],
)
def test_shards_that_are_killed_at_random_moments_are_merged_with_each_film_once(
    tmp_path: Path, bundle: Path, count: int, kills: int, n_films: int
) -> None:
    folder, films = write_folder(tmp_path / "films", n_films), tmp_path / "films.list"
    plan(folder, films)
    random_ = random.Random(count)
    outs = [tmp_path / "shards" / str(number) for number in range(count)]
    for number, out in enumerate(outs):
        words = driven(folder, out, bundle, "--list", str(films), "--shard", f"{number}/{count}")
        kill_and_finish(words, kills, random_, delay_s=0.03)
    assert merge(outs, tmp_path / "all", Terms()).ok == n_films
    assert sorted(path for path, _ in keys(tmp_path / "all")) == films_of(folder)
