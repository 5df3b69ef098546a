"""What the library page shows of jobs and documents, as plain values and HTML. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from app.console import duration, one_line, size
from app.desk import Job, State
from app.tables import Document
from ui import text
from ui.render import render


@dataclass(frozen=True)
class JobRow:
    """A file in line, being read, or done with."""

    id: str
    name: str
    state: str
    percent: int
    line: str
    can_stop: bool


@dataclass(frozen=True)
class DocumentRow:
    """A document, with its numbers as people read them."""

    id: str
    title: str
    file_name: str
    pages: str
    tokens: str
    memory: str
    kind: str
    state: str
    can_ask: bool


def is_active(job: Job) -> bool:
    """Whether there is more to come of a job."""
    return not job.state.ended


def job_row(job: Job) -> JobRow:
    """How a job is shown."""
    return JobRow(
        id=job.id,
        name=one_line(job.name),
        state=str(job.state),
        percent=_percent(job),
        line=_line(job),
        can_stop=is_active(job),
    )


def document_row(document: Document, active: Iterable[str | None] = ()) -> DocumentRow:
    """How a document is shown; `active` are the ids of those that are being read."""
    memory = document.finished or document.checkpoint
    kind, state = _state(document, document.id in set(active))
    return DocumentRow(
        id=document.id,
        title=one_line(document.title) or one_line(document.file_name),
        file_name=one_line(document.file_name),
        pages=f"{document.pages:,}",
        tokens=f"{document.tokens:,}",
        memory=size(memory.nbytes) if memory else "",
        kind=kind,
        state=state,
        can_ask=document.finished is not None,
    )


def jobs_html(jobs: Sequence[Job]) -> str:
    """The list of jobs; empty without any."""
    return render("jobs.html", jobs=[job_row(job) for job in jobs]) if jobs else ""


def documents_html(documents: Iterable[Document], jobs: Iterable[Job] = ()) -> str:
    """The table of documents, the newest first."""
    active = [job.document_id for job in jobs if is_active(job)]
    rows: list[Any] = [document_row(document, active) for document in documents]
    return render("documents.html", documents=rows[::-1])


def _percent(job: Job) -> int:
    return round(100 * min(1.0, job.pages / job.page_count)) if job.page_count else 0


def _line(job: Job) -> str:
    """A sentence of what happens, or happened, to a file."""
    if job.state.ended:
        return one_line(job.message or "")
    if job.state is State.WAITING:
        return text.WAITING
    if not job.tokens:
        return text.STARTING
    parts = [f"{job.pages:,} of {job.page_count or 0:,} pages", f"{job.tokens:,} tokens"]
    if job.tokens_per_second:
        parts.append(f"{job.tokens_per_second:,.0f} tokens/s")
    if job.seconds_left is not None:
        parts.append(f"{duration(job.seconds_left)} left")
    return " · ".join(parts)


def _state(document: Document, is_active: bool) -> tuple[str, str]:
    """A class for its colour, and words."""
    if is_active:
        return "reading", text.READING
    if document.finished is None:
        return "failed", one_line(document.error or "") or text.INTERRUPTED
    skipped = len(document.skipped_pages)
    if skipped:
        some = text.SKIPPED_ONE if skipped == 1 else text.SKIPPED_MANY.format(count=skipped)
        return "ready", f"{text.READY}; {some}"
    return "ready", text.READY
