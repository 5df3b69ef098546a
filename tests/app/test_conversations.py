"""Conversations: kept turn by turn, whatever is said; nothing of one that did not come about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.conversations import Conversations
from app.database import Database
from app.errors import EmptyQuestion, UnknownConversation, UnknownDocument
from app.library import Library
from app.settings import Settings
from app.tables import Conversation, Document
from comet_core.errors import ModelNotFound
from comet_core.generation import Sampling
from tests.app.conftest import rows

SHORT = Sampling(max_tokens=8)


def said(conversation: Conversation) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in conversation.messages]


def test_a_conversation_is_kept(settings: Settings, book: Path) -> None:
    with Library.open(settings=settings) as library:
        conversation = library.start_conversation(library.ingest(book))
        answers = [
            "".join(library.say(conversation, question, SHORT)) for question in ("One?", "Two?")
        ]
    with Library.open(settings=settings) as library:
        (kept,) = library.conversations("harbour")
        assert said(library.conversation(kept.id)) == [
            ("user", "One?"),
            ("assistant", answers[0]),
            ("user", "Two?"),
            ("assistant", answers[1]),
        ]
        assert len(list(library.say(kept, "Three?", SHORT))) > 0
        assert len(library.conversation(kept.id).messages) == 6
        assert [c.id for c in library.conversations()] == [kept.id]


def test_what_was_said_before_is_read(library: Library, book: Path) -> None:
    document = library.ingest(book)
    conversation = library.start_conversation(document)
    first = "".join(library.say(conversation, "One?", SHORT))
    second = "".join(library.say(conversation, "Two?", SHORT))
    assert second != "".join(library.ask(document, "Two?", sampling=SHORT))
    assert second == "".join(library.ask(document, "Two?", [("One?", first)], SHORT))


def test_an_answer_that_is_stopped_is_kept_as_far_as_it_was_written(
    library: Library, book: Path
) -> None:
    conversation = library.start_conversation(library.ingest(book))
    reply = library.say(conversation, "One?", Sampling(max_tokens=10**9))
    written = next(reply) + next(reply)
    reply.close()
    assert next(reply, None) is None
    assert reply.details["stopped"]
    kept = library.conversation(conversation.id)
    assert said(kept) == [("user", "One?"), ("assistant", written)]
    assert kept.messages[1].details == reply.details
    reply.close()
    assert len(library.conversation(conversation.id).messages) == 2


def test_an_answer_that_is_let_go_of_is_stopped(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    piece = ""
    for piece in library.say(conversation, "One?", Sampling(max_tokens=10**9)):  # noqa: B007
        break
    assert said(library.conversation(conversation.id)) == [("user", "One?"), ("assistant", piece)]


def test_an_answer_stopped_before_its_first_piece_is_not_kept(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    reply = library.say(conversation, "One?", SHORT)
    reply.close()
    assert list(reply) == []
    assert reply.details["stopped"]
    assert library.conversations() == []
    assert "conversation" not in rows(library)


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failing_answer_is_not_kept_but_an_interrupted_one_is(
    library: Library, book: Path, failure: type[BaseException]
) -> None:
    conversation = library.start_conversation(library.ingest(book))
    reply = library.say(conversation, "One?", Sampling(max_tokens=10**9))
    written = next(reply)

    def fail(*_: object) -> None:
        raise failure

    head = library.model.model.language_model.lm_head.register_forward_hook(fail)
    with pytest.raises(failure):
        written += "".join(reply)
    head.remove()
    kept = [said(library.conversation(c.id)) for c in library.conversations()]
    stopped = [("user", "One?"), ("assistant", written)]
    assert kept == ([stopped] if failure is KeyboardInterrupt else [])
    assert "".join(library.ask("harbour", "One?", sampling=SHORT))  # the turn was given back


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
    kept = library.conversation(conversation.id)
    assert said(kept) == [("user", "Who?"), ("assistant", answer)]
    assert kept.title == "Who?"


def test_what_is_removed_while_it_is_answered_stays_removed(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    "".join(library.say(conversation, "One?", SHORT))
    reply = library.say(conversation, "Two?", SHORT)
    next(reply)
    library.delete_conversation(conversation)
    with pytest.raises(UnknownConversation):
        list(reply)
    assert library.conversations() == []
    reply = library.say(conversation, "Three?", SHORT)
    next(reply)
    library.forget("harbour")
    with pytest.raises(UnknownDocument):
        list(reply)
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


# Names, order, asking again


def test_asking_again_is_as_if_it_were_the_first_time(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    answers = ["".join(library.say(conversation, q, SHORT)) for q in ("One?", "Two?", "Three?")]
    assert library.conversation(conversation.id).question_at(3) == "Two?"
    assert "".join(library.say(conversation, "Two?", SHORT, instead_of=3)) == answers[1]
    assert len(library.conversation(conversation.id).messages) == 4
    assert "".join(library.say(conversation, "Another?", SHORT, instead_of=0)) != answers[0]
    (kept,) = library.conversations()
    assert (kept.id, kept.title) == (conversation.id, "Another?")
    assert library.conversation(kept.id).messages[0].text == "Another?"


def test_what_is_asked_again_is_kept_until_there_is_an_answer(
    library: Library, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = library.start_conversation(library.ingest(book))
    for question in ("One?", "Two?"):
        "".join(library.say(conversation, question, SHORT))
    was = snapshot(library.conversation(conversation.id))
    library.say(conversation, "One?", SHORT, instead_of=0).close()  # before its first word
    with pytest.raises(EmptyQuestion):
        library.say(conversation, " ", SHORT, instead_of=0)
    reply = library.say(conversation, "One?", SHORT, instead_of=0)
    monkeypatch.setattr("comet_core.model.CometModel.answer_hidden", None)
    with pytest.raises(TypeError):
        "".join(reply)
    assert snapshot(library.conversation(conversation.id)) == was


def test_the_conversation_that_went_on_last_comes_first(library: Library, book: Path) -> None:
    document = library.ingest(book)
    one, two = (library.start_conversation(document) for _ in range(2))
    for conversation in (one, two, one):
        "".join(library.say(conversation, "Why?", SHORT))
    assert [c.id for c in library.conversations()] == [one.id, two.id]
    "".join(library.say(two, "Why?", SHORT))
    assert [c.id for c in library.conversations("harbour")] == [two.id, one.id]
    library.delete_conversation(two)
    assert [c.id for c in library.conversations()] == [one.id]
    with pytest.raises(UnknownConversation, match="no such conversation"):
        library.delete_conversation(two)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Conversations, Document]]:
    """A database with a document of ada's."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('store') / 'a.db'}")
    document = Document(
        owner="ada",
        content_hash="0" * 64,
        title="A",
        file_name="a.txt",
        pages=1,
        characters=1,
        tokens=1,
        status="ready",
    )
    with database.writing() as session:
        session.add(document)
    yield Conversations(database, "ada"), document
    database.close()


Said = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
Turns = st.lists(st.tuples(Said.filter(bool), Said), min_size=1, max_size=4)


def snapshot(conversation: Conversation) -> tuple[object, ...]:
    """All that can be seen of a conversation."""
    messages = [
        (m.position, m.role, m.text, m.details, m.created_at) for m in conversation.messages
    ]
    return conversation.title, conversation.updated_at, conversation.created_at, messages


@settings(max_examples=30)
@given(turns=Turns, data=st.data())
def test_what_is_replaced_is_as_if_it_had_never_been_said(
    store: tuple[Conversations, Document], turns: list[tuple[str, str]], data: st.DataObject
) -> None:
    conversations, document = store
    conversation = conversations.begin(document)
    was = []
    for number, (question, answer) in enumerate(turns):
        conversations.add_turn(conversation, number, question, answer, {"number": number})
        was.append(snapshot(conversations.get(conversation.id)))
    position = data.draw(st.integers(0, 2 * len(turns) - 1))
    left = position // 2
    stored = conversations.get(conversation.id)
    assert stored.question_at(position) == turns[left][0]
    for beyond in (-1, 2 * len(turns)):
        with pytest.raises(UnknownConversation, match="no such message"):
            stored.question_at(beyond)
    for number, (question, answer) in list(enumerate(turns))[left:]:
        conversations.add_turn(
            conversation, number, question, answer, {"number": number}, instead=number == left
        )
        assert conversations.turns(conversation) == tuple(turns[: number + 1])
        title, _, created, messages = snapshot(conversations.get(conversation.id))
        assert (title, created) == (was[number][0], was[number][2])
        before, now = was[number][3], messages
        assert [m[:4] for m in now] == [m[:4] for m in before]  # type: ignore[attr-defined]
        assert now[: 2 * left] == before[: 2 * left]  # type: ignore[index]
    conversations.delete(conversation)


@pytest.mark.parametrize(
    ("given_title", "title"),
    [("  Ships\n and\t<b> ", "Ships and <b>"), ("x" * 300, "x" * 200), ("\x00 ", "One?")],
)
def test_a_name_that_was_given_stays(
    store: tuple[Conversations, Document], given_title: str, title: str
) -> None:
    conversations, document = store
    conversation = conversations.begin(document)
    conversations.add_turn(conversation, 0, "One?", "1", {})
    conversations.rename(conversation, given_title)
    assert conversations.get(conversation.id).title == title
    conversations.add_turn(conversation, 0, "Two?", "2", {}, instead=True)
    assert conversations.get(conversation.id).title == ("Two?" if title == "One?" else title)
    conversations.delete(conversation)


def test_a_conversation_is_exported_with_all_that_was_said(library: Library, book: Path) -> None:
    conversation = library.start_conversation(library.ingest(book))
    "".join(library.say(conversation, "Is <b>this</b> *it*?", SHORT))
    library.rename(conversation, "The harbour")
    exported = library.export_markdown(conversation)
    assert exported.startswith('# The harbour\n\nAbout "harbour", ')
    assert "\n\n**Question**\n\nIs \\<b\\>this\\</b\\> \\*it\\*?\n\n**Answer**\n\n" in exported
