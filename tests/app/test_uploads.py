"""Uploads: copied whole or not at all, within limits, under names of our own; nothing is left."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import HomeUnusable
from app.uploads import DiskFull, Limits, TooLarge, Uploads, shown_name

ANY = Limits(free_bytes=0)


@pytest.fixture
def uploads(tmp_path: Path) -> Iterator[Uploads]:
    uploads = Uploads(tmp_path / "uploads", ANY)
    yield uploads
    uploads.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(3_000_000))
    return path


def files(uploads: Uploads) -> list[str]:
    return [path.name for path in uploads.folder.iterdir() if path.name != ".lock"]


def test_a_file_is_copied_and_hashed(uploads: Uploads, source: Path) -> None:
    upload = uploads.take(source, "Emma.TXT")
    assert upload.path.read_bytes() == source.read_bytes()
    assert upload.content_hash == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (upload.name, upload.path.suffix) == ("Emma.TXT", ".txt")
    upload.delete()
    assert files(uploads) == []


NAMES = [
    "../../x.pdf",
    "/etc/passwd",
    "C:\\books\\a.txt",
    "a\0b.md",
    "..",
    "x" * 5000,
    "\n",
    ".pdf",
]


@given(name=st.one_of(st.text(), st.sampled_from(NAMES)))
def test_a_shown_name_is_one_short_printable_line_without_folders(name: str) -> None:
    shown = shown_name(name)
    assert shown.isprintable() and shown.strip() == shown
    assert 0 < len(shown) <= 200
    assert not {"/", "\\", "\0", "\n"} & set(shown)
    assert shown_name(shown) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../x.pdf", "x.pdf"),
        ("C:\\fakepath\\a.txt", "a.txt"),
        ("a\x1b[31m\n.md", "a [31m .md"),
        ("x" * 300 + ".epub", "x" * 195 + ".epub"),
        ("..", ".."),
        ("/", "unnamed"),
    ],
)
def test_names_as_they_are_shown(name: str, shown: str) -> None:
    assert shown_name(name) == shown


@pytest.mark.parametrize("name", [*NAMES, "x.pdf/../../../y", "b.exe", "c.", "name"])
def test_whatever_the_name_the_copy_lies_in_the_folder(
    uploads: Uploads, source: Path, name: str
) -> None:
    upload = uploads.take(source, name)
    assert upload.path.resolve().parent == uploads.folder.resolve()
    assert upload.path.stem.isalnum()


def test_a_file_that_is_too_large_leaves_nothing(tmp_path: Path, source: Path) -> None:
    exact = Uploads(tmp_path / "uploads", Limits(upload_bytes=3_000_000, free_bytes=0))
    exact.take(source, "a.txt").delete()
    smaller = Uploads(tmp_path / "uploads", Limits(upload_bytes=2_999_999, free_bytes=0))
    with pytest.raises(TooLarge, match=r"^emma.txt is larger than 3.0 MB"):
        smaller.take(source, "../emma.txt")
    assert files(smaller) == []


def test_space_is_kept_free_on_the_disk(tmp_path: Path, source: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", Limits(free_bytes=1 << 60))
    with pytest.raises(DiskFull, match=r"^a.txt was not taken: the server's disk is almost full"):
        uploads.take(source, "a.txt")
    assert files(uploads) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk that is full")
def test_a_disk_that_is_full_leaves_nothing(
    uploads: Uploads, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda length: "full")
    (uploads.folder / "full.txt").symlink_to("/dev/full")
    with pytest.raises(DiskFull):
        uploads.take(source, "a.txt")
    assert files(uploads) == []


def test_closing_deletes_the_folder(tmp_path: Path, source: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", ANY)
    uploads.take(source, "a.txt")
    uploads.close()
    assert not uploads.folder.exists()


KILLED = """
import os, sys
from pathlib import Path
from app.uploads import Limits, Uploads
uploads = Uploads(Path(sys.argv[1]), Limits(free_bytes=0))
uploads.take(Path(sys.argv[2]), "a.txt")
print(uploads.folder, flush=True)
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_server_left_is_deleted_and_what_a_running_one_has_stays(
    uploads: Uploads, source: Path
) -> None:
    upload = uploads.take(source, "a.txt")
    folder = uploads.folder.parent
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, folder, source], capture_output=True, text=True
    )
    left = Path(killed.stdout.strip())
    assert (killed.returncode, left.parent, len(list(left.glob("*.txt")))) == (-9, folder, 1)
    other = Uploads(folder, ANY)
    assert not left.exists()
    assert upload.path.exists()
    other.close()
    assert upload.path.exists()


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusable, match="choose another folder"):
        Uploads(tmp_path / "file", ANY)
