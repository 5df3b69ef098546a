"""The desk and what cannot be read: a sentence each, nothing left, and the next one is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pypdf
import pytest

from app.desk import Desk, State
from app.library import Library
from app.settings import Settings
from app.users import Users
from tests.app.conftest import rows
from tests.app.desks import ANY, USERS, ended, job_of, left, small, until
from tests.conftest import ROOT


def make_scan(path: Path) -> None:
    writer = pypdf.PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(path)


def make_encrypted(path: Path) -> None:
    writer = pypdf.PdfWriter(clone_from=ROOT / "samples" / "the-light-on-marrow-rock.pdf")
    writer.encrypt("pharos", algorithm="AES-256")
    writer.write(path)


BAD: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "empty": ("a.txt", Path.touch, "a.txt has no text in it"),
    "scan": ("a.pdf", make_scan, "a.pdf has no text layer, only pictures"),
    "encrypted": ("a.pdf", make_encrypted, "a.pdf is encrypted; its password is needed"),
    "format": ("a.exe", lambda p: p.write_bytes(b"MZ"), "a.exe is of an unknown format"),
    "content": ("a.pdf", lambda p: p.write_text("Harbour."), "a.pdf should be a PDF by its name"),
    "cut": ("a.epub", lambda p: p.write_bytes(b"PK\3\4" + bytes(50)), "a.epub is cut off"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_read_has_failed_without_waiting(
    desk: Desk, library: Library, tmp_path: Path, kind: str
) -> None:
    name, make, sentence = BAD[kind]
    make(tmp_path / "source")
    job = desk.submit("", tmp_path / "source", f"../{name}")
    assert job.state is State.FAILED
    assert job.message is not None and job.message.startswith(sentence)
    assert str(tmp_path) not in job.message
    assert desk.jobs("") == [job]
    assert left(desk) == []
    assert rows(library) == {"user": len(USERS)}


def test_an_encrypted_pdf_is_read_with_its_password(
    desk: Desk, library: Library, tmp_path: Path
) -> None:
    make_encrypted(tmp_path / "a.pdf")
    wrong = desk.submit("", tmp_path / "a.pdf", "a.pdf", password="wrong")
    assert (wrong.state, wrong.message) == (
        "failed",
        "The password does not open a.pdf; check it and try again.",
    )
    right = desk.submit("", tmp_path / "a.pdf", "a.pdf", password="pharos")
    until(lambda: job_of(desk, right).tokens > 0)  # it opens; to read it all takes long
    desk.stop("", right.id)
    assert ended(desk, right).state is State.STOPPED


def test_a_document_that_another_process_reads_is_busy(
    desk: Desk, library: Library, settings: Settings, book: Path
) -> None:
    messages = []

    def send(progress: object) -> None:
        if not messages:
            messages.append(ended(desk, desk.submit("", book, "a.txt")).message)

    with Library.open(settings=settings) as other:
        other.ingest(book, on_progress=send)
    assert messages == ["a.txt is being read at this moment; wait until it is done."]


def test_a_failure_is_a_sentence_and_the_next_is_read(
    desk: Desk, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Library, "ingest", lambda *_, **__: [][0])
        failed = ended(desk, desk.submit("", small(tmp_path, "a"), "a.txt"))
    assert failed.state is State.FAILED
    assert failed.message == (
        "a.txt could not be read because of a defect in Comet Reader (IndexError); "
        "its log says more."
    )
    assert left(desk) == []
    assert ended(desk, desk.submit("", small(tmp_path, "b"), "b.txt")).state is State.DONE


def test_a_database_that_fails_for_a_while_does_not_end_the_desk(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Users, "exists", fails)
        failed = ended(desk, desk.submit("ada", small(tmp_path, "a"), "a.txt"), "ada")
    assert failed.state is State.FAILED
    after = desk.submit("ada", small(tmp_path, "b"), "b.txt")
    assert ended(desk, after, "ada").state is State.DONE


def test_a_model_that_is_not_there_is_a_sentence(
    settings: Settings, tmp_path: Path, book: Path
) -> None:
    missing = settings.model_copy(update={"model": str(tmp_path / "none")})
    with Library.open(settings=missing) as library:
        desk = Desk(library, tmp_path / "uploads", ANY)
        failed = ended(desk, desk.submit("", book, "a.txt"))
        desk.close()
    assert failed.state is State.FAILED
    assert failed.message is not None and str(tmp_path / "none") in failed.message
    assert "defect" not in failed.message
