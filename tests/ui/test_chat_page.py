"""The chat page over HTTP: asking, stopping, asking again, and what is kept of it."""

from __future__ import annotations

import gc
from collections import Counter
from contextlib import suppress
from threading import Event
from typing import Any

import gradio as gr
import pytest
from sqlalchemy import text as sql

from app.database import Database
from app.library import Library
from app.tables import Conversation
from tests.app.conftest import tamper
from tests.app.patient import PATIENCE_S
from tests.ui.conftest import SMALL, Site, site_of, wait
from tests.ui.visitor import Shown, Visitor, changed
from ui import answers, text
from ui.place import Place

PLACE, DOCUMENT, CONVERSATIONS, MESSAGES, STATUS, FIRST_EXAMPLE = range(6)
QUESTION, SEND, STOP, MANAGE, NAME, ACTIONS = range(8, 14)


def place_of(shown: Shown) -> Place:
    return Place.of(shown.outputs[PLACE])


def said(shown: Shown) -> list[tuple[str, str]]:
    """The messages that are to be seen."""
    messages = shown.outputs[MESSAGES]["value"]
    return [(m["role"], m["content"][0]["text"]) for m in messages]


def at(site: Site, title: str = "island") -> str:
    return str(Place(site.library.find(title).id))


def kept(site: Site, shown: Shown) -> Conversation:
    return site.library.conversation(place_of(shown).conversation or "")


def test_an_answer_is_streamed_and_kept(site: Site) -> None:
    shown = site.visitor().event("ask", " How many goats? ", at(site))
    assert shown.steps >= 2
    (role, question), (other, answer) = said(shown)
    assert (role, question, other) == ("user", "How many goats?", "assistant")
    assert answer
    stored = kept(site, shown)
    assert stored.messages[0].text == "How many goats?"
    tokens = site.library.find("island").tokens
    assert f"Resumed from a memory of {tokens:,} tokens in" in shown.outputs[STATUS]
    assert shown.outputs[CONVERSATIONS]["choices"] == [["How many goats?", stored.id]]
    assert shown.outputs[SEND]["visible"] is True
    assert shown.outputs[STOP]["visible"] is False
    assert f'href="conversations/{stored.id}.md"' in shown.outputs[ACTIONS]


def test_a_conversation_goes_on(site: Site) -> None:
    visitor = site.visitor()
    first = visitor.event("ask", "How many goats?", at(site))
    second = visitor.event("ask", "And sheep?", first.outputs[PLACE])
    assert place_of(second) == place_of(first)
    assert [words for role, words in said(second) if role == "user"] == [
        "How many goats?",
        "And sheep?",
    ]


def test_conversations_are_reopened_after_a_restart(books: Library) -> None:
    with site_of(books) as site:
        before = site.visitor().event("ask", "How many goats?", at(site))
    with Library.open(settings=books.settings) as again, site_of(again) as site:
        opened = site.visitor().event("open")
        outputs = Shown(opened.outputs[4:])
        assert place_of(outputs) == place_of(before)
        assert said(outputs) == said(before)
        assert outputs.outputs[STATUS] == before.outputs[STATUS]
        # and a page that was open all the time goes on where it was
        after = site.visitor().event("ask", "And sheep?", before.outputs[PLACE])
        assert len(said(after)) == 4


def test_a_page_that_was_only_just_opened_shows_the_last_conversation(site: Site) -> None:
    """Also if the chat is looked at before the page knows where it is."""
    asked = site.visitor().event("ask", "How many goats?", at(site))
    assert said(site.visitor().event("chat", "/")) == said(asked)


def test_examples_are_there_to_begin_with(site: Site) -> None:
    shown = Shown(site.visitor().event("open").outputs[4:])
    examples = [shown.outputs[FIRST_EXAMPLE + number] for number in range(3)]
    assert [example["visible"] for example in examples] == [True] * 3
    assert [example["value"] for example in examples] == site.library.find("island").examples
    after = site.visitor().event("ask", examples[0]["value"], shown.outputs[PLACE])
    assert not any(after.outputs[FIRST_EXAMPLE + number]["visible"] for number in range(3))


def test_a_conversation_is_chosen_and_a_new_one_begun(site: Site) -> None:
    visitor = site.visitor()
    first = visitor.event("ask", "How many goats?", at(site))
    new = visitor.event("new_conversation", first.outputs[PLACE])
    assert said(new) == []
    assert place_of(new) == Place(place_of(first).document)
    chosen = {"index": 0, "value": place_of(first).conversation, "selected": True}
    assert said(visitor.event("choose_conversation", about=chosen)) == said(first)
    harbour = {"index": 0, "value": site.library.find("harbour").id, "selected": True}
    other = visitor.event("choose_document", about=harbour)
    assert said(other) == []
    assert other.outputs[CONVERSATIONS]["choices"] == []


def test_an_answer_is_written_anew(site: Site) -> None:
    visitor = site.visitor()
    first = visitor.event("ask", "How many goats?", at(site))
    visitor.event("ask", "And sheep?", first.outputs[PLACE])
    again = visitor.event("regenerate", first.outputs[PLACE], about={"index": 0, "value": "x"})
    assert said(again) == said(first)  # the model takes no chances, and what came later is gone
    assert len(kept(site, again).messages) == 2


def test_what_is_typed_after_an_answer_stays(site: Site) -> None:
    """Gradio's last message shows all once more: by then a box may be typed in."""
    shown = site.visitor().event("ask", "How many goats?", at(site))
    assert shown.outputs[NAME] == "How many goats?"
    assert not changed(shown.sent[NAME])
    assert "value" not in shown.sent[QUESTION]
    assert changed(shown.sent[PLACE])


def test_a_question_is_edited(site: Site) -> None:
    visitor = site.visitor()
    first = visitor.event("ask", "How many goats?", at(site))
    about = {"index": 0, "value": "Is 3 &lt;b sheep?", "previous_value": "How many goats?"}
    edited = visitor.event("edit", first.outputs[PLACE], about=about)
    assert kept(site, edited).messages[0].text == "Is 3 <b sheep?"
    assert said(edited)[0] == ("user", "Is 3 &lt;b sheep?")
    about = {"index": 0, "value": "   ", "previous_value": ""}
    assert visitor.event("edit", first.outputs[PLACE], about=about).notes == [text.EMPTY_QUESTION]
    assert kept(site, edited).messages[0].text == "Is 3 <b sheep?"


def test_a_conversation_is_renamed_exported_and_deleted(site: Site) -> None:
    visitor = site.visitor()
    asked = visitor.event("ask", "How many goats?", at(site))
    named = visitor.event("rename", "Goats <b>& sheep</b>", asked.outputs[PLACE])
    assert named.outputs[NAME] == "Goats <b>& sheep</b>"
    assert named.outputs[CONVERSATIONS]["choices"][0][0] == "Goats <b>& sheep</b>"
    conversation = place_of(asked).conversation
    file = visitor.http.get(f"/conversations/{conversation}.md")
    assert file.headers["content-type"].startswith("text/markdown")
    assert "attachment" in file.headers["content-disposition"]
    assert "Goats" in file.headers["content-disposition"]
    assert "How many goats?" in file.text
    assert "<b>" not in file.text
    deleted = visitor.event("delete_conversation", about={"id": conversation})
    assert deleted.notes == [text.DELETED]
    assert said(deleted) == []
    assert site.library.conversations() == []
    assert visitor.http.get(f"/conversations/{conversation}.md").status_code == 404


def test_an_answer_can_be_stopped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, stopped = site.visitor(), Event()
    stop = answers.Answers.stop

    def stopping(self: answers.Answers, owner: str, session: str) -> None:
        stop(self, owner, session)
        stopped.set()

    monkeypatch.setattr(answers.Answers, "stop", stopping)
    with site.library.turns.answer():  # the answer waits for its turn meanwhile
        joined = visitor.join("ask", "How many goats?", at(site)).json()
        wait(lambda: site.library.turns.waiting)
        assert visitor.join("stop").status_code == 200
        assert stopped.wait(PATIENCE_S)
    (shown,) = visitor.follow(joined["event_id"])
    assert shown.outputs[SEND]["visible"] is True
    assert text.STOPPED in shown.outputs[STATUS]
    (_, _), (_, answer) = said(shown)
    details = kept(site, shown).messages[1].details
    assert details is not None
    assert details["stopped"] is True
    assert len(details["chances"]) <= 3
    assert not any(piece for piece, _ in details["chances"][:-1])  # none after the first text
    assert answer


def test_the_same_browser_asks_one_thing_at_a_time(site: Site) -> None:
    """A second question ends the first answer, which is kept as far as it was written."""
    visitor = site.visitor()
    with site.library.turns.answer():
        first = visitor.join("ask", "How many goats?", at(site)).json()
        wait(lambda: site.library.turns.waiting)
        second = visitor.join("ask", "And sheep?", at(site)).json()
    (shown,) = visitor.follow(second["event_id"])
    assert said(shown)[-2] == ("user", "And sheep?")
    assert first["event_id"] != second["event_id"]


def test_nobody_has_all_the_turns(site: Site) -> None:
    visitors = [site.visitor() for _ in range(answers.PER_OWNER + 1)]
    with site.library.turns.answer():
        joined = []
        for visitor in visitors[:-1]:
            joined.append(visitor.join("ask", "How many goats?", at(site)).json()["event_id"])
            wait(lambda: site.library.turns.answers == len(joined))
        refused = visitors[-1].event("ask", "How many goats?", at(site))
        assert refused.notes == [text.TOO_MANY_QUESTIONS]
        assert not any(map(changed, refused.outputs))
    for visitor, event in zip(visitors, joined, strict=False):
        assert [len(said(shown)) for shown in visitor.follow(event)] == [2]


def test_a_session_does_not_grow(site: Site) -> None:
    """Not by components that Gradio keeps: whatever is shown, there are as many as before."""

    def components() -> Counter[str]:
        gc.collect()
        kept = (it for it in gc.get_objects() if isinstance(it, gr.blocks.Block))
        return Counter(type(it).__name__ for it in kept)

    def use(visitor: Visitor) -> None:
        for event in ("open", "library"):
            visitor.event(event)
        for question in ("How many goats?", "", "And sheep?"):
            place = visitor.event("ask", question, at(site)).outputs[PLACE]
        visitor.event("chat", place)
        visitor.event("memory_of", place)
        visitor.event("rename", "Goats", place)
        visitor.event("remove", about={"id": "nothing"})

    visitor = site.visitor()
    use(visitor)
    before = components()
    use(visitor)
    assert components() == before


def test_who_goes_away_leaves_nothing_behind(site: Site) -> None:
    """Answers that nobody looks at any more end, and do not count as being written."""
    for _ in range(answers.PER_OWNER + 1):
        visitor = site.visitor()
        with site.library.turns.answer():
            assert visitor.join("ask", "How many goats?", at(site)).status_code == 200
            wait(lambda: site.library.turns.waiting)
            query = {"session_hash": visitor.session}
            with visitor.http.stream("GET", "/gradio_api/queue/data", params=query) as stream:
                next(stream.iter_lines())
        visitor.http.close()
    wait(lambda: not site.library.turns.waiting)
    shown = site.visitor().event("ask", "And sheep?", at(site))
    assert len(said(shown)) == 2


def test_coming_back_to_the_page_does_not_disturb_an_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, looked = site.visitor(), Event()
    is_writing = answers.Answers.is_writing

    def looking(self: answers.Answers, owner: str, session: str) -> bool:
        looked.set()
        return is_writing(self, owner, session)

    monkeypatch.setattr(answers.Answers, "is_writing", looking)
    with site.library.turns.answer():
        asked = visitor.join("ask", "How many goats?", at(site)).json()["event_id"]
        wait(lambda: site.library.turns.waiting)
        back = visitor.join("chat", at(site)).json()["event_id"]
        assert looked.wait(PATIENCE_S)
    answered, page = visitor.follow(asked, back)
    assert len(said(answered)) == 2
    assert not any(map(changed, page.outputs))


@pytest.mark.parametrize(
    ("question", "note"),
    [
        ("", text.EMPTY_QUESTION),
        (" \n\t ", text.EMPTY_QUESTION),
        (None, text.EMPTY_QUESTION),
        ("a" * (SMALL.question_characters + 1), "The question has 201 characters"),
    ],
)
def test_a_question_that_cannot_be_asked(site: Site, question: str | None, note: str) -> None:
    shown = site.visitor().event("ask", question, at(site))
    assert shown.notes[0].startswith(note)
    assert not any(map(changed, shown.outputs))
    assert site.library.conversations() == []


@pytest.mark.parametrize("place", ["", "/", "nothing", "nothing/nothing", None, 5])
def test_nowhere_nothing_is_asked(site: Site, place: object) -> None:
    shown = site.visitor().event("ask", "How many goats?", place)
    assert shown.notes[0] in (text.NOTHING_CHOSEN, text.GONE)
    assert site.library.conversations() == []


def test_what_cannot_be_answered_is_given_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question stands in its field again, and the reason is told."""
    tamper(site.library)
    shown = site.visitor().event("ask", "How many goats?", at(site))
    assert "damaged" in shown.notes[0] or "checksum" in shown.notes[0]
    assert shown.outputs[QUESTION]["value"] == "How many goats?"
    assert said(shown) == []


def test_a_document_that_is_not_read_cannot_be_asked(site: Site, monkeypatch: Any) -> None:
    database = Database(site.library.settings.url)
    with database.writing() as session:
        session.execute(sql("DELETE FROM snapshot"))
    database.close()
    shown = Shown(site.visitor().event("open").outputs[4:])
    assert shown.outputs[QUESTION]["interactive"] is False
    assert shown.outputs[MESSAGES]["placeholder"] == text.CHAT_NOT_READ
    asked = site.visitor().event("ask", "How many goats?", at(site))
    assert "has not been read to its end" in asked.notes[0]


def test_without_documents_it_is_said_where_to_begin(site: Site) -> None:
    for document in site.library.documents():
        site.library.forget(document)
    shown = Shown(site.visitor().event("open").outputs[4:])
    assert shown.outputs[MESSAGES]["placeholder"] == text.CHAT_WITHOUT_DOCUMENT
    assert place_of(shown) == Place()


def test_a_question_is_not_lost_when_it_cannot_be_asked_again_now(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = site.visitor()
    asked = visitor.event("ask", "How many goats?", at(site))
    monkeypatch.setattr(answers, "PER_OWNER", 0)
    again = visitor.event("regenerate", asked.outputs[PLACE], about={"index": 0, "value": "x"})
    assert again.notes == [text.TOO_MANY_QUESTIONS]
    assert len(kept(site, asked).messages) == 2


def test_what_cannot_be_written_anew_stays_as_it_was(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = site.visitor()
    asked = visitor.event("ask", "How many goats?", at(site))
    was = [message.text for message in kept(site, asked).messages]
    monkeypatch.setattr("comet_core.generation.Answer.__next__", None)
    for event in ("regenerate", "edit"):
        about = {"index": 0, "value": "Some other question?", "previous_value": "x"}
        again = visitor.event(event, asked.outputs[PLACE], about=about)
        assert again.notes and [words for _, words in said(again)] == was
    assert [message.text for message in kept(site, asked).messages] == was


def test_a_defect_leaves_a_page_that_can_be_used(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Library, "say", fail)
    shown = site.visitor().event("ask", "How many goats?", at(site))
    assert shown.notes == [text.DEFECT.replace("'", "&#x27;")]
    assert shown.outputs[SEND]["visible"] is True
    assert shown.outputs[QUESTION]["value"] == "How many goats?"
    assert "secret" not in shown.text


@pytest.mark.parametrize("index", [99, -1, "x", None, [0, 1]])
def test_an_index_that_is_none(site: Site, index: object) -> None:
    visitor = site.visitor()
    asked = visitor.event("ask", "How many goats?", at(site))
    with suppress(AssertionError):
        visitor.event("regenerate", asked.outputs[PLACE], about={"index": index, "value": "x"})
    assert kept(site, asked).messages[0].text == "How many goats?"
