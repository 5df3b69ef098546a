"""Reading into the database: what is known, going on, files that fail, other texts and models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import app.reading
import ingest.pipeline
import ingest.readers
from app.errors import DocumentBusy, DocumentChanged, NotReadYet, ReadingStopped, WrongModel
from app.library import Library
from app.settings import Settings
from ingest.batch import Result, find_files
from ingest.clean import clean_pages
from ingest.errors import DocumentError, EmptyFile, MissingFile
from ingest.pipeline import Progress
from ingest.readers import Page
from tests.app.conftest import SENTENCE, bits, read_apart, rows, stop_at, tamper


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


@pytest.mark.parametrize("url", [None, "sqlite:///comet-reader.db", "sqlite:///../home/a/link"])
def test_a_document_is_read_by_one_at_a_time(
    library: Library, book: Path, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = library.settings.home
    monkeypatch.chdir(home)
    (home / "a").mkdir()
    (home / "a" / "link").symlink_to(home / "comet-reader.db")
    with Library.open(url, library.settings) as second:

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


# Another text of the same bytes


@pytest.mark.parametrize(("first", "second"), [("h.txt", "h.md"), ("h.md", "h.txt")])
def test_a_checkpoint_of_another_format_is_not_gone_on_from(
    library: Library, settings: Settings, tmp_path: Path, first: str, second: str
) -> None:
    sentences = [SENTENCE.format(year=1800 + n, ships=17 * n).strip() for n in range(60)]
    for name in (first, second):
        (tmp_path / name).write_text("# Head\n\n" + "".join(f"***{s}***\n\n" for s in sentences))
    with pytest.raises(ReadingStopped):
        library.ingest(tmp_path / first, on_progress=stop_at(900))
    document = library.ingest(tmp_path / second)
    assert document.file_name == second
    assert document.title == ("Head" if second == "h.md" else "h")
    assert bits(library.memory(document)) == read_apart(
        tmp_path / second, settings, tmp_path / "apart"
    )


def test_a_checkpoint_of_another_dtype_is_not_gone_on_from(
    library: Library, settings: Settings, book: Path, undisturbed: str
) -> None:
    half = settings.model_copy(update={"dtype": "bfloat16"})
    with Library.open(settings=half) as other, pytest.raises(ReadingStopped):
        other.ingest(book, on_progress=stop_at(160))
    seen: list[Progress] = []
    document = library.ingest(book, on_progress=seen.append)
    assert seen[0].tokens < 160
    assert bits(library.memory(document)) == undisturbed


def test_a_checkpoint_of_another_extraction_is_not_gone_on_from(
    library: Library, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ReadingStopped):
        library.ingest(book, on_progress=stop_at(900))
    monkeypatch.setattr(ingest.readers, "EXTRACTION", ingest.readers.EXTRACTION + 1)
    seen: list[Progress] = []
    library.ingest(book, on_progress=seen.append)
    assert seen[0].tokens == 16


def test_a_checkpoint_longer_than_the_document_is_not_gone_on_from(
    library: Library, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = library.ingest(book)
    undisturbed = bits(library.memory(whole))
    library.forget(whole)

    def twice(pages: Iterable[Page]) -> Iterator[Page]:
        return (replace(page, text=2 * page.text) for page in clean_pages(pages))

    with monkeypatch.context() as patch, pytest.raises(ReadingStopped):
        patch.setattr(ingest.pipeline, "clean_pages", twice)
        library.ingest(book, on_progress=stop_at(whole.tokens + 100))
    assert bits(library.memory(library.ingest(book))) == undisturbed


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


def test_what_another_model_began_ends_where_the_document_is_known(
    library: Library, other_model: Library, book: Path
) -> None:
    document = library.ingest(book)
    before = bits(library.memory(document)), rows(library)
    with pytest.raises(ReadingStopped):
        other_model.ingest(book, on_progress=stop_at(160))
    (outcome,) = library.ingest_many(find_files([book]))
    assert outcome.result is Result.KNOWN
    assert outcome.document is not None
    assert (outcome.document.status, outcome.document.checkpoint) == ("ready", None)
    assert (bits(library.memory(document)), rows(library)) == before
