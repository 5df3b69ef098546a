"""What every reader gives: a document, which is a stream of pages.

Knows no format. A page break counts as a line break: the raw text of a document is its page texts
joined with a newline, so a reader whose page ends a paragraph ends that page's text with a newline
of its own. What text may contain is decided in `ingest.clean`, not here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from ingest.errors import DocumentError, EmptyFile

PAGE_CHARACTERS = 3000
"""Characters after which a format that has no pages of its own begins another."""

_TITLE_CHARACTERS = 300


@dataclass(frozen=True)
class Page:
    """One page: its number from 1, its text, and why it could not be read (then text is "")."""

    number: int
    text: str
    problem: str | None = None


class Document(ABC):
    """An open document. Use it as a context manager, or close it.

    `title` is one line or None; `page_count` is None where it is not known before the end.
    """

    title: str | None = None
    page_count: int | None = None
    blank_error: type[DocumentError] = EmptyFile
    """What it means for this format that no page has text."""

    @abstractmethod
    def pages(self) -> Iterator[Page]:
        """Stream the pages in reading order; each call starts at the first again."""

    def close(self) -> None:  # noqa: B027
        """Let go of the file. Nothing to do for a document that holds none open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class BlockDocument(Document):
    """A document that was parsed in one go: only its blocks of text are kept, grouped in pages."""

    def __init__(self, title: str | None, blocks: Iterable[str]) -> None:
        self.title = one_line(title)
        self._texts = list(group_blocks(blocks))
        self.page_count = len(self._texts)

    def pages(self) -> Iterator[Page]:
        for number, text in enumerate(self._texts, start=1):
            yield Page(number, text)


def group_blocks(blocks: Iterable[str]) -> Iterator[str]:
    """Group blocks (paragraphs, headings, tables) into texts of about PAGE_CHARACTERS.

    No block is split; blocks are separated by a blank line, and a text ends with a newline.
    """
    group: list[str] = []
    size = 0
    for block in blocks:
        if group and size + len(block) > PAGE_CHARACTERS:
            yield join_blocks(group)
            group, size = [], 0
        group.append(block)
        size += len(block)
    if group:
        yield join_blocks(group)


def join_blocks(blocks: Iterable[str]) -> str:
    """Blocks as the text of a page that ends its last paragraph."""
    return "\n\n".join(blocks) + "\n"


def one_line(title: str | None) -> str | None:
    """A title out of a document's metadata, as one printable line; None if nothing is left."""
    words = " ".join((title or "").split())
    line = "".join(c for c in words if c.isprintable())[:_TITLE_CHARACTERS].strip()
    return line or None
