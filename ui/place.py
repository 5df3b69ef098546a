"""Where a browser is: the document and the conversation it looks at.

The browser holds it and sends it with every event, so that a page stays good when the server is
started anew. It is a claim, not a right: whatever it names is looked up in the user's own library.
"""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Ids; None for the newest document there is, and for a conversation that has not begun."""

    document: str | None = None
    conversation: str | None = None

    @classmethod
    def of(cls, value: object) -> Place:
        """The place that a browser sent; nowhere, if it makes no sense."""
        document, _, conversation = (value if isinstance(value, str) else "").partition("/")
        return cls(document or None, conversation or None)

    def __str__(self) -> str:
        return f"{self.document or ''}/{self.conversation or ''}"
