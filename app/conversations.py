"""Conversations in the database: questions and answers about a document, in order.

Only rows in and out, within a session that somebody else holds.
"""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from app.tables import Conversation, Message

USER, ASSISTANT = "user", "assistant"


def of_document(session: Session, document_id: str) -> list[Conversation]:
    """The conversations about a document, the oldest first, with their messages."""
    query = select(Conversation).where(Conversation.document_id == document_id)
    return list(
        session.scalars(
            query.order_by(Conversation.created_at, Conversation.id).options(
                selectinload(Conversation.messages)
            )
        )
    )


def turns(session: Session, conversation_id: str) -> list[tuple[str, str]]:
    """The questions and answers so far, in pairs."""
    texts = session.scalars(
        select(Message.text)
        .where(Message.conversation_id == conversation_id)
        .order_by(Message.position)
    ).all()
    return list(zip(texts[::2], texts[1::2], strict=True))


def add_turn(session: Session, conversation: Conversation, question: str, answer: str) -> None:
    """Append a question and its answer; the first ones bring the conversation with them."""
    if session.get(Conversation, conversation.id) is None:
        session.add(Conversation(id=conversation.id, document_id=conversation.document_id))
    asked = select(func.count()).where(Message.conversation_id == conversation.id)
    position = session.scalar(asked) or 0
    for role, text in ((USER, question), (ASSISTANT, answer)):
        session.add(
            Message(conversation_id=conversation.id, position=position, role=role, text=text)
        )
        position += 1
