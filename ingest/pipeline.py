"""One document becomes a memory: pages, clean text, tokens, chunks, states.

`read_document` is a generator of progress that carries the state after every chunk. It stores
nothing and knows no database: whoever iterates decides what to keep, and stops it by not going on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from comet_core.checkpoint import LoadedModel
from comet_core.memory import MemoryState
from comet_core.reader import ChunkTurn, read
from ingest import errors
from ingest.clean import clean_pages
from ingest.examples import Examples
from ingest.readers.base import Document, Page


class ForeignState(ValueError):
    """A state to start from that cannot have come from the document."""


@dataclass(frozen=True)
class Progress:
    """How far a document is read, at the end of a chunk or of the document.

    `pages` counts those begun, `skipped` among them.
    `tokens` and `state` agree: `state` is the memory of exactly these tokens. `examples` are
    questions to begin with; there are none before the last page has been begun.
    """

    pages: int
    page_count: int
    characters: int
    skipped: tuple[Page, ...]
    state: MemoryState
    examples: tuple[str, ...] = ()

    @property
    def tokens(self) -> int:
        return self.state.tokens_read


def content_hash(path: Path) -> str:
    """sha256 of a file's bytes, in hexadecimal. Raises a `DocumentError` if it cannot be read."""
    try:
        if not path.is_file():  # a pipe would block, a folder cannot be opened
            raise errors.NotAFile(path) if path.exists() else errors.MissingFile(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise errors.UnreadableFile(path, reason=error.strerror or str(error)) from error


def read_document(
    loaded: LoadedModel, document: Document, start: MemoryState, turn: ChunkTurn = nullcontext
) -> Iterator[Progress]:
    """Read an open document from where `start` ends; yields after every chunk and at the end.

    Pages that cannot be read are skipped and reported. The states are the same bits whichever state
    of the same document the reading starts from. `turn` is entered for each chunk. Raises a
    `DocumentError` where the rest of the document cannot be read, ForeignState if `start` has read
    more tokens than the document has.
    """
    page_count = document.page_count
    if page_count is None:  # a second look at the file takes no time beside reading it
        page_count = sum(1 for _ in document.pages())
    pages = _Pages(document)
    tokens = loaded.prompt.document(pages)
    if sum(1 for _ in islice(tokens, start.tokens_read)) < start.tokens_read:
        raise ForeignState("the state to start from belongs to a longer document")
    for state in read(loaded.model, start, tokens, turn):
        yield Progress(
            pages.count,
            page_count,
            pages.characters,
            tuple(pages.skipped),
            state,
            pages.examples,
        )


class _Pages:
    """The clean text of a document's pages, counted as it goes by."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self.count = 0
        self.characters = 0
        self.skipped: list[Page] = []
        self.examples: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        examples = Examples()
        for page in clean_pages(self._document.pages()):
            self.count += 1
            if page.problem is not None:
                self.skipped.append(page)
            if page.text:
                self.characters += len(page.text)
                examples.add(page.text)
                yield page.text
        self.examples = tuple(examples.questions())
