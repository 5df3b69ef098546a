"""The desk: in turn, to the end or to a sentence, stopped within a chunk, each owner for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

import app.desk
from app.desk import OWNER_GONE, Desk, DeskClosed, State
from app.library import Library
from app.settings import Settings
from app.uploads import DiskFull, Limits, TooLarge, TooManyWaiting
from tests.app.conftest import bits
from tests.app.desks import ANY, ended, held, job_of, left, small, until

CHUNK = 16


# To the end


def test_a_file_is_read(desk: Desk, library: Library, book: Path) -> None:
    job = desk.submit("", book, "The Harbour.txt")
    book.unlink()  # a copy was taken
    assert (job.state, job.name, job.tokens) == ("waiting", "The Harbour.txt", 0)
    job = ended(desk, job)
    (document,) = library.documents()
    assert job.state is State.DONE
    assert (job.document_id, job.content_hash) == (document.id, document.content_hash)
    assert (job.tokens, job.pages, job.page_count) == (document.tokens, 2, 2)
    assert (document.title, document.file_name) == ("The Harbour", "The Harbour.txt")
    assert job.message == (
        f"The Harbour: read 2 pages, {document.tokens:,} tokens into a memory of 5.1 kB."
    )
    assert "Port Ellery" in document.examples[0]
    assert left(desk) == []


def test_how_far_a_reading_is_can_be_seen(
    desk: Desk, library: Library, book: Path, checkpoints: None
) -> None:
    job = desk.submit("", book, "harbour.txt")
    until(lambda: (job_of(desk, job).tokens_per_second or 0) > 0)
    until(lambda: job_of(desk, job).document_id is not None)
    with held(library):
        now = job_of(desk, job)
        (document,) = library.documents()
    assert now.state is State.READING
    assert now.document_id == document.id
    assert 0 < now.tokens < ended(desk, job).tokens
    assert now.page_count == 2
    assert now.message is None


def test_the_same_file_again_is_known(desk: Desk, library: Library, book: Path) -> None:
    first, second = (desk.submit("", book, name) for name in ("a.txt", "b.txt"))
    assert ended(desk, first).state is State.DONE
    again = ended(desk, second)
    assert (again.state, again.message) == ("known", "a is known already: nothing to do.")
    assert again.document_id == job_of(desk, first).document_id
    assert len(library.documents()) == 1
    assert left(desk) == []


def test_the_same_file_of_two_owners_is_two_documents(
    desk: Desk, library: Library, book: Path
) -> None:
    jobs = {owner: desk.submit(owner, book, "a.txt") for owner in ("ada", "bob")}
    for owner, job in jobs.items():
        assert ended(desk, job, owner).state is State.DONE
        assert [d.id for d in library.as_owner(owner).documents()] == [
            job_of(desk, job, owner).document_id
        ]
    assert library.documents() == []


def test_a_name_is_only_a_name(desk: Desk, library: Library, book: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*.txt"))
    job = ended(desk, desk.submit("", book, "../../../<b>har\x1b[31mbour\0</b>\n.txt"))
    (document,) = library.documents()
    assert job.name == document.file_name == "b> .txt"
    job = ended(desk, desk.submit("", small(tmp_path, "x"), "<i>har\x1bbour\0<i>.TXT"))
    assert job.name == library.documents()[1].file_name == "<i>har bour <i>.TXT"
    assert sorted(tmp_path.rglob("*.txt")) == sorted([*before, tmp_path / "x.txt"])


# Owners who are removed


def test_who_is_removed_leaves_nothing_behind(
    desk: Desk, library: Library, book: Path, tmp_path: Path
) -> None:
    """Neither what is being read, and is not stored yet, nor what waits in line."""
    with library.turns.answer():
        jobs = [desk.submit("ada", path, path.name) for path in (book, small(tmp_path, "x"))]
        until(lambda: job_of(desk, jobs[0], "ada").state is State.READING)
        library.remove_user("ada")
    for job in jobs:
        job = ended(desk, job, "ada")
        assert (job.state, job.message) == (State.STOPPED, OWNER_GONE)
    assert library.as_owner("ada").documents() == []
    assert left(desk) == []


# In turn


def test_owners_take_turns(desk: Desk, library: Library, book: Path, tmp_path: Path) -> None:
    with library.turns.answer():
        first = desk.submit("zoe", book, "z.txt")
        until(lambda: job_of(desk, first, "zoe").state is State.READING)
        for name in ("a1", "a2", "a3", "b1", "b2", "c1"):
            desk.submit(name[0], small(tmp_path, name), f"{name}.txt")
    views = [library.as_owner(owner) for owner in ("zoe", "a", "b", "c")]
    until(lambda: sum(len(view.documents()) for view in views) == 7)
    documents = [document for view in views for document in view.documents()]
    documents.sort(key=lambda document: document.created_at)
    assert [d.title for d in documents] == ["z", "a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_reading_waits_for_answers_under_way(desk: Desk, library: Library, book: Path) -> None:
    library.turns._patience = 3600.0
    with library.turns.answering():
        job = desk.submit("", book, "a.txt")
        until(lambda: library.turns.waiting == 1)
        assert job_of(desk, job).tokens == 0
    assert ended(desk, job).state is State.DONE


# Stopping


def test_a_job_that_waits_is_stopped_at_once(desk: Desk, library: Library, book: Path) -> None:
    with library.turns.answer():
        first = desk.submit("", book, "a.txt")
        until(lambda: job_of(desk, first).state is State.READING)
        second = desk.submit("", book, "b.txt")
        desk.stop("", second.id)
        stopped = job_of(desk, second)
        assert (stopped.state, stopped.message) == (
            "stopped",
            "b.txt was stopped before it was read.",
        )
        assert len(left(desk)) == 1
    assert ended(desk, first).state is State.DONE
    assert job_of(desk, second) == stopped


def test_a_reading_is_stopped_within_a_chunk_and_gone_on_with(
    desk: Desk, library: Library, book: Path, undisturbed: str
) -> None:
    job = desk.submit("", book, "a.txt")
    until(lambda: job_of(desk, job).tokens > 100)
    with held(library):
        tokens = job_of(desk, job).tokens
        desk.stop("", job.id)
        desk.stop("", job.id)
    job = ended(desk, job)
    assert (job.state, job.message) == (
        "stopped",
        "a.txt was stopped; what was read is kept, send it again to go on.",
    )
    (document,) = library.documents()
    assert document.status == "reading"
    assert document.tokens == tokens + CHUNK
    assert left(desk) == []

    again = desk.submit("", book, "a.txt")
    until(lambda: job_of(desk, again).tokens > 0)
    with held(library):
        assert job_of(desk, again).tokens > tokens
        assert job_of(desk, again).document_id == document.id
    assert ended(desk, again).state is State.DONE
    assert bits(library.memory(document)) == undisturbed


def test_closing_keeps_what_was_read(
    library: Library, settings: Settings, book: Path, tmp_path: Path, undisturbed: str
) -> None:
    desk = Desk(library, tmp_path / "uploads", ANY)
    job = desk.submit("", book, "a.txt")
    desk.submit("", book, "b.txt")
    until(lambda: job_of(desk, job).tokens > 100)
    desk.close()
    assert not desk.folder.exists()
    with pytest.raises(DeskClosed, match="send the file again"):
        desk.submit("", book, "c.txt")
    (document,) = library.documents()
    assert (document.status, document.file_name) == ("reading", "a.txt")
    assert document.tokens > 100

    desk = Desk(library, tmp_path / "uploads", ANY)
    assert desk.jobs("") == []  # forgotten, but the document goes on
    assert ended(desk, desk.submit("", book, "a.txt")).state is State.DONE
    assert bits(library.memory(document)) == undisturbed
    desk.close()


# Limits


def test_limits_are_told_and_leave_no_job(library: Library, book: Path, tmp_path: Path) -> None:
    for limits, error in (
        (Limits(upload_bytes=100, free_bytes=0), TooLarge),
        (Limits(free_bytes=1 << 60), DiskFull),
    ):
        desk = Desk(library, tmp_path / "uploads", limits)
        with pytest.raises(error):
            desk.submit("", book, "a.txt")
        assert (desk.jobs(""), left(desk)) == ([], [])
        desk.close()


def test_so_many_wait_for_each_owner(library: Library, book: Path, tmp_path: Path) -> None:
    desk = Desk(library, tmp_path / "uploads", Limits(uploads_waiting=2, free_bytes=0))
    with library.turns.answer():
        first = desk.submit("ada", book, "a.txt")
        until(lambda: job_of(desk, first, "ada").state is State.READING)
        waiting = [desk.submit("ada", book, f"{n}.txt") for n in range(2)]
        with pytest.raises(TooManyWaiting, match=r"^c.txt was not taken: 2 files are waiting"):
            desk.submit("ada", book, "c.txt")
        desk.submit("bob", book, "c.txt")
        desk.stop("ada", waiting[0].id)
        desk.submit("ada", book, "c.txt")
        assert len(left(desk)) == 4
        for owner in ("ada", "bob"):
            for job in desk.jobs(owner):
                desk.stop(owner, job.id)
    desk.close()


def test_ended_jobs_are_kept_up_to_a_number(
    desk: Desk, library: Library, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.desk, "KEPT", 3)
    (tmp_path / "empty").touch()
    with library.turns.answer():
        waiting = desk.submit("", book, "a.txt")
        for number in range(5):
            desk.submit("", tmp_path / "empty", f"{number}.txt")
        assert [j.name for j in desk.jobs("")] == ["a.txt", "2.txt", "3.txt", "4.txt"]
        desk.stop("", waiting.id)
    ended(desk, desk.submit("", small(tmp_path, "b"), "b.txt"))
    assert [j.name for j in desk.jobs("")] == ["3.txt", "4.txt", "b.txt"]


# Whose


def test_jobs_are_their_owners_only(desk: Desk, library: Library, book: Path) -> None:
    with library.turns.answer():
        jobs = [desk.submit("ada", book, f"{n}.txt") for n in range(3)]
        assert desk.jobs("bob") == desk.jobs("") == []
        for owner in ("bob", ""):
            for job in jobs:
                desk.stop(owner, job.id)
                desk.dismiss(owner, job.id)
        assert [j.state.ended for j in desk.jobs("ada")] == [False] * 3
        desk.dismiss("ada", jobs[2].id)  # not before it has ended
        desk.stop("ada", jobs[2].id)
        desk.stop("ada", "no such job")
        desk.dismiss("ada", jobs[2].id)
        assert [j.id for j in desk.jobs("ada")] == [job.id for job in jobs[:2]]
        desk.stop("ada", jobs[1].id)
    ended(desk, jobs[0], "ada")
    for job in desk.jobs("ada"):
        desk.dismiss("ada", job.id)
    assert desk.jobs("ada") == []
    assert desk._tasks == desk._lines == {}
    assert min(len(job.id) for job in jobs) >= 22  # 128 bits
