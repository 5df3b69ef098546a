"""The library page over HTTP: files come in, are read, are told of, and go."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup

from app.desk import State
from app.library import Library
from app.uploads import Limits
from tests.app import patient
from tests.ui.conftest import SMALL, Site, site_of, wait
from tests.ui.visitor import Visitor
from ui import text

EVIL = "<img src=x onerror=alert(1)>"


def rows(html: str) -> list[list[str]]:
    """The cells of the table of documents."""
    table = BeautifulSoup(html, "html.parser")
    return [
        [" ".join(cell.get_text(" ").split()) for cell in row.find_all(["th", "td"])]
        for row in table.select("tbody tr")
    ]


def jobs(html: str) -> dict[str, str]:
    """What is said of each file."""
    found = BeautifulSoup(html, "html.parser")
    return {
        job.select_one(".job-name").get_text(): job.select_one(".job-state").get_text()  # type: ignore[union-attr]
        for job in found.select(".job")
    }


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]


def test_a_file_is_sent_read_and_told_of(site: Site, book: Path) -> None:
    visitor = site.visitor()
    assert visitor.upload(book).status_code == 201
    site.read()
    shown = visitor.event("library").outputs
    (name, sentence), *others = jobs(shown[0]).items()
    assert (name, others) == ("harbour.txt", [])
    assert sentence.startswith("harbour: read 2 pages, ")
    newest, *_ = rows(shown[1])
    document = site.library.documents()[-1]
    assert newest[0] == "harbour harbour.txt"
    assert newest[2] == f"{document.tokens:,}"
    assert newest[4] == "Ready"
    assert files_in(site.desk.folder) == []


def test_progress_is_the_desks_and_outlives_a_page(site: Site, book: Path) -> None:
    """Whoever looks sees the same, and the timer runs as long as there is something to see."""
    with site.library.turns.answer():  # nothing is read meanwhile
        site.visitor().upload(book)
        first, second = site.visitor().event("library"), site.visitor().event("open")
        assert jobs(first.outputs[0]).keys() == jobs(second.outputs[1]).keys() == {"harbour.txt"}
        assert first.outputs[2]["active"] is True
    site.read()
    assert site.visitor().event("library").outputs[2]["active"] is False


def test_reading_can_be_stopped_and_gone_on_with(site: Site, book: Path) -> None:
    visitor = site.visitor()
    with site.library.turns.answer():
        visitor.upload(book)
        (job,) = wait(lambda: site.desk.jobs(""))
        visitor.event("stop_reading", about={"id": job.id})
    (job,) = site.read()
    assert job.state is State.STOPPED
    assert "send it again to go on" in jobs(visitor.event("library").outputs[0])["harbour.txt"]
    assert jobs(visitor.event("dismiss", about={"id": job.id}).outputs[0]) == {}
    visitor.upload(book)
    assert site.read()[0].state is State.DONE


def test_removing_removes_everything(site: Site) -> None:
    visitor = site.visitor()
    island = site.library.find("island")
    shown = visitor.event("remove", about={"id": island.id})
    assert shown.notes == ["&quot;island&quot; was removed, with its memory and its conversations."]
    assert [row[0] for row in rows(shown.outputs[1])] == ["harbour harbour.txt"]
    assert [document.title for document in site.library.documents()] == ["harbour"]
    again = visitor.event("remove", about={"id": island.id})
    assert again.notes == [text.GONE]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.zip", b"PK", "a.zip is of an unknown format"),
        ("a.pdf", b"%PDF-1.7\n", "a.pdf is "),
        ("a.txt", b"   \n", "a.txt has no text in it"),
        ("../../a.txt", b"", "a.txt has no text in it"),
        (f"{EVIL}.zip", b"PK", f"{EVIL}.zip is of an unknown format"),
    ],
)
def test_a_file_that_cannot_be_read_has_its_sentence(
    site: Site, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / "file").write_bytes(content)
    visitor = site.visitor()
    assert visitor.upload(tmp_path / "file", name).status_code == 201
    shown = visitor.event("library").outputs[0]
    (said,) = jobs(shown).values()
    assert said.startswith(sentence)
    assert str(site.desk.folder) not in shown
    assert "Traceback" not in shown
    assert BeautifulSoup(shown, "html.parser").find("img") is None


def test_a_title_is_text(site: Site, tmp_path: Path) -> None:
    page = "<html><title>&lt;img src=x onerror=alert(1)&gt;</title><p>A page of words.</p></html>"
    (tmp_path / "page.html").write_text(page)
    visitor = site.visitor()
    visitor.upload(tmp_path / "page.html")
    site.read()
    shown = visitor.event("library").outputs[1]
    assert rows(shown)[0][0] == f"{EVIL} page.html"
    assert BeautifulSoup(shown, "html.parser").find("img") is None
    document = site.library.documents()[-1]
    removed = visitor.event("remove", about={"id": document.id})
    assert EVIL not in removed.notes[0]


# Limits


def test_a_file_that_is_too_large_is_told_and_not_kept(site: Site, tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(b"x" * (SMALL.upload_bytes + 1))
    visitor = site.visitor()
    response = visitor.upload(tmp_path / "large.txt")
    assert response.status_code == 400
    assert "large.txt is larger than 0.2 MB" in response.json()["detail"]

    def without_a_length():  # type: ignore[no-untyped-def]
        for _ in range(SMALL.upload_bytes // 1000 + 1):
            yield b"x" * 1000

    response = visitor.http.post("/upload?name=large.txt", content=without_a_length())
    assert response.status_code == 400
    assert site.desk.jobs("") == []
    assert files_in(site.desk.folder) == []


@pytest.mark.parametrize("free", [10**6, 0])
def test_a_disk_that_runs_full_meanwhile_is_told(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int
) -> None:
    """Whether it is seen before a part is written, or in writing it."""

    def usage(_: object) -> SimpleNamespace:
        looked.append(1)
        return SimpleNamespace(free=10**6 if len(looked) == 1 else free)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    looked: list[int] = []
    monkeypatch.setattr("app.uploads.shutil.disk_usage", usage)
    if free:
        monkeypatch.setattr("tempfile._TemporaryFileWrapper.flush", full, raising=False)
    (tmp_path / "a.txt").write_text("x" * 1000)
    response = site.visitor().upload(tmp_path / "a.txt")
    assert response.status_code == 400 and "disk is almost full" in response.json()["detail"]
    assert len(looked) == 2 and files_in(site.desk.folder) == []


def test_a_line_has_an_end(site: Site, tmp_path: Path) -> None:
    visitor = site.visitor()
    with site.library.turns.answer():
        sent = []
        for number in range(SMALL.uploads_waiting + 2):
            (tmp_path / f"{number}.txt").write_text(f"This is file number {number}. " * 30)
            sent.append(visitor.upload(tmp_path / f"{number}.txt"))
            wait(lambda: site.desk.jobs("")[0].state is State.READING)
        assert [response.status_code for response in sent[:-1]] == [201] * (len(sent) - 1)
        assert sent[-1].status_code == 400
        assert "3 files are waiting already" in sent[-1].json()["detail"]
    assert len(site.read()) == len(sent) - 1


def test_the_disk_is_not_filled(books: Library, book: Path) -> None:
    with site_of(books, Limits(free_bytes=1 << 60)) as site:
        response = site.visitor().upload(book)
        assert response.status_code == 400
        assert "disk is almost full" in response.json()["detail"]
        assert files_in(site.desk.folder) == []


@pytest.mark.parametrize("query", ["", f"?name={'n' * 2000}"])
def test_an_upload_needs_a_name(site: Site, query: str) -> None:
    assert patient.post(f"{site.url}/upload{query}", content=b"x").status_code == 422
    assert site.desk.jobs("") == []


@pytest.mark.parametrize("event", ["remove", "stop_reading", "dismiss"])
@pytest.mark.parametrize("about", [None, {}, [], "x", {"id": None}, {"id": {"$ne": 1}}])
def test_an_event_that_makes_no_sense_changes_nothing(
    site: Site, event: str, about: object
) -> None:
    before = [document.id for document in site.library.documents()]
    shown = site.visitor().event(event, about=about)
    assert text.DEFECT not in shown.notes
    assert [document.id for document in site.library.documents()] == before


def test_a_failure_of_ours_is_a_sentence(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_owner: str) -> None:
        raise RuntimeError("secret path /etc")

    monkeypatch.setattr(site.desk, "jobs", fail)
    shown = Visitor.event(site.visitor(), "library")
    assert shown.notes == [text.DEFECT.replace("'", "&#x27;")]
    assert "secret" not in shown.text
