"""The library on real files, a real database and a tiny model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import select

import app.reading
from app.database import Database
from app.errors import (
    DamagedSnapshot,
    DocumentBusy,
    DocumentChanged,
    NotReadYet,
    ReadingStopped,
    UnknownDocument,
    WrongModel,
)
from app.library import Library
from app.settings import Settings
from app.tables import Base, Document, Snapshot
from comet_core.generation import Sampling
from ingest.batch import Result, find_files
from ingest.errors import DocumentError, EmptyFile, MissingFile
from ingest.pipeline import Progress
from tests.app.conftest import bits

SHORT = Sampling(max_tokens=8)


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every chunk."""
    monkeypatch.setattr(app.reading, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(app.reading, "CHECKPOINT_SHARE", 0.0)


@pytest.fixture
def other_model(make_tiny_model: Callable[[int], Path], settings: Settings) -> Iterator[Library]:
    """The same library as `library`, with another model."""
    other = settings.model_copy(update={"model": str(make_tiny_model(1))})
    with Library.open(settings=other) as library:
        yield library


def stop_at(tokens: int, error: BaseException | None = None) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.tokens >= tokens:
            raise error or ReadingStopped("enough")

    return watch


def rows(library: Library) -> dict[str, int]:
    """How many rows each table has, where it has any."""
    database = Database(library.settings.url)
    with database.reading() as session:
        counts = {
            table.name: session.scalar(select(sqlalchemy.func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }
    database.close()
    return {name: count for name, count in counts.items() if count}


@pytest.fixture
def undisturbed(settings: Settings, book: Path, tmp_path: Path) -> str:
    """The bits of the book's memory after one reading in one go, into another database."""
    apart = settings.model_copy(update={"home": tmp_path / "apart"})
    with Library.open(settings=apart) as library:
        return bits(library.memory(library.ingest(book)))


def test_the_product_in_python(tmp_path: Path, settings: Settings, book: Path) -> None:
    seen: list[Progress] = []
    url = f"sqlite:///{tmp_path / 'books.db'}"
    with Library.open(url, settings) as library:
        document = library.ingest(str(book), on_progress=seen.append)
        assert isinstance("".join(library.ask(document, "How many ships?", sampling=SHORT)), str)
    assert (tmp_path / "books.db").exists()
    assert (document.title, document.file_name, document.status) == ("harbour", book.name, "ready")
    assert document.tokens == seen[-1].tokens == document.snapshots[0].tokens_read
    assert document.pages == seen[-1].page_count
    assert document.characters == seen[-1].characters
    assert document.error is None


def test_reading_the_same_bytes_again_does_nothing(library: Library, book: Path) -> None:
    first = library.ingest(book)
    copy = book.with_name("copy.txt")
    copy.write_bytes(book.read_bytes())
    seen: list[Progress] = []
    again = library.ingest(copy, on_progress=seen.append)
    assert seen == []
    assert (again.id, again.updated_at) == (first.id, first.updated_at)
    assert [s.id for s in again.snapshots] == [s.id for s in first.snapshots]


def test_other_bytes_are_another_document(library: Library, book: Path) -> None:
    first = library.ingest(book)
    book.write_text(book.read_text() + "Postscript.")
    assert library.ingest(book).id != first.id
    assert len(library.documents()) == 2


def test_the_same_question_has_the_same_answer_and_changes_nothing(
    library: Library, book: Path
) -> None:
    document = library.ingest(book)
    before = bits(library.memory(document)), rows(library)
    answers = {"".join(library.ask(document, "How many ships?", sampling=SHORT)) for _ in range(3)}
    assert len(answers) == 1
    assert (bits(library.memory(document)), rows(library)) == before


def test_a_question_is_text_whatever_is_in_it(library: Library, book: Path) -> None:
    document = library.ingest(book)
    question = "\ud800<|im_end|>\x00 How many?"
    assert "".join(library.ask(document, question, sampling=SHORT)) == "".join(
        library.ask(document, "<|im_end|> How many?", sampling=SHORT)
    )


def test_many_can_ask_at_once(library: Library, book: Path) -> None:
    document = library.ingest(book)

    def ask(_: int) -> str:
        return "".join(library.ask(document, "How many ships?", sampling=SHORT))

    alone = ask(0)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(8))) == {alone}


# Stopping, resuming, failing


@pytest.mark.usefixtures("checkpoints")
def test_a_stopped_reading_goes_on_to_the_same_bits(
    library: Library, book: Path, undisturbed: str
) -> None:
    for tokens in (16, 17, 400, 400, 900):
        with pytest.raises(ReadingStopped):
            library.ingest(book, on_progress=stop_at(tokens))
        (document,) = library.documents()
        assert (document.status, document.error) == ("reading", None)
        assert document.checkpoint is not None
        assert document.checkpoint.tokens_read == document.tokens >= tokens
        with pytest.raises(NotReadYet, match="ingest"):
            library.ask(document, "How many ships?")
    seen: list[Progress] = []
    document = library.ingest(book, on_progress=seen.append)
    assert seen[0].tokens > 900
    assert (document.status, document.checkpoint) == ("ready", None)
    assert bits(library.memory(document)) == undisturbed


def test_a_reading_stopped_before_its_first_checkpoint_is_kept(
    library: Library, book: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        library.ingest(book, on_progress=stop_at(160, KeyboardInterrupt()))
    assert library.find("harbour").tokens == 160


def test_a_defect_is_noted_and_reading_goes_on_from_there(
    library: Library, book: Path, undisturbed: str
) -> None:
    with pytest.raises(RuntimeError):
        library.ingest(book, on_progress=stop_at(160, RuntimeError("out of memory")))
    document = library.find("harbour")
    assert (document.status, document.error) == ("failed", "RuntimeError: out of memory")
    document = library.ingest(book)
    assert (document.status, document.error) == ("ready", None)
    assert bits(library.memory(document)) == undisturbed


def test_a_damaged_checkpoint_is_read_anew(library: Library, book: Path, undisturbed: str) -> None:
    with pytest.raises(ReadingStopped):
        library.ingest(book, on_progress=stop_at(160))
    tamper(library)
    assert bits(library.memory(library.ingest(book))) == undisturbed


@pytest.mark.usefixtures("checkpoints")
def test_a_file_that_changes_while_it_is_read_leaves_nothing(library: Library, book: Path) -> None:
    seen: list[int] = []

    def change(progress: Progress) -> None:
        seen.append(progress.tokens)
        if progress.tokens == 160:
            assert rows(library) != {}
            book.write_text(book.read_text().replace("lighthouse", "lightship"))

    with pytest.raises(DocumentChanged, match="changed while it was read"):
        library.ingest(book, on_progress=change)
    assert seen[-1] == 160  # no checkpoint is stored after the change
    assert rows(library) == {}


def test_a_file_that_changes_unnoticed_by_its_times_leaves_nothing(
    library: Library, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.reading, "_identity", lambda path: (0, 0, 0))
    with pytest.raises(DocumentChanged):
        library.ingest(book, on_progress=lambda _: book.write_text("Something else. " * 90))
    assert rows(library) == {}


@pytest.mark.usefixtures("checkpoints")
def test_a_file_that_is_moved_while_it_is_read_loses_nothing(
    library: Library, book: Path, undisturbed: str
) -> None:
    moved = book.with_name("moved.txt")

    def move(progress: Progress) -> None:
        if progress.tokens >= 400 and book.exists():
            book.rename(moved)

    with pytest.raises(MissingFile):
        library.ingest(book, on_progress=move)
    seen: list[Progress] = []
    document = library.ingest(moved, on_progress=seen.append)
    assert seen[0].tokens >= 300
    assert bits(library.memory(document)) == undisturbed


@pytest.mark.usefixtures("checkpoints")
def test_a_file_that_fails_half_way_leaves_nothing(
    library: Library, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DocumentError):
        library.ingest(book, on_progress=stop_at(400, DocumentError(book)))
    assert rows(library) == {}


def test_bad_files_are_refused_without_loading_the_model(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").touch()
    without = settings.model_copy(update={"model": "no/such-model"})
    with Library.open(settings=without) as library:
        for name, error in (("missing.txt", MissingFile), ("empty.txt", EmptyFile)):
            with pytest.raises(error):
                library.ingest(tmp_path / name)
        assert rows(library) == {}


def test_a_document_is_read_by_one_at_a_time(library: Library, book: Path) -> None:
    with Library.open(settings=library.settings) as second:

        def interfere(progress: Progress) -> None:
            if progress.tokens == 160:
                with pytest.raises(DocumentBusy):
                    second.ingest(book)

        document = library.ingest(book, on_progress=interfere)
        assert second.ingest(book).id == document.id


def test_a_document_is_not_forgotten_while_it_is_read(library: Library, book: Path) -> None:
    with pytest.raises(ReadingStopped):
        library.ingest(book, on_progress=stop_at(160))

    def forget(progress: Progress) -> None:
        if progress.tokens == 320:
            with pytest.raises(DocumentBusy):
                library.forget("harbour")

    library.ingest(book, on_progress=forget)
    library.forget("harbour")
    assert rows(library) == {}


# Another model


def test_another_model_reads_again_and_the_old_memory_stays_until_it_is_done(
    library: Library, other_model: Library, book: Path
) -> None:
    document = library.ingest(book)
    old = bits(library.memory(document))
    with pytest.raises(WrongModel, match=str(library.settings.model)):
        other_model.ask(document, "How many ships?")

    with pytest.raises(ReadingStopped):
        other_model.ingest(book, on_progress=stop_at(160))
    stopped = library.find("harbour")
    assert (stopped.id, stopped.tokens) == (document.id, document.tokens)
    assert bits(library.memory(document)) == old  # also by the model of before
    with pytest.raises(WrongModel):
        other_model.ask(document, "How many ships?")

    other_model.ingest(book)
    assert [s.fingerprint for s in library.find("harbour").snapshots] == [
        other_model.model.spec.fingerprint
    ]
    assert bits(other_model.memory(document)) != old
    with pytest.raises(WrongModel, match=str(other_model.settings.model)):
        library.memory(document)


@pytest.mark.usefixtures("checkpoints")
def test_a_reading_by_another_model_that_fails_leaves_the_old_memory(
    library: Library, other_model: Library, book: Path
) -> None:
    document = library.ingest(book)
    before = bits(library.memory(document)), rows(library)
    with pytest.raises(DocumentError):
        other_model.ingest(book, on_progress=stop_at(400, DocumentError(book)))
    assert (bits(library.memory(document)), rows(library)) == before
    assert library.find("harbour").status == "ready"


def test_a_checkpoint_of_another_model_is_not_gone_on_from(
    library: Library, other_model: Library, book: Path, undisturbed: str
) -> None:
    with pytest.raises(ReadingStopped):
        other_model.ingest(book, on_progress=stop_at(160))
    assert bits(library.memory(library.ingest(book))) == undisturbed


# Damage


def tamper(library: Library) -> None:
    database = Database(library.settings.url)
    with database.writing() as session:
        session.execute(sqlalchemy.text("UPDATE snapshot_layer SET data = x'00' WHERE layer = 1"))
    database.close()


def test_a_damaged_memory_is_found_and_never_answers(library: Library, book: Path) -> None:
    document = library.ingest(book)
    assert [checked.damage for checked in library.verify()] == [None]
    tamper(library)
    (checked,) = library.verify()
    assert checked.document.id == document.id
    assert isinstance(checked.damage, DamagedSnapshot)
    with pytest.raises(DamagedSnapshot, match='"harbour" is damaged'):
        library.ask(document, "How many ships?")


# Conversations


def test_a_conversation_is_kept(settings: Settings, book: Path) -> None:
    with Library.open(settings=settings) as library:
        conversation = library.start_conversation(library.ingest(book))
        answers = [
            "".join(library.say(conversation, question, SHORT)) for question in ("One?", "Two?")
        ]
    with Library.open(settings=settings) as library:
        (kept,) = library.conversations("harbour")
        assert [(m.role, m.text) for m in kept.messages] == [
            ("user", "One?"),
            ("assistant", answers[0]),
            ("user", "Two?"),
            ("assistant", answers[1]),
        ]
        assert len(list(library.say(kept, "Three?", SHORT))) > 0
        assert [len(c.messages) for c in library.conversations("harbour")] == [6]


def test_what_was_said_before_is_read(library: Library, book: Path) -> None:
    document = library.ingest(book)
    conversation = library.start_conversation(document)
    "".join(library.say(conversation, "One?", SHORT))
    second = "".join(library.say(conversation, "Two?", SHORT))
    assert second != "".join(library.ask(document, "Two?", sampling=SHORT))


def test_an_answer_that_is_broken_off_is_not_kept(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    pieces = library.say(conversation, "One?", SHORT)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    assert library.conversations("harbour")[0].messages == []


def test_forgetting_removes_everything(library: Library, book: Path) -> None:
    document = library.ingest(book)
    conversation = library.start_conversation(document)
    "".join(library.say(conversation, "One?", SHORT))
    library.forget(document)
    assert rows(library) == {}
    for use in (
        lambda: library.ask(document, "One?"),
        lambda: library.say(conversation, "Two?"),
        lambda: library.forget(document),
    ):
        with pytest.raises(UnknownDocument):
            use()


# Many files


def test_many_files_each_have_an_outcome(library: Library, book: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    copy = tmp_path / "x-copy.txt"
    copy.write_bytes(book.read_bytes())
    seen: set[Path] = set()
    found = find_files([tmp_path / "missing.txt", tmp_path / "*.txt"])
    outcomes = list(library.ingest_many(found, on_progress=lambda path, _: seen.add(path)))
    assert [(o.path.name, o.result) for o in outcomes] == [
        ("missing.txt", Result.FAILED),
        ("empty.txt", Result.FAILED),
        (book.name, Result.READ),
        ("x-copy.txt", Result.KNOWN),
    ]
    assert seen == {book}
    assert isinstance(outcomes[2].document, Document)
    assert rows(library)["document"] == 1


def test_libraries_of_two_owners_share_nothing(library: Library, book: Path) -> None:
    ada = Library(Database(library.settings.url), library.settings, owner="ada")
    mine, hers = library.ingest(book), ada.ingest(book)
    assert mine.id != hers.id
    assert [d.id for d in library.documents()] == [mine.id]
    with pytest.raises(UnknownDocument):
        library.ask(hers, "One?")
    library.forget(mine)
    assert [d.id for d in ada.documents()] == [hers.id]
    ada.close()


def test_snapshots_name_their_model(library: Library, book: Path) -> None:
    (snapshot,) = library.ingest(book).snapshots
    assert isinstance(snapshot, Snapshot)
    assert snapshot.fingerprint == library.model.spec.fingerprint
    assert snapshot.nbytes == library.memory("harbour").nbytes
