"""The reading desk: files that people send wait in line here, and are read one at a time.

Owners take turns; each one's files are read in the order they came. A job tells how it goes, and
stays to be looked at when it has ended. Jobs live as long as the server; documents do not need
them. Knows nothing of pages, requests, or who is signed in.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Condition, Thread
from typing import TYPE_CHECKING

from app.console import outcome_line
from app.errors import ReadingStopped
from app.library import Library
from app.pace import Pace
from app.uploads import Limits, TooManyWaiting, Upload, Uploads
from comet_core.errors import CometError
from ingest.errors import DocumentError
from ingest.readers import open_document

if TYPE_CHECKING:
    from ingest.pipeline import Progress

log = logging.getLogger(__name__)


class DeskClosed(CometError):
    """The desk takes nothing more."""


KEPT = 100
"""Jobs of an owner that are kept after they have ended."""
OWNER_GONE = "The user who sent it has been removed."


class State(StrEnum):
    """How a job stands."""

    WAITING = "waiting"
    READING = "reading"
    DONE = "done"
    KNOWN = "known"  # read earlier; nothing was done
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        return self not in (State.WAITING, State.READING)


@dataclass(frozen=True)
class Job:
    """A file that was sent, as it stands at one moment.

    pages, page_count, tokens: of the document, those read so far. message: a sentence, once it has
    ended. document_id: as soon as something of the document is stored.
    """

    id: str
    name: str
    content_hash: str
    state: State = State.WAITING
    pages: int = 0
    page_count: int | None = None
    tokens: int = 0
    tokens_per_second: float | None = None
    seconds_left: float | None = None
    message: str | None = None
    document_id: str | None = None


@dataclass(eq=False)
class _Task:
    """A job at work. What changes is changed with the desk's lock held."""

    owner: str
    upload: Upload
    password: str | None
    job: Job
    pace: Pace | None = None
    stopping: bool = False


class Desk:
    """Reads what is submitted, in a thread of its own. Safe to use from many threads.

    Jobs are seen, stopped and dismissed by their owners only; for anybody else, and when they are
    gone, their ids mean nothing. The owner "" is nobody in particular; any other is a user, and is
    read for as long as there is that user. Raises HomeUnusable if the folder for uploads cannot be
    used.
    """

    def __init__(self, library: Library, folder: Path, limits: Limits = Limits()) -> None:
        self.limits = limits
        self._library = library
        self._uploads = Uploads(folder, limits)
        self._changed = Condition()
        self._tasks: dict[str, dict[str, _Task]] = {}  # by owner and id, oldest first
        self._lines: dict[str, deque[_Task]] = {}  # by owner, the one whose turn it is first
        self._closed = False
        self._thread = Thread(target=self._work, name="reading desk", daemon=True)
        self._thread.start()

    @property
    def folder(self) -> Path:
        """Where uploads lie until they are read; deleted when the desk is closed."""
        return self._uploads.folder

    def check_space(self, name: str, nbytes: int = 0) -> None:
        """Whether a file of so many bytes may be received. Raises DiskFull."""
        self._uploads.check_space(name, nbytes)

    def submit(self, owner: str, path: Path, name: str, password: str | None = None) -> Job:
        """Take a copy of a file, to be read when its turn has come; `name` is what it is called.

        A file that cannot be read at all is a job that has failed already. Raises TooLarge,
        TooManyWaiting, DiskFull or DeskClosed: then there is no job.
        """
        with self._changed:
            self._check_line(owner, name)
        upload = self._uploads.take(path, name)
        job = Job(secrets.token_urlsafe(16), upload.name, upload.content_hash)
        try:
            with open_document(upload.path, password) as document:
                job = replace(job, page_count=document.page_count)
        except Exception as error:
            upload.delete()
            job = replace(job, state=State.FAILED, message=_sentence(error, upload.name))
        task = _Task(owner, upload, password, job)
        with self._changed:
            if not job.state.ended:
                self._line_up(task)
            self._tasks.setdefault(owner, {})[job.id] = task
            self._tidy(owner)
        return job

    def jobs(self, owner: str) -> list[Job]:
        """The jobs of an owner, the oldest first."""
        with self._changed:
            return [task.job for task in self._tasks.get(owner, {}).values()]

    def stop(self, owner: str, job_id: str) -> None:
        """End a job: at once while it waits, after the chunk that is being read otherwise."""
        with self._changed:
            task = self._tasks.get(owner, {}).get(job_id)
            if task is None or task.job.state.ended:
                return
            task.stopping = True
            if task.job.state is State.WAITING:
                self._lines[owner].remove(task)
                if not self._lines[owner]:
                    del self._lines[owner]
                self._end(task, State.STOPPED, f"{task.job.name} was stopped before it was read.")

    def dismiss(self, owner: str, job_id: str) -> None:
        """Forget a job that has ended."""
        with self._changed:
            tasks = self._tasks.get(owner, {})
            if job_id in tasks and tasks[job_id].job.state.ended:
                del tasks[job_id]
                self._tidy(owner)

    def close(self) -> None:
        """Stop reading, keeping what was read, and delete all uploads."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._uploads.close()

    # In line

    def _check_line(self, owner: str, name: str) -> None:
        if self._closed:
            raise DeskClosed("The server is being stopped; send the file again when it is back.")
        if len(self._lines.get(owner, ())) >= self.limits.uploads_waiting:
            raise TooManyWaiting(name, self.limits.uploads_waiting)

    def _line_up(self, task: _Task) -> None:
        try:
            self._check_line(task.owner, task.job.name)  # again: others came in the meantime
        except CometError:
            task.upload.delete()
            raise
        self._lines.setdefault(task.owner, deque()).append(task)
        self._changed.notify_all()

    def _next(self) -> _Task | None:
        """Wait for a job, of the owner whose turn it is; None when the desk is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._lines)
            if self._closed:
                return None
            owner = next(iter(self._lines))
            line = self._lines.pop(owner)
            task = line.popleft()
            if line:
                self._lines[owner] = line  # behind all others
            task.job = replace(task.job, state=State.READING)
            return task

    # Reading

    def _work(self) -> None:
        while (task := self._next()) is not None:
            state, message = self._read(task)
            with self._changed:
                self._end(task, state, message)

    def _read(self, task: _Task) -> tuple[State, str]:
        """Read a file; returns what became of it, in a sentence too."""
        try:
            result = self._ingest(task)
            if not self._is_gone(task.owner):
                return result
            library = self._library.as_owner(task.owner)
            for document in library.documents():  # who is removed leaves nothing behind
                library.forget(document)
        except Exception as error:  # whatever one file brings about, the next is read
            return State.FAILED, _sentence(error, task.job.name)
        return State.STOPPED, OWNER_GONE

    def _ingest(self, task: _Task) -> tuple[State, str]:
        try:
            document = self._library.as_owner(task.owner).ingest(
                task.upload.path,
                name=task.job.name,
                on_progress=lambda progress: self._watch(task, progress),
                password=task.password,
            )
        except ReadingStopped as stopped:
            return State.STOPPED, str(stopped)
        except Exception as error:
            return State.FAILED, _sentence(error, task.job.name)
        with self._changed:
            task.job = replace(task.job, document_id=document.id)
        known = task.pace is None
        return State.KNOWN if known else State.DONE, outcome_line(document, known)

    def _watch(self, task: _Task, progress: Progress) -> None:
        """Note how far a reading is. Raises ReadingStopped when it is to end."""
        document_id = task.job.document_id or self._document_id(task)
        if self._is_gone(task.owner):
            raise ReadingStopped(OWNER_GONE)
        with self._changed:
            if task.stopping or self._closed:
                raise ReadingStopped(
                    f"{task.job.name} was stopped; what was read is kept, send it again to go on."
                )
            task.pace = task.pace or Pace(progress.tokens, progress.pages)
            task.job = replace(
                task.job,
                pages=progress.pages,
                page_count=progress.page_count,
                tokens=progress.tokens,
                tokens_per_second=task.pace.tokens_per_second(progress.tokens),
                seconds_left=task.pace.seconds_left(progress.pages, progress.page_count),
                document_id=document_id,
            )

    def _is_gone(self, owner: str) -> bool:
        """Whether the user whose files these were has been removed, maybe by another process."""
        return owner != "" and not self._library.users.exists(owner)

    def _document_id(self, task: _Task) -> str | None:
        """The document that is being read, once something of it is stored."""
        for document in self._library.as_owner(task.owner).documents():
            if document.content_hash == task.upload.content_hash:
                return document.id
        return None

    # Ended

    def _end(self, task: _Task, state: State, message: str) -> None:
        task.upload.delete()
        task.password = None
        task.job = replace(task.job, state=state, message=message, seconds_left=None)
        self._tidy(task.owner)

    def _tidy(self, owner: str) -> None:
        """Forget the oldest of too many jobs that have ended, and owners without any."""
        tasks = self._tasks[owner]
        for job_id in [id for id, task in tasks.items() if task.job.state.ended][:-KEPT]:
            del tasks[job_id]
        if not tasks:
            del self._tasks[owner]


def _sentence(error: Exception, name: str) -> str:
    """What went wrong, for who sent the file."""
    if isinstance(error, DocumentError):
        return error.named(name)
    if isinstance(error, CometError):
        return str(error)
    log.error("Reading %r failed", name, exc_info=error)
    return (
        f"{name} could not be read because of a defect in Comet Reader ({type(error).__name__}); "
        "its log says more."
    )
