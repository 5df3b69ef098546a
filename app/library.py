"""The library: the one door to everything a user can do, whichever way they come in.

It puts together the database, the readers and the model, and loads what is heavy (torch, the model)
only when something is read or asked. Knows nothing of terminals, web pages or chat frameworks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Self

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session, selectinload

from app import conversations
from app.database import Database
from app.errors import DamagedSnapshot, EmptyQuestion, NotReadYet, UnknownDocument
from app.locks import sole_user
from app.naming import choose
from app.settings import Settings
from app.tables import Conversation, Document, Snapshot, Status, new_id
from ingest.batch import Found, Outcome, Result, ingest_all
from ingest.clean import clean_text

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.generation import Sampling, Turn
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

    The `Document` objects it gives are what was stored at that moment; they stay usable, and do not
    change by themselves.
    """

    def __init__(self, database: Database, settings: Settings, owner: str = "") -> None:
        self.settings = settings
        self.owner = owner
        self._database = database
        self._model: LoadedModel | None = None
        self._model_lock = Lock()

    @classmethod
    def open(cls, url: str | None = None, settings: Settings | None = None) -> Self:
        """Open the database of a URL, or the one of the settings; makes it if it is not there.

        Raises DatabaseError.
        """
        settings = settings or Settings()
        return cls(Database(url or settings.url), settings)

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
        with self._model_lock:
            if self._model is None:
                from comet_core.checkpoint import load_model

                self._model = load_model(
                    self.settings.model,
                    cache=self.settings.model_cache,
                    device=self.settings.device,
                    dtype=self.settings.dtype,
                )
            return self._model

    # Reading

    def ingest(
        self,
        path: str | Path,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        password: str | None = None,
    ) -> Document:
        """Read a file and keep its memory; goes on from a checkpoint, does nothing if it is known.

        `on_progress` is called after every chunk, and may raise ReadingStopped: what was read is
        kept. Raises a `DocumentError` for a file that cannot be read (nothing is stored then),
        DocumentBusy, DocumentChanged.
        """
        return self._ingest(Path(path), on_progress or _ignore, password)[0]

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
        self, path: Path, on_progress: Callable[[Progress], None], password: str | None
    ) -> tuple[Document, Result]:
        from app.reading import Reading, SourceFile
        from ingest.readers import open_document

        file = SourceFile.of(path)
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
                    Reading(self._database, self.owner, file, self.model).run(source, on_progress)
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
        with (
            self._sole_user(document.content_hash, Path(document.file_name)),
            self._database.writing() as session,
        ):
            session.execute(delete(Document).where(Document.id == document.id))

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

    def memory(self, document: Document | str) -> MemoryState:
        """The finished memory of a document, where the model computes.

        Raises NotReadYet, WrongModel or DamagedSnapshot, and what `find` raises.
        """
        from app.snapshots import load_state, place

        document = self._current(document)
        if document.finished is None:
            raise NotReadYet(
                f'"{document.title}" has not been read to its end; go on with: '
                f'comet-reader ingest "{document.file_name}"'
            )
        loaded = self.model
        with self._database.reading() as session:
            snapshot = session.get(Snapshot, document.finished.id)
            if snapshot is None:  # replaced or removed just now
                raise NotReadYet(f'"{document.title}" is being read anew; ask again.')
            state = load_state(session, snapshot, loaded.spec.fingerprint)
        return place(state, loaded.model.device, loaded.model.dtype)

    def ask(
        self,
        document: Document | str,
        question: str,
        history: Sequence[Turn] = (),
        sampling: Sampling | None = None,
    ) -> Iterator[str]:
        """Answer from a document's memory, piece by piece; the memory stays as it is.

        Raises EmptyQuestion, and what `memory` raises, before the first piece.
        """
        return self._answer(document, _clean(question), history, sampling)

    # Conversations

    def start_conversation(self, document: Document | str) -> Conversation:
        """A new conversation about a document; it is kept from its first answer on."""
        return Conversation(id=new_id(), document_id=self._current(document).id)

    def conversations(self, document: Document | str) -> list[Conversation]:
        """The conversations about a document, the oldest first, each with its `messages`."""
        document = self._current(document)
        with self._database.reading() as session:
            return conversations.of_document(session, document.id)

    def say(
        self, conversation: Conversation, question: str, sampling: Sampling | None = None
    ) -> Iterator[str]:
        """Answer in a conversation; question and answer are stored once the answer is complete.

        Raises what `ask` raises.
        """
        from comet_core.generation import Turn

        question = _clean(question)
        with self._database.reading() as session:
            document = session.get(Document, conversation.document_id)
            history = [Turn(*turn) for turn in conversations.turns(session, conversation.id)]
        if document is None:
            raise _forgotten()
        pieces = self._answer(document, question, history, sampling)
        return self._kept(conversation, question, pieces)

    def _kept(
        self, conversation: Conversation, question: str, pieces: Iterator[str]
    ) -> Iterator[str]:
        answer = ""
        for piece in pieces:
            answer += piece
            yield piece
        with self._database.writing() as session:
            if session.get(Document, conversation.document_id) is None:  # forgotten just now
                raise _forgotten()
            conversations.add_turn(session, conversation, question, answer)

    # Parts

    def _answer(
        self,
        document: Document | str,
        question: str,
        history: Sequence[Turn],
        sampling: Sampling | None,
    ) -> Iterator[str]:
        """Answer a clean question."""
        from comet_core.generation import Sampling, answer

        state = self.memory(document)
        loaded = self.model
        return answer(loaded.model, loaded.prompt, state, question, history, sampling or Sampling())

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

    def _current(self, document: Document | str) -> Document:
        """A document as it is stored now."""
        if isinstance(document, str):
            return self.find(document)
        with self._database.reading() as session:
            for current in self._select(session, Document.id == document.id):
                return current
        raise UnknownDocument(f'"{document.title}" has been forgotten; read it again to ask it.')

    def _sole_user(self, content_hash: str, path: Path) -> AbstractContextManager[None]:
        key = "\0".join((str(self._database.url), self.owner, content_hash))
        return sole_user(self.settings.locks, key, path)


def _clean(question: str) -> str:
    """The question as it is asked and kept. Raises EmptyQuestion."""
    question = clean_text(question).strip()
    if not question:
        raise EmptyQuestion("The question is empty; say what you want to know.")
    return question


def _forgotten() -> UnknownDocument:
    return UnknownDocument("The document of this conversation has been forgotten.")


def _ignore(_progress: Progress) -> None:
    pass
