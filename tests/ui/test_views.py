"""What is shown, as pure functions: every text stays text, numbers are right."""

from __future__ import annotations

from html import unescape
from itertools import pairwise

import pytest
from bs4 import BeautifulSoup
from hypothesis import example, given
from hypothesis import strategies as st

from app.desk import Job, State
from app.memory_view import Gates, MemoryView
from app.tables import Conversation, Document, Message, Snapshot, Status
from ui import chat_view, library_view, memory_view, plots, text
from ui.place import Place
from ui.render import render

EVIL = '<img src=x onerror="alert(1)"> `${alert(2)}` {{value}} </textarea><script>alert(3)</script>'
HTML_LIKE = st.text(
    alphabet=st.one_of(
        st.sampled_from("<>&;#ampltgx/!? b"), st.characters(exclude_categories=["C"])
    ),
    max_size=40,
)


def document(**fields: object) -> Document:
    given = {
        "id": "d" * 32,
        "title": "Emma",
        "file_name": "emma.txt",
        "pages": 12,
        "tokens": 157_204,
        "characters": 800_000,
        "skipped_pages": [],
        "examples": ["Who is Emma?", "Who is Harriet?", "Where is Highbury?"],
        "status": Status.READY,
        "snapshots": [Snapshot(finished=True, nbytes=5_300_000)],
    }
    return Document(**{**given, **fields})


def job(**fields: object) -> Job:
    return Job(**{"id": "j", "name": "emma.txt", "content_hash": "h", **fields})  # type: ignore[arg-type]


def tags(html: str) -> set[str]:
    return {tag.name for tag in BeautifulSoup(html, "html.parser").find_all()}


# Library


def test_a_document_is_a_row_of_numbers() -> None:
    row = library_view.document_row(document())
    shown = (row.title, row.file_name, row.pages, row.tokens, row.memory, row.state, row.can_ask)
    assert shown == ("Emma", "emma.txt", "12", "157,204", "5.3 MB", "Ready", True)


@pytest.mark.parametrize(
    ("fields", "active", "kind", "state"),
    [
        ({}, False, "ready", text.READY),
        ({}, True, "reading", text.READING),
        ({"skipped_pages": [{"page": 3, "problem": "x"}]}, False, "ready", "1 page could"),
        ({"skipped_pages": [{"page": 3}, {"page": 4}]}, False, "ready", "2 pages could"),
        ({"snapshots": [Snapshot(finished=False, nbytes=1)]}, False, "failed", text.INTERRUPTED),
        ({"snapshots": [], "error": "The disk is full."}, False, "failed", "The disk is full."),
    ],
)
def test_a_documents_state_is_told(
    fields: dict[str, object], active: bool, kind: str, state: str
) -> None:
    row = library_view.document_row(document(**fields), ["d" * 32] if active else [])
    assert row.kind == kind
    assert state in row.state
    assert row.can_ask is ("snapshots" not in fields)


@pytest.mark.parametrize(
    ("fields", "percent", "line"),
    [
        ({}, 0, text.WAITING),
        ({"state": State.READING}, 0, text.STARTING),
        (
            {
                "state": State.READING,
                "pages": 30,
                "page_count": 120,
                "tokens": 20_480,
                "tokens_per_second": 871.4,
                "seconds_left": 130.0,
            },
            25,
            "30 of 120 pages · 20,480 tokens · 871 tokens/s · 2:10 left",
        ),
        ({"state": State.FAILED, "message": "It is a scan."}, 0, "It is a scan."),
    ],
)
def test_a_jobs_progress_is_told(fields: dict[str, object], percent: int, line: str) -> None:
    row = library_view.job_row(job(**fields))
    assert (row.percent, row.line) == (percent, line)
    assert row.can_stop is (fields.get("state") is not State.FAILED)


def test_a_progress_bar_says_what_it_is_of() -> None:
    reading = job(state=State.READING, pages=1, page_count=4, tokens=9)
    bar = BeautifulSoup(library_view.jobs_html([reading]), "html.parser").find(role="progressbar")
    assert bar is not None
    assert (bar["aria-valuenow"], bar["aria-label"]) == ("25", "How far emma.txt is read")


def test_no_jobs_show_nothing() -> None:
    assert library_view.jobs_html([]) == ""


def test_the_newest_document_comes_first() -> None:
    shown = library_view.documents_html([document(title="old"), document(title="new")])
    assert shown.index("new") < shown.index("old")


@pytest.mark.parametrize(
    "html",
    [
        library_view.documents_html([document(title=EVIL, file_name=EVIL)]),
        library_view.documents_html([document(snapshots=[], error=EVIL)]),
        library_view.jobs_html([job(name=EVIL, state=State.FAILED, message=EVIL)]),
        chat_view.status_html(EVIL),
        chat_view.manage_html(Conversation(id='"><img>')),
        render("words.html", words=EVIL),
        render("heading.html", title=EVIL, words=EVIL),
        render("header.html", user=EVIL),
        render("login.html", problem=EVIL, css=""),
    ],
)
def test_nothing_in_a_text_becomes_html(html: str) -> None:
    assert tags(html).isdisjoint({"img", "script"})
    texts = [
        str(value)
        for tag in BeautifulSoup(html, "html.parser").find_all()
        for name, value in tag.attrs.items()
        if name.startswith("on")
    ]
    assert texts == []


# Chat


@given(HTML_LIKE)
@example("&A")
@example("&A&B")
def test_what_is_said_is_no_html_and_can_be_edited(words: str) -> None:
    shown = chat_view.literal(words)
    assert tags(shown) == set()
    # The space: at the very end of a text this parser drops an entity without a semicolon.
    assert BeautifulSoup(f"{shown} ", "html.parser").get_text() == f"{words} "
    assert unescape(shown) == words


def test_ordinary_words_are_not_touched() -> None:
    words = 'Is 3 < 4 & 5 > 4, "really"? AT&T'
    assert chat_view.literal(words) == words


def test_documents_of_one_title_are_told_apart() -> None:
    files = [document(id=kind, file_name=f"emma.{kind}") for kind in ("pdf", "epub")]
    other = document(id="other", title="Persuasion", snapshots=[])
    assert chat_view.document_choices([*files, other]) == [
        ("Persuasion (not read yet)", "other"),
        ("Emma (emma.epub)", "epub"),
        ("Emma (emma.pdf)", "pdf"),
    ]


def test_a_long_name_is_shortened_and_on_one_line() -> None:
    name = chat_view.shortened("many\nwords " * 40)
    assert len(name) == chat_view.NAME_LENGTH
    assert "\n" not in name
    assert name.endswith("…")


def test_examples_are_for_the_beginning() -> None:
    assert len(chat_view.example_questions(document(), [])) == 3
    assert chat_view.example_questions(document(), [Message(role="user", text="x")]) == []
    assert chat_view.example_questions(document(snapshots=[]), []) == []
    assert chat_view.example_questions(None, []) == []


def test_the_status_line_says_what_the_model_did() -> None:
    details = {
        "tokens_read": 157_204,
        "resumed_seconds": 0.213,
        "first_piece_seconds": 0.4,
        "seconds": 3.25,
        "stopped": True,
    }
    assert chat_view.status_line(details) == (
        "Resumed from a memory of 157,204 tokens in 0.2 s. "
        "First word after 0.4 s, the whole answer in 3.2 s. You stopped this answer."
    )
    for remembered, words in ((True, [text.REMEMBERED]), (False, [text.SEEN]), (None, [])):
        line = chat_view.status_line(details | {"remembered": remembered})
        assert [said for said in (text.REMEMBERED, text.SEEN) if said in line] == words
    details["resumed_seconds"] = 0.0123
    assert "tokens in 0.01 s." in chat_view.status_line(details)
    assert chat_view.status_line(None) == ""


@given(st.text(), st.text())
def test_a_place_is_read_back(document_id: str, conversation_id: str) -> None:
    place = Place(document_id.replace("/", "") or None, conversation_id or None)
    assert Place.of(str(place)) == place


@pytest.mark.parametrize("value", [None, "", 7, ["a"], {"document": "a"}])
def test_a_place_that_makes_no_sense_is_nowhere(value: object) -> None:
    assert Place.of(value) == Place()


# Memory


def view(**fields: object) -> MemoryView:
    given = {
        "tokens": 1000,
        "chunks": 3,
        "tail": 232,
        "temporary_from": 512,
        "chunk_size": 256,
        "stride": 4,
        "layers": 2,
        "global_rows": 16,
        "temporary_rows": 64,
        "volumes": 1,
        "volume_chunks": 0,
        "memory_bytes": 40_000,
        "text_bytes": 4_000,
        "cache_bytes": 8_000_000,
        "gates": Gates([[0.0, 0.5, 0.6], [0.0, 0.9, 0.8]], 1, 3),
    }
    return MemoryView(**{**given, **fields})  # type: ignore[arg-type]


@given(st.integers(1, 10**7), st.data())
def test_the_strip_covers_the_document_once(tokens: int, data: st.DataObject) -> None:
    tail = data.draw(st.integers(0, tokens))
    temporary_from = data.draw(st.integers(0, tokens - tail))
    figure = plots.strip(view(tokens=tokens, tail=tail, temporary_from=temporary_from))
    rows = {bar.yaxis for bar in figure.data}
    for row in rows:
        bars = [bar for bar in figure.data if bar.yaxis == row]
        ends = [(bar.base[0], bar.base[0] + bar.x[0]) for bar in bars]
        assert all(a[1] == b[0] for a, b in pairwise(ends))
        assert ends[-1][1] == tokens
    whole = [bar for bar in figure.data if bar.yaxis == "y"]
    assert whole[0].base[0] == 0
    assert len(rows) == (2 if 0 < 2 * (tokens - temporary_from) < tokens else 1)


def test_the_heat_map_leaves_out_the_first_chunk() -> None:
    figure = plots.gates(view())
    assert figure is not None
    heat = figure.data[0]
    assert [list(layer) for layer in heat.z] == [[0.5, 0.6], [0.9, 0.8]]
    assert list(heat.x) == [2, 3]


def test_gates_that_are_means_begin_with_the_first_column() -> None:
    figure = plots.gates(view(gates=Gates([[0.2, 0.6]], 2, 3)))
    assert figure is not None
    assert list(figure.data[0].x) == [1, 3]
    assert "2 chunks" in memory_view.gates_caption(view(gates=Gates([[0.2, 0.6]], 2, 3)))


@pytest.mark.parametrize(
    ("fields", "caption"),
    [
        ({"chunks": 1, "gates": Gates([[0.0]], 1, 1)}, text.GATES_ONE_CHUNK),
        ({"chunks": 0, "gates": Gates([], 1, 0)}, text.GATES_ONE_CHUNK),
        ({"gates": Gates([], 1, 0)}, text.GATES_NONE),
    ],
)
def test_without_gates_it_is_said_why(fields: dict[str, object], caption: str) -> None:
    assert plots.gates(view(**fields)) is None
    assert memory_view.gates_caption(view(**fields)) == caption


def test_what_begins_anew_is_explained_where_it_does() -> None:
    one = memory_view.gates_caption(view())
    several = memory_view.gates_caption(view(volumes=3, volume_chunks=16, global_rows=48))
    assert several.startswith(one)
    assert all(number in several for number in ("Every 16 chunks", "48 rows", "3 such volumes"))


def test_captions_have_the_numbers() -> None:
    assert "1,000 tokens" in memory_view.summary("Emma", view())
    caption = memory_view.strip_caption(view())
    assert all(number in caption for number in ("232 tokens", "The 256 before", "51%", "16 rows"))
    sizes = memory_view.sizes_caption(view())
    assert all(number in sizes for number in ("40.0 kB", "4.0 kB", "8.0 MB", "200 times"))


def test_a_document_of_less_than_a_chunk_has_no_memory_yet() -> None:
    small = view(tokens=90, chunks=0, tail=90, temporary_from=0, temporary_rows=0, memory_bytes=0)
    assert text.NO_MEMORY in memory_view.sizes_caption(small)
    assert plots.sizes(small).data[0].x[-1] == 0
    assert "90 tokens" in memory_view.strip_caption(small)


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.0, "0%"), (1.0, "100%"), (0.5, "50%"), (0.9999, "99.99%"), (0.001, "0.10%")],
)
def test_almost_all_is_not_all(share: float, shown: str) -> None:
    assert memory_view.percent(share) == shown


def test_chances_are_drawn_for_each_token() -> None:
    pieces = [("The", 0.9), (" <b>", 0.2), ("\n", 0.5)]
    figure = plots.chances(pieces)
    assert figure is not None
    assert list(figure.data[0].y) == [0.9, 0.2, 0.5]
    assert list(figure.layout.xaxis.ticktext) == ["The", " &lt;b&gt;", "⏎"]
    assert "53%" in memory_view.chances_caption(pieces)
    assert "“<b>”, 20%" in memory_view.chances_caption(pieces)
    assert plots.chances([]) is None
    assert memory_view.chances_caption([]) == text.CHANCES_NONE


def test_a_long_answer_is_drawn_in_part() -> None:
    figure = plots.chances([("a", 0.5)] * 500)
    assert figure is not None
    assert len(figure.data[0].y) == plots.LONGEST_ANSWER
