"""The memory page over HTTP, and the numbers behind it against the real state."""

from __future__ import annotations

import json

from app.database import Database
from app.memory_view import memory_view
from app.tables import Snapshot
from tests.ui.conftest import Site
from tests.ui.visitor import Shown
from ui import text
from ui.place import Place

PLACE = 0
(
    DOCUMENT,
    SUMMARY,
    STRIP,
    STRIP_WORDS,
    GATES,
    GATES_WORDS,
    SIZES,
    SIZES_WORDS,
    ANSWER,
    CHANCES,
    CHANCES_WORDS,
    FIGURES,
) = range(12)


def figure(output: object) -> dict:  # type: ignore[type-arg]
    """A Plotly figure as it was sent."""
    value = output.get("value", output) if isinstance(output, dict) else output
    return json.loads(value["plot"])  # type: ignore[no-any-return,index]


def test_the_figures_are_of_the_real_state(site: Site) -> None:
    document = site.library.find("harbour")
    shown = site.visitor().event("memory_of", str(Place(document.id))).outputs
    view = memory_view(site.library, document)
    assert f"{document.tokens:,} tokens" in shown[SUMMARY]
    whole = [bar for bar in figure(shown[STRIP])["data"] if bar["yaxis"] == "y"]
    assert [bar["base"][0] for bar in whole] == [0, view.temporary_from, view.tail_from]
    assert f"The last {view.tail:,} tokens" in shown[STRIP_WORDS]
    heat = figure(shown[GATES])["data"][0]
    assert len(heat["y"]) == view.layers
    assert "chunks of 16 tokens" in shown[GATES_WORDS]
    assert len(figure(shown[SIZES])["data"][0]["y"]) == 3
    assert text.CHANCES_NONE in shown[CHANCES_WORDS]
    assert shown[FIGURES]["visible"] is True


def test_answers_are_looked_at_one_by_one(site: Site) -> None:
    visitor = site.visitor()
    place = str(Place(site.library.find("island").id))
    asked = visitor.event("ask", "How many goats?", place)
    visitor.event("ask", "And <b>sheep</b>?", asked.outputs[0])
    shown = visitor.event("memory_of", place).outputs
    choices = shown[ANSWER]["choices"]
    assert [name for name, _ in choices] == ["And <b>sheep</b>?", "How many goats?"]
    assert shown[ANSWER]["value"] == choices[0][1]
    messages = site.library.conversation(Place.of(asked.outputs[0]).conversation or "").messages
    for (_, answer), message in zip(choices, (messages[3], messages[1]), strict=True):
        about = {"index": 0, "value": answer, "selected": True}
        plot, _words = visitor.event("chances", about=about).outputs
        assert message.details is not None
        expected = [chance for _, chance in message.details["chances"]]
        drawn = figure(plot)["data"][0]["y"]
        assert drawn == expected[: len(drawn)]


def test_a_document_that_is_not_read_has_nothing_to_see(site: Site) -> None:
    database = Database(site.library.settings.url)
    with database.writing() as session:
        for snapshot in session.query(Snapshot):
            session.delete(snapshot)
    database.close()
    place = str(Place(site.library.find("island").id))
    shown = Shown(site.visitor().event("memory_of", place).outputs)
    assert text.MEMORY_NOT_READ in shown.outputs[SUMMARY]
    assert shown.outputs[FIGURES]["visible"] is False


def test_without_documents_there_is_nothing_to_see(site: Site) -> None:
    for document in site.library.documents():
        site.library.forget(document)
    shown = site.visitor().event("memory_of", str(Place())).outputs
    assert text.NO_DOCUMENT in shown[SUMMARY]


def test_a_document_is_chosen_for_both_pages(site: Site) -> None:
    island = site.library.find("island")
    about = {"index": 0, "value": island.id, "selected": True}
    shown = site.visitor().event("memory", about=about).outputs
    assert shown[PLACE] == str(Place(island.id))
    assert "island" in shown[1 + SUMMARY]
