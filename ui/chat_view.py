"""What the chat page shows of a document and a conversation, as plain values. Pure functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import unescape
from typing import Any

from app.console import one_line
from app.tables import Conversation, Document, Message
from ui import text
from ui.render import render

EXAMPLES = 3
NAME_LENGTH = 60

Choices = list[tuple[str, str]]
"""Names for people, and the ids they stand for."""


def document_choices(documents: Sequence[Document]) -> Choices:
    """The documents to choose from, the newest first; files of one title are told apart."""
    titles = Counter(document.title for document in documents)
    choices = []
    for document in reversed(documents):
        name = shortened(document.title or document.file_name)
        if titles[document.title] > 1:
            name += f" ({shortened(document.file_name)})"
        if document.finished is None:
            name += f" ({text.NOT_READ})"
        choices.append((name, document.id))
    return choices


def conversation_choices(conversations: Iterable[Conversation]) -> Choices:
    """The conversations to choose from, in their order."""
    return [(shortened(title(conversation)), conversation.id) for conversation in conversations]


def title(conversation: Conversation) -> str:
    """What a conversation is called: by its first question, until it is given another name."""
    return one_line(conversation.title or "") or text.NEW_CONVERSATION


def shortened(name: str, length: int = NAME_LENGTH) -> str:
    """A name on one line that is not too long."""
    name = one_line(name)
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def chat_messages(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Messages as Gradio's chatbot takes them, one for one."""
    return [said(message.role, message.text) for message in messages]


def said(role: str, words: str) -> dict[str, str]:
    """One message for the chatbot, which takes HTML for HTML."""
    return {"role": role, "content": literal(words)}


def literal(words: str) -> str:
    """Words in which nothing is HTML; as little is changed as that takes, for they are edited."""
    if unescape(words) != words:
        words = words.replace("&", "&amp;")
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", words)


def example_questions(document: Document | None, messages: Sequence[Message]) -> list[str]:
    """The questions to begin with; none where there is no document to ask, or a beginning made."""
    if document is None or document.finished is None or messages:
        return []
    return [one_line(question) for question in document.examples[:EXAMPLES]]


def status_line(details: Mapping[str, Any] | None) -> str:
    """What the model did for an answer, in a sentence or two."""
    if not details:
        return ""
    parts = []
    if "tokens_read" in details:
        seconds = _seconds(details.get("resumed_seconds"))
        parts.append(text.RESUMED.format(tokens=f"{details['tokens_read']:,}", resumed=seconds))
    if details.get("remembered") is not None:
        parts.append(text.REMEMBERED if details["remembered"] else text.SEEN)
    if details.get("first_piece_seconds") is not None and details.get("seconds") is not None:
        first, whole = _seconds(details["first_piece_seconds"]), _seconds(details["seconds"])
        parts.append(text.WRITTEN.format(first=first, seconds=whole))
    if details.get("stopped"):
        parts.append(text.STOPPED)
    return " ".join(parts)


def status_html(line: str) -> str:
    """The line under an answer."""
    return render("status.html", line=line)


def manage_html(conversation: Conversation | None) -> str:
    """The link and the button for a conversation that is kept."""
    return render("manage.html", conversation=conversation) if conversation else ""


def placeholder(document: Document | None) -> str:
    """What an empty conversation says."""
    if document is None:
        return text.CHAT_WITHOUT_DOCUMENT
    return text.CHAT_EMPTY if document.finished else text.CHAT_NOT_READ


def last_details(messages: Sequence[Message]) -> Mapping[str, Any] | None:
    """The details of the last answer."""
    return messages[-1].details if messages else None


def _seconds(seconds: Any) -> str:
    given = float(seconds or 0)
    return f"{given:.1f}" if given >= 0.1 else f"{given:.2f}"
