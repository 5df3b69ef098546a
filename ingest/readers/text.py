"""Plain text, streamed: a page is some lines that end at a paragraph, or at least at a line.

However large the file, and however long its lines, one page of it is in memory at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from ingest.errors import WrongContent
from ingest.readers.base import PAGE_CHARACTERS, Document, Page
from ingest.readers.encoding import detect_encoding

_LONGEST_PAGE = 4 * PAGE_CHARACTERS


def open_file(path: Path, password: str | None = None) -> Document:
    return TextDocument(path)


class TextDocument(Document):
    """A text file in any encoding. Raises WrongContent for binary data."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            encoding = detect_encoding(file)
        if encoding is None:
            raise WrongContent(path, expected="plain text", found="binary data")
        self._encoding = encoding

    def pages(self) -> Iterator[Page]:
        with self._path.open(encoding=self._encoding, errors="replace") as file:
            for number, text in enumerate(_texts(file), start=1):
                yield Page(number, text)


def _texts(file: TextIO) -> Iterator[str]:
    """Cut at the first blank line after PAGE_CHARACTERS, else at the last line end or space before
    _LONGEST_PAGE. The line end or space at the cut is what the page break stands for."""
    text = ""
    while piece := file.readline(_LONGEST_PAGE):
        if len(text) + len(piece) > _LONGEST_PAGE:
            page, text = _cut(text + piece)
            yield page
        else:
            text += piece
        if len(text) >= PAGE_CHARACTERS and not piece.strip():
            yield text.removesuffix("\n")
            text = ""
    if text:
        yield text


def _cut(text: str) -> tuple[str, str]:
    """Divide a text that is too long at its last line end, or else space, within _LONGEST_PAGE."""
    for separator in ("\n", " "):
        end = text.rfind(separator, 0, _LONGEST_PAGE)
        if end > 0:
            return text[:end], text[end + 1 :]
    return text[:_LONGEST_PAGE], text[_LONGEST_PAGE:]
