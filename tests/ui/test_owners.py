"""Two users over HTTP: whatever one sends, what is the other's cannot be reached or told apart from
what does not exist."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from app.tables import Conversation, Document
from tests.app.conftest import SENTENCE
from tests.ui.conftest import Site, wait
from tests.ui.visitor import Shown, Visitor
from ui.place import Place

SECRET = "Marigold"


@dataclass
class Two:
    """Anna has a document and a conversation, bert has neither."""

    site: Site
    anna: Visitor
    bert: Visitor
    document: Document
    conversation: Conversation

    @property
    def place(self) -> str:
        return str(Place(self.document.id, self.conversation.id))

    def unharmed(self) -> bool:
        """Whether what is anna's is as it was."""
        library = self.site.library.as_owner("anna")
        (document,) = library.documents()
        (conversation,) = library.conversations()
        messages = library.conversation(conversation.id).messages
        return (
            document.id == self.document.id
            and conversation.title == self.conversation.title
            and [m.text for m in messages] == [m.text for m in self.conversation.messages]
        )


@pytest.fixture
def two(shared_site: Site, tmp_path: Path) -> Two:
    anna, bert = shared_site.visitor("anna"), shared_site.visitor("bert")
    book = tmp_path / f"{SECRET}.txt"
    book.write_text("".join(SENTENCE.format(year=1800 + n, ships=17 * n) for n in range(10)))
    assert anna.upload(book).status_code == 201
    shared_site.read("anna")
    library = shared_site.library.as_owner("anna")
    (document,) = library.documents()
    anna.event("ask", f"Who is {SECRET}?", str(Place(document.id)))
    (conversation,) = library.conversations()
    return Two(shared_site, anna, bert, document, library.conversation(conversation.id))


def knows_nothing(two: Two, shown: Shown) -> bool:
    """Whether nothing of anna's is in what was shown but what bert sent himself."""
    return SECRET not in shown.text and two.unharmed()


def test_each_sees_what_is_theirs(two: Two) -> None:
    assert SECRET in two.anna.event("library").text
    assert SECRET in two.anna.event("open").text
    for event in ("library", "open"):
        shown = two.bert.event(event)
        assert knows_nothing(two, shown)
        assert "harbour" not in shown.text  # nobody's documents are not everybody's


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("ask", ["What?", "{place}"]),
        ("ask", ["What?", "{document}/"]),
        ("ask", ["What?", "/{conversation}"]),
        ("rename", ["mine now", "{place}"]),
        ("new_conversation", ["{place}"]),
        ("chat", ["{place}"]),
        ("memory_of", ["{place}"]),
    ],
)
def test_a_place_that_is_anothers(two: Two, event: str, data: list[str]) -> None:
    ids = {
        "place": two.place,
        "document": two.document.id,
        "conversation": two.conversation.id,
    }
    shown = two.bert.event(event, *(each.format(**ids) for each in data))
    assert knows_nothing(two, shown)


@pytest.mark.parametrize("event", ["regenerate", "edit"])
def test_messages_that_are_anothers(two: Two, event: str) -> None:
    about = {"index": 0, "value": "mine now", "previous_value": "x"}
    assert knows_nothing(two, two.bert.event(event, two.place, about=about))


@pytest.mark.parametrize(
    "event",
    [
        "remove",
        "ask_about",
        "delete_conversation",
        "choose_document",
        "choose_conversation",
        "memory",
        "chances",
        "stop_reading",
        "dismiss",
    ],
)
def test_ids_that_are_anothers(two: Two, event: str) -> None:
    (job,) = two.site.desk.jobs("anna")
    position = f"{two.conversation.id}:1"
    for identity in (two.document.id, two.conversation.id, job.id, position):
        about = {"id": identity, "index": 0, "value": identity, "selected": True}
        assert knows_nothing(two, two.bert.event(event, about=about))
    assert two.site.desk.jobs("anna") == [job]


def test_what_is_anothers_is_told_as_what_is_not_there(two: Two) -> None:
    for event in ("remove", "delete_conversation"):
        theirs = {"remove": two.document.id, "delete_conversation": two.conversation.id}[event]
        notes = two.bert.event(event, about={"id": theirs}).notes
        assert notes
        assert notes == two.bert.event(event, about={"id": "0" * 32}).notes


def test_a_download_that_is_anothers(two: Two) -> None:
    path = f"/conversations/{two.conversation.id}.md"
    assert SECRET in two.anna.http.get(path).text
    theirs, nobodys = two.bert.http.get(path), two.bert.http.get(f"/conversations/{'0' * 32}.md")
    assert theirs.status_code == nobodys.status_code == 404
    assert theirs.json() == nobodys.json()


def test_a_reading_that_is_anothers_cannot_be_stopped(two: Two, tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("There is more to be read in this one. " * 20)
    with two.site.library.turns.answer():
        two.anna.upload(tmp_path / "more.txt")
        job = wait(lambda: [j for j in two.site.desk.jobs("anna") if not j.state.ended])[0]
        shown = two.bert.event("stop_reading", about={"id": job.id})
        assert "more.txt" not in shown.text
    assert [job.state for job in two.site.read("anna")] == ["done", "done"]


def test_one_file_of_two_users_is_two_documents(two: Two, tmp_path: Path) -> None:
    assert two.bert.upload(tmp_path / f"{SECRET}.txt").status_code == 201
    two.site.read("bert")
    (own,) = two.site.library.as_owner("bert").documents()
    assert own.id != two.document.id
    two.bert.event("remove", about={"id": own.id})
    assert two.site.library.as_owner("bert").documents() == []
    assert two.unharmed()
