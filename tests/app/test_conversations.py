"""Conversations: kept turn by turn, whatever is said; nothing of one that did not come about."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import UnknownDocument
from app.library import Library
from app.settings import Settings
from comet_core.errors import ModelNotFound
from comet_core.generation import Sampling
from tests.app.conftest import rows

SHORT = Sampling(max_tokens=8)


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
    assert library.conversations("harbour") == []


def test_a_conversation_in_which_nothing_can_be_answered_is_not_kept(
    library: Library, book: Path, settings: Settings
) -> None:
    library.ingest(book)
    without = settings.model_copy(update={"model": "no/such-model"})
    with Library.open(settings=without) as other:
        conversation = other.start_conversation("harbour")
        with pytest.raises(ModelNotFound):
            other.say(conversation, "One?", SHORT)
    assert library.conversations("harbour") == []


def test_a_question_is_kept_as_it_was_asked_whatever_is_in_it(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    answer = "".join(library.say(conversation, "\ud800 Who?\x00 ", SHORT))
    (kept,) = library.conversations("harbour")
    assert [m.text for m in kept.messages] == ["Who?", answer]


def test_a_document_that_is_forgotten_while_it_answers_leaves_nothing(
    library: Library, book: Path
) -> None:
    pieces = library.say(library.start_conversation(library.ingest(book)), "One?", SHORT)
    next(pieces)
    library.forget("harbour")
    with pytest.raises(UnknownDocument):
        list(pieces)
    assert rows(library) == {}


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
