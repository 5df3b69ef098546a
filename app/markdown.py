"""A conversation as Markdown: whoever renders it sees every text as it is, and nothing of it acts.

Titles, questions and answers are data: no heading, link, picture or HTML comes out of one. Pure;
knows no database.
"""

from __future__ import annotations

import re
import unicodedata

from app.tables import Conversation, Document, Message

_SIGNS = re.compile(r"[\\`*_\[\]<>&|~$^{}#@]|:(?=\S)|(?<=\w)\.(?=\w)")
"""What may begin or end something within a line, parts of bare addresses among it."""
_LINE_START = re.compile(r"^(\d*)([-+=:.)])")
"""What may make a line an item, a heading or a rule."""
_EDGE_SPACES = re.compile(r"^\s+|\s+$")
_NAMES = {"user": "Question", "assistant": "Answer"}


def as_markdown(conversation: Conversation, document: Document) -> str:
    """A conversation with its messages, which is about `document`."""
    title = conversation.title or document.title
    begun = conversation.created_at.strftime("%Y-%m-%d %H:%M UTC")
    parts = [f"# {_on_one_line(title)}", f'About "{_on_one_line(document.title)}", {begun}.']
    for message in conversation.messages:
        parts += [_name(message), plain(message.text)]
    return "\n\n".join(part for part in parts if part) + "\n"


def plain(text: str) -> str:
    """Markdown that renders as the text, its lines as lines, but for white space around it.

    Control characters, which Markdown does not have, become U+FFFD.
    """
    return "\\\n".join(map(_plain_line, text.replace("\r\n", "\n").strip().split("\n")))


def _plain_line(line: str) -> str:
    line = _SIGNS.sub(r"\\\g<0>", "".join(map(_shown, line)))
    line = _LINE_START.sub(r"\1\\\2", line)
    return _EDGE_SPACES.sub(lambda spaces: "".join(f"&#{ord(c)};" for c in spaces[0]), line)


def _on_one_line(text: str) -> str:
    return plain(" ".join(text.split()))


def _shown(character: str) -> str:
    unknown = unicodedata.category(character) in ("Cc", "Cs") and character != "\t"
    return "\N{REPLACEMENT CHARACTER}" if unknown else character


def _name(message: Message) -> str:
    stopped = (message.details or {}).get("stopped")
    return f"**{_NAMES[message.role]}**" + (" (stopped)" if stopped else "")
