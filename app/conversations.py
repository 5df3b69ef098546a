"""The conversations of one owner in the database: questions and answers about a document, in order.

Somebody else's conversation is one that does not exist. Knows nothing of how an answer comes to be.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, selectinload

from app.database import Database
from app.errors import UnknownConversation, UnknownDocument
from app.tables import Conversation, Document, Message, new_id, now
from ingest.clean import clean_text

USER, ASSISTANT = "user", "assistant"
TITLE_CHARACTERS = 200
"""Of the longest title that a conversation can be given."""

_ID = re.compile("[0-9a-f]{32}")


class Conversations:
    """What an owner has said about documents. Safe to use from many threads."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def begin(self, document: Document) -> Conversation:
        """A new conversation, which is stored with its first turn."""
        return Conversation(id=new_id(), document_id=document.id, owner=self._owner)

    def about(self, document: Document | None) -> list[Conversation]:
        """Those about a document, or all, without their messages; the last one added to first."""
        query = select(Conversation).where(
            Conversation.owner == self._owner, Conversation.messages.any()
        )
        if document is not None:
            query = query.where(Conversation.document_id == document.id)
        with self._database.reading() as session:
            return list(
                session.scalars(query.order_by(Conversation.updated_at.desc(), Conversation.id))
            )

    def get(self, conversation_id: str) -> Conversation:
        """One with its `messages`. Raises UnknownConversation, whatever the id looks like."""
        if not _ID.fullmatch(conversation_id):  # not every text is one that a database takes
            raise _unknown()
        with self._database.reading() as session:
            return self._stored(session, conversation_id)

    def turns(self, conversation: Conversation) -> tuple[tuple[str, str], ...]:
        """The questions and answers so far; none if it is new. Raises UnknownConversation."""
        with self._database.reading() as session:
            if session.get(Conversation, conversation.id) is None:
                return ()
            texts = [message.text for message in self._stored(session, conversation.id).messages]
        return tuple(zip(texts[::2], texts[1::2], strict=True))

    def add_turn(
        self,
        conversation: Conversation,
        turns_before: int,
        question: str,
        answer: str,
        details: dict[str, Any],
        instead: bool = False,
    ) -> None:
        """Append a question and its answer; the first ones bring the conversation with them.

        turns_before: that the answer knew of. instead: of all turns behind these, which are
        removed, as if they had never been. Raises UnknownDocument or UnknownConversation if what it
        belongs to was removed meanwhile.
        """
        with self._database.writing() as session:
            self._check_document(session, conversation.document_id)
            stored = session.get(Conversation, conversation.id)
            if stored is None and not turns_before:
                stored = Conversation(
                    id=conversation.id, document_id=conversation.document_id, owner=self._owner
                )
                session.add(stored)
            else:
                stored = self._stored(session, conversation.id)
            if instead:
                if not turns_before and stored.title == _first_question(stored):
                    stored.title = None
                replaced = Message.position >= 2 * turns_before
                session.execute(
                    delete(Message).where(Message.conversation_id == stored.id, replaced)
                )
                session.expire(stored, ["messages"])
            position, moment = len(stored.messages), now()
            stored.messages += [
                Message(position=position, role=USER, text=question, created_at=moment),
                Message(
                    position=position + 1,
                    role=ASSISTANT,
                    text=answer,
                    details=details,
                    created_at=moment,
                ),
            ]
            stored.title = stored.title or question
            stored.updated_at = moment

    def rename(self, conversation: Conversation, title: str) -> None:
        """Give a title, on one line; an empty one gives back the first question."""
        with self._database.writing() as session:
            stored = self._stored(session, conversation.id)
            given = " ".join(clean_text(title).split())[:TITLE_CHARACTERS].rstrip()
            stored.title = given or _first_question(stored)

    def delete(self, conversation: Conversation) -> None:
        """Remove one with its messages."""
        with self._database.writing() as session:
            self._stored(session, conversation.id)
            session.execute(delete(Conversation).where(Conversation.id == conversation.id))

    def _stored(self, session: Session, conversation_id: str) -> Conversation:
        """Raises UnknownConversation."""
        stored = session.scalar(
            select(Conversation)
            .where(Conversation.id == conversation_id, Conversation.owner == self._owner)
            .options(selectinload(Conversation.messages))
        )
        if stored is None:
            raise _unknown()
        return stored

    def _check_document(self, session: Session, document_id: str) -> None:
        """Raises UnknownDocument."""
        own = select(func.count()).where(Document.id == document_id, Document.owner == self._owner)
        if not session.scalar(own):
            raise UnknownDocument("The document of this conversation has been forgotten.")


def _unknown() -> UnknownConversation:
    return UnknownConversation("There is no such conversation; it may have been deleted.")


def _first_question(conversation: Conversation) -> str | None:
    return conversation.messages[0].text if conversation.messages else None
