"""What the command line shows: progress, tables, outcomes; all on stderr but what was asked for.

Titles and texts come from documents, so they are shown as plain text: no markup, no control
characters. Knows nothing of how anything is done.
"""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.status import Status
from rich.table import Column, Table
from rich.text import Text

from app.naming import SHORT_ID
from app.pace import Pace
from app.tables import Document, Snapshot
from ingest.batch import Outcome

if TYPE_CHECKING:
    from ingest.pipeline import Progress as Read

PIPE_WIDTH = 160  # columns of a table that goes to no terminal
LINE_S = 10.0  # seconds between lines of progress that go to no terminal

out = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """Text with line breaks and tabs, but nothing else that a terminal takes as a command."""
    return "".join(c if _is_harmless(c) else "\N{REPLACEMENT CHARACTER}" for c in text)


def one_line(text: str) -> str:
    """Printable text on one line."""
    return printable(" ".join(text.split()))


def note(message: str) -> None:
    """One line for the user, on stderr."""
    err.print(Text(one_line(message)))


def error(failure: Exception | str) -> None:
    """A failure as one line on stderr."""
    note(f"Error: {failure or type(failure).__name__}")


def typed(prompt: str) -> str:
    """A line that the user types after a prompt on stderr; empty at the end of the input."""
    try:
        return err.input(Text(one_line(prompt) + " ")).strip()
    except EOFError:
        return ""


def waiting(message: str) -> Status:
    """A sign on stderr that something is going on, for a `with` statement."""
    return err.status(Text(one_line(message)))


class ReadingDisplay:
    """A live line on stderr for the one of `files` that is being read.

    Where stderr is no terminal: a plain line every LINE_S seconds, in a log or a pipe.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self._path: Path | None = None
        self._pace = Pace(0, 0)
        self._next_line = time.monotonic() + LINE_S
        name, read = (Column(max_width=24, no_wrap=True, overflow="ellipsis"), Column(no_wrap=True))
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=name),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[read]}", markup=False, table_column=read),
            console=err,
            expand=True,
            transient=True,
            disable=not err.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, read="loading")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, path: Path, read: Read) -> None:
        """Show how far a file is read."""
        if path != self._path:
            self._path, self._pace = path, Pace(read.tokens, read.pages)
        name = one_line(path.name)
        if len(self._files) > 1:
            name = f"{self._files.index(path) + 1}/{len(self._files)} {name}"
        text = f"{read.pages:,}/{read.page_count:,} pages, {read.tokens:,} tokens"
        text += _pace_text(self._pace, read)
        if err.is_terminal:
            self._progress.update(
                self._task,
                description=name,
                completed=read.pages,
                total=read.page_count,
                read=text,
            )
        elif time.monotonic() >= self._next_line:
            note(f"{name}: {text}")
            self._next_line = time.monotonic() + LINE_S


def duration(seconds: float) -> str:
    """0:42, 12:05 or 3:04:10."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def size(nbytes: int) -> str:
    """A size in memory, such as 5.3 MB."""
    return f"{nbytes / 1e6:,.1f} MB" if nbytes >= 1e5 else f"{nbytes / 1e3:,.1f} kB"


def document_table(documents: Iterable[Document]) -> Table:
    """The documents of a library, a row each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "title", "file", "status"):
        table.add_column(column, overflow="fold")
    for column in ("pages", "tokens", "memory"):
        table.add_column(column, justify="right")
    for document in documents:
        memory = document.finished or document.checkpoint
        row = (
            document.id[:SHORT_ID],
            document.title,
            document.file_name,
            document.status,
            f"{document.pages:,}",
            f"{document.tokens:,}",
            size(memory.nbytes) if memory else "",
        )
        table.add_row(*(Text(one_line(cell)) for cell in row))
    return table


def field_table(fields: dict[str, Any]) -> Table:
    """Names and values, a row each; values that are lists of mappings become lines."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name.replace("_", " "), Text(printable(_shown(value))))
    return table


def document_json(document: Document) -> dict[str, Any]:
    """A document with its snapshots as plain values."""
    return {
        "id": document.id,
        "title": document.title,
        "file_name": document.file_name,
        "content_hash": document.content_hash,
        "status": document.status,
        "error": document.error,
        "pages": document.pages,
        "characters": document.characters,
        "tokens": document.tokens,
        "skipped_pages": document.skipped_pages,
        "created_at": document.created_at.isoformat(),
        "updated_at": document.updated_at.isoformat(),
        "snapshots": [_snapshot_json(snapshot) for snapshot in document.snapshots],
    }


def outcome_json(outcome: Outcome[Document]) -> dict[str, Any]:
    """What became of a file as plain values."""
    return {
        "path": str(outcome.path),
        "result": outcome.result,
        "document": document_json(outcome.document) if outcome.document else None,
        "error": outcome.problem,
    }


def outcome_line(document: Document, known: bool) -> str:
    """What became of a file, in a sentence."""
    if known:
        return f"{document.title} is known already: nothing to do."
    memory = document.finished
    pages = f"{document.pages:,} page{'s' if document.pages != 1 else ''}"
    line = f"{document.title}: read {pages}, {document.tokens:,} tokens"
    if memory is not None and memory.nbytes:
        line += f" into a memory of {size(memory.nbytes)}"
    elif memory is not None:
        line += ", all of them kept word for word"
    if document.skipped_pages:
        skipped = (f"{page['page']} ({page['problem']})" for page in document.skipped_pages)
        line += f". Pages that could not be read were skipped: {'; '.join(skipped)}"
    return line + "."


def _snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "model": snapshot.model_name,
        "fingerprint": snapshot.fingerprint,
        "finished": snapshot.finished,
        "tokens_read": snapshot.tokens_read,
        "chunks_read": snapshot.chunks_read,
        "bytes": snapshot.nbytes,
        "created_at": snapshot.created_at.isoformat(),
    }


def _pace_text(pace: Pace, read: Read) -> str:
    """Empty until there is something to say."""
    speed = pace.tokens_per_second(read.tokens)
    left = pace.seconds_left(read.pages, read.page_count)
    text = "" if speed is None else f", {speed:,.0f} tokens/s"
    return text if left is None else f"{text}, {duration(left)} left"


def _is_harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(_shown(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_shown(item)}" for name, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)
