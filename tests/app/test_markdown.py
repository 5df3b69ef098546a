"""Conversations as Markdown: what a renderer shows is what was said, and nothing of it acts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from app.markdown import as_markdown, plain
from app.tables import Conversation, Document, Message

RENDERERS = [MarkdownIt("commonmark"), MarkdownIt("commonmark").enable(["table", "strikethrough"])]
HARMLESS = {"text", "hardbreak", "softbreak"}

SIGNS = " \t\n\r\0\x0b\x85\u2028\u00a0#*_-+=>`~|[]()<>!&;:.\\$^{}@'\"1aé"
WORDS = [
    "<script>alert(1)</script>",
    "![x](http://a.b/c.png)",
    "[a](javascript:alert(1))",
    "https://a.b",
    "www.a.b",
    "a@b.c",
    "&lt;",
    "&#10;",
    "```",
    "---",
    "[x]:/y",
    "<!--",
    "<a@b.c>",
    "**b**",
    "</p>",
]
Nasty = st.lists(
    st.sampled_from([*SIGNS, *WORDS, "1. ", "2) ", "| - |", "\\\n", "\n\n", "    "]), max_size=30
).map("".join)
Texts = st.one_of(Nasty, st.text(st.characters(exclude_categories=["Cs"])))


def seen(tokens: list[Token]) -> str:
    """The text of one paragraph, where there is nothing but text."""
    if not tokens:
        return ""
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= HARMLESS
    return "".join(c.content if c.type == "text" else "\n" for c in children)


def expected(text: str) -> str:
    """The text without white space around it, control characters replaced."""
    kept = text.replace("\r\n", "\n").strip()
    return "".join("\ufffd" if c not in "\n\t" and is_control(c) else c for c in kept)


def is_control(character: str) -> bool:
    return ord(character) < 32 or 127 <= ord(character) < 160


@given(text=Texts)
@example(text="    code\n\n\n# no heading #\n1. no item\n- nor this  \n===")
@pytest.mark.parametrize("renderer", RENDERERS)
def test_a_renderer_shows_the_text_and_nothing_else(renderer: MarkdownIt, text: str) -> None:
    assert seen(renderer.parse(plain(text))) == expected(text)


@given(title=Texts, name=Texts, turns=st.lists(st.tuples(Texts, Texts, st.booleans()), max_size=3))
def test_a_conversation_is_whole_and_in_order(
    title: str, name: str, turns: list[tuple[str, str, bool]]
) -> None:
    messages = []
    for question, answer, stopped in turns:
        messages.append(Message(role="user", text=question))
        messages.append(Message(role="assistant", text=answer, details={"stopped": stopped}))
    conversation = Conversation(
        title=title, created_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC), messages=messages
    )
    tokens = MarkdownIt("commonmark").parse(as_markdown(conversation, Document(title=name)))
    inline = [token for token in tokens if token.type == "inline"]
    kinds = [token.type for token in tokens if token.type.endswith("_open")]
    assert kinds == ["heading_open", *["paragraph_open"] * (len(inline) - 1)]
    heading, about, *rest = inline
    one_line = expected(" ".join((title or name).split()))
    assert "".join(c.content for c in heading.children or []) == one_line
    assert about.children is not None and about.children[0].content.startswith('About "')
    said = []
    for question, answer, stopped in turns:
        said += ["Question", expected(question)]
        said += ["Answer (stopped)" if stopped else "Answer", expected(answer)]
    shown = [
        "".join("\n" if c.type == "hardbreak" else c.content for c in token.children or [])
        for token in rest
    ]
    assert shown == [text for text in said if text]


def test_plain_words_stay_plain() -> None:
    text = "Mr. Knightley's brother: John (a lawyer), in London - isn't he?\nYes!"
    assert plain(text) == text.replace("\n", "\\\n")
