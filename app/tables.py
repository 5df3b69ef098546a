"""The tables: users, documents, their snapshots (one row a layer), conversations and messages.

Only shapes, constraints and what a row says by itself; who writes what and when is told in
`app.snapshots` and `app.library`.
A migration in `app/migrations` makes these tables, and a test holds the two equal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from app.errors import UnknownConversation

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """32 hexadecimal digits that no other row has."""
    return uuid4().hex


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored and returned in UTC, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Status(StrEnum):
    """How the last reading of a document stands."""

    READING = "reading"  # not at its end: under way, or interrupted
    READY = "ready"
    FAILED = "failed"  # `Document.error` says why; reading can go on from the checkpoint


class Base(DeclarativeBase):
    """The root of all tables."""

    metadata = MetaData(naming_convention=NAMING)


class User(Base):
    """Somebody who may log in; the name is the owner of what is theirs."""

    __tablename__ = "user"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Document(Base):
    """A file that was read, or begun. It appears together with its first snapshot."""

    __tablename__ = "document"
    __table_args__ = (UniqueConstraint("owner", "content_hash"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    owner: Mapped[str] = mapped_column(String(200), default="")  # empty: the only user
    content_hash: Mapped[str] = mapped_column(String(64))  # sha256 of the file's bytes
    title: Mapped[str] = mapped_column(Text)
    file_name: Mapped[str] = mapped_column(Text)
    pages: Mapped[int]
    characters: Mapped[int]
    tokens: Mapped[int]
    skipped_pages: Mapped[list[dict[str, int | str]]] = mapped_column(JSON, default=list)
    examples: Mapped[list[str]] = mapped_column(JSON, default=list)  # questions to begin with
    status: Mapped[str] = mapped_column(String(20))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)

    snapshots: Mapped[list[Snapshot]] = relationship(
        back_populates="document", passive_deletes="all", order_by="Snapshot.created_at"
    )

    @property
    def finished(self) -> Snapshot | None:
        """The memory to answer from, if the document was ever read to its end."""
        return next((s for s in self.snapshots if s.finished), None)

    @property
    def checkpoint(self) -> Snapshot | None:
        """The memory from which reading goes on, if it is under way or was interrupted."""
        return next((s for s in self.snapshots if not s.finished), None)


class Snapshot(Base):
    """The memory after some of a document: a checkpoint, or the finished one; one each at most."""

    __tablename__ = "snapshot"
    __table_args__ = (UniqueConstraint("document_id", "finished"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    document_id: Mapped[str] = mapped_column(ForeignKey("document.id", ondelete="CASCADE"))
    fingerprint: Mapped[str] = mapped_column(String(100))
    model_name: Mapped[str] = mapped_column(Text)  # shown to people; the fingerprint decides
    extraction: Mapped[str] = mapped_column(Text)  # what made text of the file, with its versions
    tokens_read: Mapped[int]
    chunks_read: Mapped[int]
    tail: Mapped[bytes] = mapped_column(LargeBinary)  # token ids, int32, little endian
    nbytes: Mapped[int] = mapped_column(BigInteger)  # of the memory's tensors
    # The history of the gates; deferred, for lists of documents do not show it.
    gates: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    checksum: Mapped[str] = mapped_column(String(64))  # of document, fields above and layers
    finished: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    document: Mapped[Document] = relationship(back_populates="snapshots")


class SnapshotLayer(Base):
    """One layer of a snapshot: S, T and earlier volumes as safetensors bytes, small enough for one
    SQLite value.
    """

    __tablename__ = "snapshot_layer"

    snapshot_id: Mapped[str] = mapped_column(
        ForeignKey("snapshot.id", ondelete="CASCADE"), primary_key=True
    )
    layer: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    data: Mapped[bytes] = mapped_column(LargeBinary)
    checksum: Mapped[str] = mapped_column(String(64))  # sha256 of data


class Conversation(Base):
    """Questions and answers about one document. It appears together with its first two messages."""

    __tablename__ = "conversation"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    document_id: Mapped[str] = mapped_column(
        ForeignKey("document.id", ondelete="CASCADE"), index=True
    )
    owner: Mapped[str] = mapped_column(String(200), default="", index=True)  # as the document's
    title: Mapped[str | None] = mapped_column(Text)  # the first question, until it is renamed
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)  # of the last message

    messages: Mapped[list[Message]] = relationship(
        passive_deletes="all", order_by="Message.position"
    )

    def question_at(self, position: int) -> str:
        """The question that the message at `position` is, or answers, of a conversation that was
        got with its messages. Raises UnknownConversation if there is no such message (any more).
        """
        if not 0 <= position < len(self.messages):
            raise UnknownConversation("There is no such message; it may have been replaced.")
        return self.messages[position - position % 2].text


class Message(Base):
    """One question or answer; the questions have even positions."""

    __tablename__ = "message"
    __table_args__ = (UniqueConstraint("conversation_id", "position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversation.id", ondelete="CASCADE"))
    position: Mapped[int]
    role: Mapped[str] = mapped_column(String(20))  # user, assistant
    text: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # of an answer
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
