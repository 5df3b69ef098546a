"""Owners: what is somebody else's is not there, whichever way one asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.dialogue import Dialogue
from app.errors import DocumentBusy, UnknownConversation, UnknownDocument
from app.library import Library
from app.tables import Conversation, Document, new_id
from app.users import UnknownUser
from comet_core.generation import Sampling
from ingest.batch import Result, find_files
from ingest.pipeline import Progress
from tests.app.conftest import bits, rows

SHORT = Sampling(max_tokens=8)
ADMINISTRATION = {"open", "close", "as_owner", "users", "remove_user", "model", "turns", "settings"}
"""What is not about an owner's documents."""

Use = Callable[[Library, Document, Conversation], object]

BY_DOCUMENT: dict[str, list[Use]] = {
    "find": [lambda library, document, _: library.find(document.id)],
    "source": [
        lambda library, document, _: library.source(document),
        lambda library, document, _: library.source(document.id[:12]),
    ],
    "memory": [lambda library, document, _: library.memory(document)],
    "ask": [
        lambda library, document, _: library.ask(document, "Who?"),
        lambda library, document, _: library.ask(document.id, "Who?"),
    ],
    "start_conversation": [lambda library, document, _: library.start_conversation(document)],
    "conversations": [
        lambda library, document, _: library.conversations(document),
        lambda library, document, _: library.conversations(document.id),
    ],
    "say": [lambda library, _, conversation: library.say(conversation, "Who?")],
    "forget": [
        lambda library, document, _: library.forget(document),
        lambda library, document, _: library.forget(document.id),
    ],
}
BY_CONVERSATION: dict[str, Use] = {
    "conversation": lambda library, _, conversation: library.conversation(conversation.id),
    "rename": lambda library, _, conversation: library.rename(conversation, "Mine"),
    "export_markdown": lambda library, _, conversation: library.export_markdown(conversation),
    "delete_conversation": lambda library, _, conversation: library.delete_conversation(
        conversation
    ),
}
OTHERWISE = {"ingest", "ingest_many", "documents", "verify", "owner", "answer"}


@pytest.fixture
def hers(library: Library, book: Path) -> tuple[Library, Document, Conversation]:
    """What ada has: a document and a conversation about it."""
    ada = library.as_owner("ada")
    document = ada.ingest(book)
    conversation = ada.start_conversation(document)
    "".join(ada.say(conversation, "How many ships?", SHORT))
    return ada, document, conversation


def message(use: Use, library: Library, document: Document, conversation: Conversation) -> str:
    """What is said to who asks for something that is not theirs, ids left out."""
    with pytest.raises((UnknownDocument, UnknownConversation)) as raised:
        use(library, document, conversation)
    text = f"{type(raised.value).__name__}: {raised.value}"
    return text.replace(document.id, "ID").replace(document.id[:12], "ID")


def test_no_method_is_forgotten_here() -> None:
    public = {name for name in vars(Library) if not name.startswith("_")} | {"settings", "owner"}
    assert public == ADMINISTRATION | BY_DOCUMENT.keys() | BY_CONVERSATION.keys() | OTHERWISE


def test_nothing_of_another_owner_can_be_told_from_what_does_not_exist(
    library: Library, hers: tuple[Library, Document, Conversation]
) -> None:
    ada, document, conversation = hers
    nobody = Document(id=new_id(), title=document.title)
    nothing = Conversation(id=new_id(), document_id=nobody.id)
    before = rows(library), bits(ada.memory(document)), ada.export_markdown(conversation)
    uses = [use for name in BY_DOCUMENT.values() for use in name] + [*BY_CONVERSATION.values()]
    for eve in (library.as_owner("eve"), library):
        for use in uses:
            assert message(use, eve, document, conversation) == message(use, eve, nobody, nothing)
        assert eve.documents() == []
        assert eve.conversations() == []
        assert list(eve.verify()) == []
    assert before == (rows(library), bits(ada.memory(document)), ada.export_markdown(conversation))


def test_a_conversation_cannot_be_taken_over_with_a_document_of_ones_own(
    library: Library, hers: tuple[Library, Document, Conversation], book: Path
) -> None:
    ada, _, conversation = hers
    eve = library.as_owner("eve")
    own = eve.ingest(book)
    with pytest.raises(UnknownConversation):
        eve.say(Conversation(id=conversation.id, document_id=own.id, owner="ada"), "Who?", SHORT)
    assert len(ada.conversation(conversation.id).messages) == 2


def test_the_same_file_is_a_document_of_each(
    library: Library, hers: tuple[Library, Document, Conversation], book: Path
) -> None:
    ada, document, conversation = hers
    eve = library.as_owner("eve")
    (outcome,) = eve.ingest_many(find_files([book]))
    assert outcome.result is Result.READ
    own = eve.ingest(book)
    assert own.id != document.id
    assert bits(eve.memory(own)) == bits(ada.memory(document))
    assert [d.id for d in eve.documents()] == [own.id]
    assert [checked.document.id for checked in eve.verify()] == [own.id]
    assert eve.conversations(own) == []
    answer = "".join(eve.answer(eve.source(own), Dialogue((), "Who?"), SHORT))
    assert answer == "".join(ada.ask(document, "Who?", sampling=SHORT))
    eve.forget(own)
    assert [d.id for d in ada.documents()] == [document.id]
    assert [c.id for c in ada.conversations()] == [conversation.id]


def test_views_share_the_model_and_what_it_has_at_hand(library: Library) -> None:
    ada = library.as_owner("ada")
    assert ada.model is library.model
    assert ada.turns is library.turns is ada.as_owner("eve").turns
    assert (library.owner, ada.owner) == ("", "ada")


@pytest.mark.parametrize("name", ["", "0" * 32, "%", "' OR '1'='1", "\ud800", "\0", "é" * 32])
def test_an_id_that_is_none_is_unknown(library: Library, name: str) -> None:
    with pytest.raises(UnknownConversation, match="no such conversation"):
        library.conversation(name)


def test_a_user_goes_with_all_that_is_theirs(
    library: Library, hers: tuple[Library, Document, Conversation], book: Path
) -> None:
    own = library.ingest(book)
    with pytest.raises(UnknownUser):
        library.remove_user("ada")
    library.users.add("ada", "correct horse")
    library.remove_user("ada")
    assert library.users.names() == []
    assert [d.id for d in library.documents()] == [own.id]
    assert hers[0].documents() == hers[0].conversations() == []
    library.forget(own)
    assert rows(library) == {}


def test_a_user_whose_document_is_being_read_stays(
    library: Library,
    hers: tuple[Library, Document, Conversation],
    tmp_path: Path,
    checkpoints: None,
) -> None:
    ada, _, _ = hers
    library.users.add("ada", "correct horse")
    path = tmp_path / "long.txt"
    path.write_text("It is long. " * 90)
    refused = []

    def remove(progress: Progress) -> None:
        if len(ada.documents()) == 2:  # the first checkpoint is there
            with pytest.raises(DocumentBusy) as raised:
                library.remove_user("ada")
            refused.append(raised.value)

    ada.ingest(path, on_progress=remove)
    assert refused
    assert len(ada.documents()) == 2
    assert library.users.names() == ["ada"]
