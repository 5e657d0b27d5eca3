"""Which files a batch looks at."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from xraygpt_edge.batch.walk import Look, Skip, look_at, walk


def paths(root: Path, leave_out: Path | None = None) -> list[str]:
    return [found.path for found in walk(root, leave_out or root / "out") if found.skip is None]


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")


def test_files_come_by_name_with_folders_in_their_place(tmp_path: Path) -> None:
    touch(tmp_path / "b.png", tmp_path / "a" / "z.png", tmp_path / "c" / "d" / "e.png", tmp_path / "a.png")
    assert paths(tmp_path) == ["a/z.png", "a.png", "b.png", "c/d/e.png"]


def test_links_are_counted_and_never_followed(tmp_path: Path) -> None:
    touch(tmp_path / "a.png")
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "out-of-here").symlink_to("/etc")
    (tmp_path / "b.png").symlink_to("a.png")
    found = {entry.path: entry.skip for entry in walk(tmp_path, tmp_path / "out")}
    assert found == {"a.png": None, "b.png": Skip.LINK, "circle": Skip.LINK, "out-of-here": Skip.LINK}


def test_the_output_folder_is_not_read_again(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "results" / "thumbnail.png")
    assert paths(tmp_path, tmp_path / "results") == ["a.png"]


def test_hidden_files_pipes_and_directories_of_media_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path / "._a.dcm", tmp_path / ".trash" / "b.dcm", tmp_path / "DICOMDIR", tmp_path / "c.dcm")
    os.mkfifo(tmp_path / "pipe.dcm")
    found = {entry.path: entry.skip for entry in walk(tmp_path, tmp_path / "out")}
    assert found == {
        "._a.dcm": Skip.HIDDEN,
        ".trash": Skip.HIDDEN,
        "DICOMDIR": Skip.DICOMDIR,
        "c.dcm": None,
        "pipe.dcm": Skip.NOT_A_FILE,
    }


def test_a_folder_that_cannot_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "shut" / "a.png", tmp_path / "b.png")
    real = os.scandir

    def scandir(path: Path) -> object:
        if path.name == "shut":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = [(entry.path, entry.unreadable) for entry in walk(tmp_path, tmp_path / "out")]
    assert found == [("b.png", ""), ("shut", "Permission denied")]


@pytest.mark.parametrize(
    "name", ["caf\udce9_\udcff.png", "two\nlines.png", "-rf.png", "x" * 251 + ".png", "\U0001fac1.png"]
)
def test_names_of_any_kind_are_found(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    assert paths(tmp_path) == [name]


@pytest.mark.parametrize(
    ("name", "head", "look"),
    [
        ("a.dcm", b"", Look()),
        ("a.PNG", b"text", Look()),
        ("film.tif", b"", Look()),
        ("IM0001", bytes(128) + b"DICM", Look()),
        ("IM0002", b"\x08\x00\x05\x00", Look()),
        ("scan", b"\x89PNG\r\n\x1a\n", Look()),
        ("scan", b"MM\0*", Look()),
        ("scan.gif", b"RIFF\0\0\0\0WEBP", Look()),
        ("notes.txt", b"words", Look(Skip.NO_IMAGE)),
        ("Thumbs.db", b"\xd0\xcf\x11\xe0", Look(Skip.NO_IMAGE)),
        ("index.html", b"<html>", Look(Skip.NO_IMAGE)),
        ("films", b"PK\x03\x04", Look(Skip.UNREAD, "a ZIP archive")),
        ("film.dat", b"GIF89a", Look(Skip.UNREAD, "GIF")),
    ],
)
def test_a_file_is_tried_when_its_bytes_or_its_name_say_image(
    tmp_path: Path, name: str, head: bytes, look: Look
) -> None:
    (tmp_path / name).write_bytes(head)
    assert look_at(tmp_path / name) == look


def test_a_tree_of_many_folders_is_walked_in_little_memory(tmp_path: Path) -> None:
    for number in range(300):
        touch(*(tmp_path / f"{number:03d}" / f"{film}.png" for film in range(20)))
    tracemalloc.start()
    count = sum(1 for _ in walk(tmp_path, tmp_path / "out"))
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 6000
    assert most_bytes < 1_000_000
