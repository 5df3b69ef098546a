"""Reading one file into the database: checkpoints, going on from them, and what failures leave.

The document appears together with its first checkpoint; whatever happens, each transaction leaves a
state from which reading goes on to the same bits. Knows nothing of how a file becomes a state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.database import Database
from app.errors import (
    DamagedSnapshot,
    DatabaseError,
    DocumentChanged,
    ReadingStopped,
)
from app.snapshots import load_state, place, save_state
from app.tables import Document, Snapshot, Status
from comet_core.checkpoint import LoadedModel
from comet_core.memory import MemoryState
from comet_core.reader import ChunkTurn, empty_state
from ingest.errors import DocumentError, MissingFile, UnreadableFile
from ingest.pipeline import ForeignState, Progress, content_hash, read_document
from ingest.readers import Document as OpenDocument
from ingest.readers import extraction

log = logging.getLogger(__name__)

CHECKPOINT_S = 10.0
CHECKPOINT_SHARE = 10
"""A checkpoint is due after CHECKPOINT_S seconds of reading, and after this many times the time the
last one took to write, so that a large memory does not spend the reading on being written."""


@dataclass(frozen=True)
class SourceFile:
    """A file as it is at one moment; the identity changes with every later write to it.

    name: what it is called, which need not be where it lies.
    """

    path: Path
    name: str
    content_hash: str
    identity: tuple[int, int, int] | None

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> SourceFile:
        """Raises a `DocumentError` if there is no readable file."""
        identity = _identity(path)
        return cls(path, name or path.name, content_hash(path), identity)

    def looks_unchanged(self) -> bool:
        """Quick, for every checkpoint."""
        return self.identity is not None and _identity(self.path) == self.identity

    def check(self) -> None:
        """Thorough, for the end. Raises DocumentChanged, or MissingFile."""
        if content_hash(self.path) != self.content_hash:
            raise DocumentChanged(self.path)


class Reading:
    """One file on its way into the database, by a process that holds its lock."""

    def __init__(
        self, database: Database, owner: str, file: SourceFile, loaded: LoadedModel
    ) -> None:
        self._database = database
        self._owner = owner
        self._file = file
        self._loaded = loaded
        self._extraction = extraction(file.path)
        self._this = (Document.owner == owner, Document.content_hash == file.content_hash)

    def run(
        self, source: OpenDocument, on_progress: Callable[[Progress], None], turn: ChunkTurn
    ) -> None:
        """Read to the end, each chunk in its `turn`, and store the finished snapshot.

        What was read is kept as a checkpoint where it can be gone on from (an interrupt, a stop, a
        defect); if it is the file that fails or changes, all that was stored of this reading goes.
        """
        progress: Progress | None = None
        title = source.title or PurePath(self._file.name).stem
        clock = _Clock()
        try:
            for progress in self._read(source, turn):
                on_progress(progress)
                if clock.due():
                    if not self._file.looks_unchanged():
                        self._file.check()
                    with clock.writing():
                        self._store(title, progress, Status.READING)
            self._file.check()
            assert progress is not None  # a reading yields at its end, whatever the document
            self._store(title, progress, Status.READY)
        except DatabaseError:
            raise  # what is stored already is all that can be
        except BaseException as error:
            if _is_the_files_fault(error):
                self.discard()
            elif progress is not None and self._file.looks_unchanged():
                stopped = isinstance(error, ReadingStopped) or not isinstance(error, Exception)
                reason = None if stopped else f"{type(error).__name__}: {error}"
                self._store(title, progress, Status.READING if stopped else Status.FAILED, reason)
            raise

    def _read(self, source: OpenDocument, turn: ChunkTurn) -> Iterator[Progress]:
        """Read on from the checkpoint, or from the first page if it is of another text."""
        try:
            yield from read_document(self._loaded, source, self._start(), turn)
        except ForeignState as error:
            log.warning("%s: %s. Reading starts over.", self._file.path, error)
            start = empty_state(self._loaded.model)
            yield from read_document(self._loaded, source, start, turn)

    def _start(self) -> MemoryState:
        """The state of the checkpoint, if there is one of this model, dtype and text; else of a
        first page.
        """
        model = self._loaded.model
        with self._database.reading() as session:
            snapshot = session.scalar(
                select(Snapshot)
                .join(Document)
                .where(
                    *self._this,
                    Snapshot.finished.is_(False),
                    Snapshot.fingerprint == self._loaded.spec.fingerprint,
                    Snapshot.extraction == self._extraction,
                )
            )
            if snapshot is not None:
                try:
                    state = load_state(session, snapshot, self._loaded.spec.fingerprint)
                    begun = state.memory[0].global_state.dtype
                    if begun == model.dtype:
                        return place(state, model.device, model.dtype)
                    log.warning(
                        "%s was begun in %s. In %s reading starts over.",
                        self._file.path,
                        *(str(dtype).removeprefix("torch.") for dtype in (begun, model.dtype)),
                    )
                except DamagedSnapshot as error:
                    log.warning("%s Reading starts over.", error)
        return empty_state(model)

    def _store(
        self, title: str, progress: Progress, status: Status, error: str | None = None
    ) -> None:
        """The document and its memory so far, in one transaction."""
        finished = status is Status.READY
        with self._database.writing() as session:
            document = session.scalar(select(Document).where(*self._this))
            reread = document is not None and _has_finished(session, document)
            if document is None:
                document = Document(owner=self._owner, content_hash=self._file.content_hash)
                session.add(document)
            if finished or not reread:  # the finished memory of another model still counts
                document.title = _storable(title)
                document.file_name = _storable(self._file.name)
                document.pages = progress.pages
                document.characters = progress.characters
                document.tokens = progress.tokens
                document.examples = list(progress.examples)
                document.skipped_pages = [
                    {"page": page.number, "problem": page.problem or ""}
                    for page in progress.skipped
                ]
            document.status = status
            document.error = error
            session.flush()
            save_state(
                session,
                document,
                self._loaded.spec,
                self._extraction,
                progress.state,
                finished=finished,
            )

    def discard(self) -> None:
        """Take back what was stored of a reading; a finished snapshot of earlier stays."""
        with self._database.writing() as session:
            document = session.scalar(select(Document).where(*self._this))
            if document is None:
                return
            if _has_finished(session, document):
                document.status, document.error = Status.READY, None
                session.execute(
                    delete(Snapshot).where(
                        Snapshot.document_id == document.id, Snapshot.finished.is_(False)
                    )
                )
            else:
                session.delete(document)


class _Clock:
    """When the next checkpoint is due."""

    def __init__(self) -> None:
        self._next = time.monotonic() + CHECKPOINT_S

    def due(self) -> bool:
        return time.monotonic() >= self._next

    @contextmanager
    def writing(self) -> Iterator[None]:
        begun = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + max(CHECKPOINT_S, CHECKPOINT_SHARE * (ended - begun))


def _has_finished(session: Session, document: Document) -> bool:
    finished = select(Snapshot.id).where(
        Snapshot.document_id == document.id, Snapshot.finished.is_(True)
    )
    return session.scalar(finished) is not None


def _is_the_files_fault(error: BaseException) -> bool:
    """Whether the same file would fail again, so that there is nothing to go on from."""
    lasting = not isinstance(error, MissingFile | UnreadableFile)
    return isinstance(error, DocumentError) and lasting


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _storable(text: str) -> str:
    """Text that any database takes: no NUL, no lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")
