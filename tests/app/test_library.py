"""The library on real files, a real database and a tiny model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.database import Database
from app.errors import DamagedSnapshot, EmptyQuestion, UnknownDocument
from app.library import Library
from app.settings import Settings
from app.tables import Document, Snapshot
from comet_core.generation import Sampling
from ingest.batch import Result, find_files
from ingest.pipeline import Progress
from tests.app.conftest import bits, rows, tamper

SHORT = Sampling(max_tokens=8)


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


@pytest.mark.parametrize("question", ["", " \n\t ", "\ud800\x00\u200b"])
def test_a_question_with_nothing_in_it_is_refused(
    library: Library, book: Path, question: str
) -> None:
    document = library.ingest(book)
    for ask in (
        lambda: library.ask(document, question),
        lambda: library.say(library.start_conversation(document), question),
    ):
        with pytest.raises(EmptyQuestion, match="is empty"):
            ask()


def test_many_can_ask_at_once(library: Library, book: Path) -> None:
    document = library.ingest(book)

    def ask(_: int) -> str:
        return "".join(library.ask(document, "How many ships?", sampling=SHORT))

    alone = ask(0)
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(ask, range(8))) == {alone}


# Damage


def test_a_damaged_memory_is_found_and_never_answers(library: Library, book: Path) -> None:
    document = library.ingest(book)
    assert [checked.damage for checked in library.verify()] == [None]
    tamper(library)
    (checked,) = library.verify()
    assert checked.document.id == document.id
    assert isinstance(checked.damage, DamagedSnapshot)
    with pytest.raises(DamagedSnapshot, match='"harbour" is damaged'):
        library.ask(document, "How many ships?")


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
