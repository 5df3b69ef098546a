"""The library: the one door to everything a user can do, whichever way they come in.

It puts together the database, the readers and the model, and loads what is heavy (torch, the model)
only when something is read or asked. Knows nothing of terminals, web pages or chat frameworks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session, selectinload

from app import sources
from app.answering import Answerer, Keep, Reply
from app.conversations import Conversations
from app.database import Database
from app.dialogue import Dialogue
from app.errors import DamagedSnapshot, EmptyQuestion, UnknownDocument
from app.locks import sole_user
from app.naming import choose
from app.settings import Settings
from app.sources import Source
from app.tables import Conversation, Document, Snapshot, Status
from app.turns import Turns
from ingest.batch import Found, Outcome, Result, ingest_all
from ingest.clean import clean_text

if TYPE_CHECKING:
    from app.users import Users
    from comet_core.checkpoint import LoadedModel
    from comet_core.generation import Sampling
    from comet_core.memory import MemoryState
    from ingest.pipeline import Progress


@dataclass(frozen=True)
class Checked:
    """What `Library.verify` found of one snapshot: nothing wrong, or the damage."""

    document: Document
    snapshot: Snapshot
    damage: DamagedSnapshot | None


class Library:
    """Documents that were read, and what can be done with them. Safe to use from many threads.

    It is the view of one owner: what is somebody else's is not there. The `Document` and
    `Conversation` objects it gives are what was stored at that moment; they stay usable, and do not
    change by themselves.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        owner: str = "",
        answerer: Answerer | None = None,
    ) -> None:
        self.settings = settings
        self.owner = owner
        self._database = database
        self._answerer = answerer or Answerer(settings)
        self._conversations = Conversations(database, owner)

    @classmethod
    def open(cls, url: str | None = None, settings: Settings | None = None) -> Self:
        """Open the database of a URL, or the one of the settings; makes it if it is not there.

        Raises DatabaseError.
        """
        settings = settings or Settings()
        return cls(Database(url or settings.url), settings)

    def as_owner(self, name: str) -> Self:
        """The view of another owner, on the same database and model; it is not to be closed."""
        return type(self)(self._database, self.settings, name, self._answerer)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def model(self) -> LoadedModel:
        """The model of the settings, loaded at the first use. Raises what `load_model` raises."""
        return self._answerer.model

    @property
    def turns(self) -> Turns:
        """Whose turn it is on the model; the views of all owners share it."""
        return self._answerer.turns

    # Reading

    def ingest(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        password: str | None = None,
    ) -> Document:
        """Read a file and keep its memory; goes on from a checkpoint, does nothing if it is known.

        `name` is what the file is called, if not as it lies there. `on_progress` is called after
        every chunk, and may raise ReadingStopped: what was read is kept. Raises a `DocumentError`
        for a file that cannot be read (nothing is stored then), DocumentBusy, DocumentChanged.
        """
        return self._ingest(Path(path), on_progress or _ignore, password, name)[0]

    def ingest_many(
        self,
        found: Found,
        *,
        on_progress: Callable[[Path, Progress], None] | None = None,
        password: str | None = None,
    ) -> Iterator[Outcome[Document]]:
        """Read the files that `ingest.batch.find_files` found, yielding what became of each."""

        def ingest_one(path: Path) -> tuple[Document, Result]:
            report = partial(on_progress, path) if on_progress else _ignore
            return self._ingest(path, report, password)

        return ingest_all(found, ingest_one)

    def _ingest(
        self,
        path: Path,
        on_progress: Callable[[Progress], None],
        password: str | None,
        name: str | None = None,
    ) -> tuple[Document, Result]:
        from app.reading import Reading, SourceFile
        from ingest.readers import open_document

        file = SourceFile.of(path, name)
        with self._sole_user(file.content_hash, path):
            document = self._with_hash(file.content_hash)
            if document is not None and self._is_current(document.finished):
                if document.status == Status.READY:
                    return document, Result.KNOWN
                # What another model began stands in the way of what this one has finished.
                Reading(self._database, self.owner, file, self.model).discard()
                result = Result.KNOWN
            else:
                with open_document(path, password) as source:  # fails before the model is loaded
                    reading = Reading(self._database, self.owner, file, self.model)
                    reading.run(source, on_progress, self.turns.read)
                result = Result.READ
            document = self._with_hash(file.content_hash)
            assert document is not None  # it is stored, and the lock is still held
            return document, result

    # Documents

    def documents(self) -> list[Document]:
        """All documents, the oldest first, each with its `snapshots`."""
        with self._database.reading() as session:
            return self._select(session)

    def find(self, name: str) -> Document:
        """The document that a title, a file name (or path), or the beginning of an id names.

        Raises UnknownDocument, or AmbiguousDocument, which lists the candidates.
        """
        return choose(self.documents(), name)

    def forget(self, document: Document | str) -> None:
        """Remove a document with its memory and its conversations.

        Raises UnknownDocument, AmbiguousDocument, or DocumentBusy while it is being read.
        """
        document = self._current(document)
        with self._sole_user_of(document), self._database.writing() as session:
            session.execute(delete(Document).where(Document.id == document.id))
        self._let_go(document)

    def verify(self) -> Iterator[Checked]:
        """Derive the checksums of every stored memory again."""
        from app.snapshots import verify

        for document in self.documents():
            for snapshot_id in [snapshot.id for snapshot in document.snapshots]:
                with self._database.reading() as session:
                    snapshot = session.get(Snapshot, snapshot_id)
                    if snapshot is None:  # replaced by a newer one, which is not of our concern
                        continue
                    damage = None
                    try:
                        verify(session, snapshot)
                    except DamagedSnapshot as error:
                        damage = error
                yield Checked(document, snapshot, damage)

    # Asking

    def source(self, document: Document | str | None) -> Source:
        """What questions about a document are answered from; without one, the bare model.

        Raises NotReadYet, UnknownDocument or AmbiguousDocument.
        """
        if document is None:
            return sources.of_nothing(self.model)
        return sources.of_document(self._database, self._current(document), lambda: self.model)

    def memory(self, document: Document | str) -> MemoryState:
        """The finished memory of a document, where the model computes.

        Raises NotReadYet, WrongModel or DamagedSnapshot, and what `find` raises.
        """
        return self.source(document).load()

    def answer(
        self,
        source: Source,
        dialogue: Dialogue,
        sampling: Sampling | None = None,
        keep: Keep | None = None,
    ) -> Reply:
        """Answer the dialogue's question, piece by piece; the memory stays as it is.

        keep: is told of the answer once it has ended. Raises WrongModel, DamagedSnapshot, and what
        loading the model raises, before the first piece.
        """
        from comet_core.generation import Sampling

        return self._answerer.reply(source, dialogue, sampling or Sampling(), keep)

    def ask(
        self,
        document: Document | str,
        question: str,
        history: Sequence[tuple[str, str]] = (),
        sampling: Sampling | None = None,
    ) -> Reply:
        """Answer from a document's memory, after earlier questions with their answers.

        Raises EmptyQuestion, and what `memory` raises, before the first piece.
        """
        dialogue = Dialogue(tuple(history), _clean(question))
        return self.answer(self.source(document), dialogue, sampling)

    # Conversations

    def start_conversation(self, document: Document | str) -> Conversation:
        """A new conversation about a document; it is kept from its first answer on."""
        return self._conversations.begin(self._current(document))

    def conversations(self, document: Document | str | None = None) -> list[Conversation]:
        """All conversations, or those about a document, without their messages.

        The one that was last gone on with comes first.
        """
        about = None if document is None else self._current(document)
        return self._conversations.about(about)

    def conversation(self, conversation_id: str) -> Conversation:
        """A conversation with its `messages`. Raises UnknownConversation."""
        return self._conversations.get(conversation_id)

    def say(
        self,
        conversation: Conversation,
        question: str,
        sampling: Sampling | None = None,
        instead_of: int | None = None,
    ) -> Reply:
        """Answer in a conversation; question and answer are stored once the answer has ended.

        An answer that is stopped is stored as far as it was written. instead_of: the position of a
        message; its turn, and what follows, are replaced, in the moment the new one is stored.
        Raises what `ask` raises, and UnknownConversation; while iterating, also if the conversation
        was removed meanwhile.
        """
        question = _clean(question)
        source = self.source(self._with_id(conversation.document_id))
        history = self._conversations.turns(conversation)
        if instead_of is not None:
            history = history[: instead_of // 2]
        keep = partial(
            self._conversations.add_turn,
            conversation,
            len(history),
            question,
            instead=instead_of is not None,
        )
        return self.answer(source, Dialogue(history, question), sampling, keep)

    def rename(self, conversation: Conversation, title: str) -> None:
        """Give a conversation a title; an empty one gives back its first question.

        Raises UnknownConversation, as do all that follow.
        """
        self._conversations.rename(conversation, title)

    def delete_conversation(self, conversation: Conversation) -> None:
        """Remove a conversation."""
        self._conversations.delete(conversation)

    def export_markdown(self, conversation: Conversation) -> str:
        """A conversation as Markdown, in which nothing that was said acts as Markdown or HTML."""
        from app.markdown import as_markdown

        stored = self.conversation(conversation.id)
        return as_markdown(stored, self._with_id(stored.document_id))

    # Users

    @property
    def users(self) -> Users:
        """Who may log in; the name of each is the owner of what is theirs."""
        from app.users import Users

        return Users(self._database)

    def remove_user(self, name: str) -> None:
        """Remove a user with all documents and conversations.

        Raises UnknownUser, or DocumentBusy while one of the documents is being read.
        """
        view = self.as_owner(name)
        documents = view.documents()
        with ExitStack() as locks:
            for document in documents:
                locks.enter_context(view._sole_user_of(document))
            self.users.remove(name)
        for document in documents:
            self._let_go(document)

    # Parts

    def _is_current(self, snapshot: Snapshot | None) -> bool:
        """Whether the loaded model can answer from a snapshot."""
        return snapshot is not None and snapshot.fingerprint == self.model.spec.fingerprint

    def _select(self, session: Session, *conditions: ColumnElement[bool]) -> list[Document]:
        query = select(Document).where(Document.owner == self.owner, *conditions)
        query = query.order_by(Document.created_at, Document.id)
        return list(session.scalars(query.options(selectinload(Document.snapshots))))

    def _with_hash(self, content_hash: str) -> Document | None:
        with self._database.reading() as session:
            return next(iter(self._select(session, Document.content_hash == content_hash)), None)

    def _with_id(self, document_id: str) -> Document:
        with self._database.reading() as session:
            for document in self._select(session, Document.id == document_id):
                return document
        raise UnknownDocument("The document of this conversation has been forgotten.")

    def _current(self, document: Document | str) -> Document:
        """A document as it is stored now."""
        if isinstance(document, str):
            return self.find(document)
        with self._database.reading() as session:
            for current in self._select(session, Document.id == document.id):
                return current
        raise UnknownDocument(f'"{document.title}" has been forgotten; read it again to ask it.')

    def _let_go(self, document: Document) -> None:
        """Keep the memory of what was removed at hand no longer."""
        for snapshot in document.snapshots:
            self._answerer.drop(snapshot.id)

    def _sole_user_of(self, document: Document) -> AbstractContextManager[None]:
        return self._sole_user(document.content_hash, Path(document.file_name))

    def _sole_user(self, content_hash: str, path: Path) -> AbstractContextManager[None]:
        key = "\0".join((str(self._database.url), self.owner, content_hash))
        return sole_user(self.settings.locks, key, path)


def _clean(question: str) -> str:
    """The question as it is asked and kept. Raises EmptyQuestion."""
    question = clean_text(question).strip()
    if not question:
        raise EmptyQuestion("The question is empty; say what you want to know.")
    return question


def _ignore(_progress: Progress) -> None:
    pass
