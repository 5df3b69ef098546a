"""Answers of a library: what is told beside them, many at a time in turn, one cache for all."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from threading import TIMEOUT_MAX, Event, Thread

import pytest

import comet_core.prefixes
from app.chat_model import ChatComet
from app.library import Library
from app.turns import Turns
from comet_core.generation import Sampling
from comet_core.prefixes import Prefix, open_state

SHORT = Sampling(max_tokens=8)
ENDLESS = Sampling(max_tokens=10**9)


def test_details_are_complete_once_an_answer_has_ended(books: Library) -> None:
    document = books.find("harbour")
    reply = books.ask(document, "How many ships?", sampling=SHORT)
    begun = reply.details
    assert begun["tokens_read"] == document.tokens
    assert begun["memory_tokens"] == 3 * 4 + 8  # the sizes of the tiny model
    assert (begun["first_piece_seconds"], begun["seconds"], begun["chances"]) == (None, None, [])
    text = "".join(reply)
    details = reply.details
    assert not details["stopped"]
    assert "".join(piece for piece, _ in details["chances"]) == text
    assert len(details["chances"]) == reply.output_tokens == 8
    assert all(0 < chance <= 1 for _, chance in details["chances"])
    assert 0 < details["resumed_seconds"] <= details["first_piece_seconds"] <= details["seconds"]
    assert reply.finish == "length"
    reply.close()
    assert reply.details == details == json.loads(json.dumps(details))


def test_details_are_kept_with_the_answer(books: Library) -> None:
    conversation = books.start_conversation("harbour")
    reply = books.say(conversation, "How many ships?", SHORT)
    text = "".join(reply)
    question, answer = books.conversation(conversation.id).messages
    assert question.details is None
    assert (answer.text, answer.details) == (text, reply.details)


# Many at a time


def test_conversations_at_once_have_the_answers_of_each_alone(books: Library) -> None:
    questions = [["How many ships?", "And in 1850?"], ["Who?"], ["Where is it? " * 9, "Why?", "O?"]]
    talks = [(name, asked) for name in ("harbour", "island") for asked in questions]
    sampling = Sampling(max_tokens=24)  # beyond the end of a chunk

    def talk(about: tuple[str, list[str]]) -> list[str]:
        conversation = books.start_conversation(about[0])
        return ["".join(books.say(conversation, question, sampling)) for question in about[1]]

    alone = [talk(about) for about in talks]
    assert len({tuple(answers) for answers in alone}) == len(talks)
    with ThreadPoolExecutor(len(talks)) as pool:
        assert list(pool.map(talk, talks)) == alone
    texts = sorted(
        tuple(message.text for message in books.conversation(c.id).messages[1::2])
        for c in books.conversations()
    )
    assert texts == sorted(map(tuple, alone * 2))


def test_an_answer_takes_a_turn_to_open_a_memory_and_for_each_token(books: Library) -> None:
    books.model  # noqa: B018  # loaded before any turn
    replies: list[object] = []

    def ask() -> None:
        reply = books.ask("harbour", "How many ships?", sampling=ENDLESS)
        replies.append(reply)
        replies.append(next(reply))
        reply.close()

    asking = Thread(target=ask)
    with books.turns.answer():
        asking.start()
        while not books.turns.waiting:  # to open the memory
            assert asking.is_alive()
            time.sleep(0.001)
        assert not replies
    asking.join()
    assert len(replies) == 2

    reply = books.ask("harbour", "How many ships?", sampling=ENDLESS)
    pieces: list[str] = []
    writing = Thread(target=lambda: pieces.extend(islice(reply, 1)))
    with books.turns.answer():
        writing.start()
        while not books.turns.waiting:
            assert writing.is_alive()
            time.sleep(0.001)
        assert not pieces
    writing.join()
    assert pieces
    reply.close()


@pytest.mark.parametrize("end", ["to its end", "close", "let go"])
def test_reading_gives_way_until_an_answer_has_ended(books: Library, end: str) -> None:
    books._answerer.turns = Turns(patience=TIMEOUT_MAX)
    read = Event()

    def read_a_chunk() -> None:
        with books.turns.read():
            read.set()

    reply = books.ask("harbour", "How many ships?", sampling=SHORT)
    next(reply)
    reading = Thread(target=read_a_chunk, daemon=True)
    reading.start()
    while not books.turns.waiting:
        assert reading.is_alive()
        time.sleep(0.001)
    next(reply)
    assert not read.is_set()
    if end == "to its end":
        list(reply)
    elif end == "close":
        reply.close()
    else:
        del reply
    assert read.wait(120)
    reading.join()


def test_an_answer_can_be_closed_from_another_thread(books: Library) -> None:
    conversation = books.start_conversation("harbour")
    reply = books.say(conversation, "How many ships?", ENDLESS)
    shown = [next(reply)]
    writing = Thread(target=lambda: shown.extend(reply))
    writing.start()
    reply.close()
    writing.join(120)
    assert not writing.is_alive()
    assert "".join(shown) == books.conversation(conversation.id).messages[1].text


# What is at hand


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Grows with every memory that is opened to be asked."""
    counted: list[bool] = []

    def count(model, state, fold, turn) -> Prefix:  # type: ignore[no-untyped-def]
        counted.append(fold)
        return open_state(model, state, fold, turn)

    monkeypatch.setattr(comet_core.prefixes, "open_state", count)
    return counted


def test_a_memory_is_opened_a_turn_a_chunk(books: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that whoever else has an answer under way waits for a chunk, and not for a whole tail."""
    turns: list[int] = []
    answer = books.turns.answer
    monkeypatch.setattr(books.turns, "answer", lambda: turns.append(1) or answer())
    books.ask("harbour", "Who?")  # nothing is written yet
    assert len(turns) == 3  # for the memory, its earlier volumes, and its tail


def test_all_ways_of_asking_open_a_memory_once(books: Library, opened: list[bool]) -> None:
    question = "How many ships?"
    answers = {
        "".join(books.ask("harbour", question, sampling=SHORT)),
        "".join(books.say(books.start_conversation("harbour"), question, SHORT)),
        ChatComet(document="harbour", library=books, max_tokens=8).invoke(question).text,
        "".join(books.as_owner("").ask("harbour", question, sampling=SHORT)),
    }
    assert len(answers) == len(opened) == 1


def test_what_is_forgotten_is_not_kept_at_hand(library: Library, book: Path) -> None:
    document = library.ingest(book)
    "".join(library.ask(document, "How many ships?", sampling=SHORT))
    _, cache = library._answerer._loaded()
    assert cache.nbytes > 0
    library.forget(document)
    assert cache.nbytes == 0
