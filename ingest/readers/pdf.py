"""PDF: text by pdfium, one page at a time, and the title by pypdf.

pypdf takes many times as long for text, and loses the spaces of some documents; pdfium reads files
that pypdf refuses, so what pypdf does not understand costs the title and no more. Pages without a
text layer come out blank: nothing here recognizes characters in pictures.
"""

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import pypdf
import pypdfium2
import pypdfium2.raw as pdfium

from ingest.errors import (
    DamagedFile,
    EncryptedFile,
    NoTextLayer,
    ProtectedFile,
    TruncatedFile,
    WrongPassword,
)
from ingest.readers.base import Document, Page, one_line

_END_WITHIN = 2048
"""Bytes from the end within which a whole PDF has its end marker."""

_REOPEN_AFTER = 64
"""Pages after which a document is opened afresh: pdfium keeps what it has parsed until it closes a
document, so that a large one would be in memory whole."""

_FARTHEST = 1000
"""Page numbers are less than this above the page's place in the file, where a part of a volume has
higher ones; the years that head the pages of a chronicle are not."""

_PDFIUM = threading.Lock()
"""pdfium is not safe in threads, not even for two documents."""

# pypdf reports each oddity of a file, which the reader of a book can do nothing about.
logging.getLogger("pypdf").setLevel(logging.ERROR)


def open_file(path: Path, password: str | None = None) -> Document:
    return PdfDocument(path, password)


class PdfDocument(Document):
    """A PDF file, held open. Raises a `DocumentError` where it cannot be opened.

    A password that is not needed does no harm.
    """

    blank_error = NoTextLayer

    def __init__(self, path: Path, password: str | None = None) -> None:
        if not _has_end(path):
            raise TruncatedFile(path)
        self._path = path
        self._password: str | None = None
        self._file = path.open("rb")  # it can be opened afresh even if it is moved or deleted
        try:
            self._document = self._open_with(password)
        except BaseException:
            self._file.close()
            raise
        self.page_count: int = len(self._document)
        self.title = _title(path, self._password)

    def pages(self) -> Iterator[Page]:
        return _without_page_numbers(self._whole_pages())

    def close(self) -> None:
        with _PDFIUM:
            self._document.close()
        self._file.close()

    def _open_with(self, password: str | None) -> pypdfium2.PdfDocument:
        try:
            return _open(self._file, self._path, None)
        except EncryptedFile:
            if password is None:
                raise
            self._password = password
            return _open(self._file, self._path, password)

    def _whole_pages(self) -> Iterator[Page]:
        for index in range(self.page_count):
            if index > 0 and index % _REOPEN_AFTER == 0:
                self._reopen()
            try:
                yield Page(index + 1, _page_text(self._document, index))
            except pypdfium2.PdfiumError as error:
                yield Page(index + 1, "", problem=f"page {index + 1}: {error}")

    def _reopen(self) -> None:
        used, self._document = self._document, _open(self._file, self._path, self._password)
        with _PDFIUM:
            used.close()


def _open(file: BinaryIO, path: Path, password: str | None) -> pypdfium2.PdfDocument:
    try:
        with _PDFIUM:
            return pypdfium2.PdfDocument(file, password=password)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise (EncryptedFile if password is None else WrongPassword)(path) from error
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise ProtectedFile(path) from error
        raise DamagedFile(path, reason="its structure is broken") from error


def _has_end(path: Path) -> bool:
    """Whether the end marker is where it has to be; blanks and NULs may pad the file after it.

    pdfium would read what is left of a file by guessing at its structure, and a book that ends in
    its middle would look like a whole one.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 64 * _END_WITHIN))
        tail = file.read().rstrip(b"\0 \t\r\n")[-_END_WITHIN:]
    return re.search(rb"%%EOF|startxref\s+\d+\s*$", tail) is not None


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str:
    """Text of the visible area of one page; its objects are let go before it is returned."""
    with _PDFIUM:
        page = document[index]
        try:
            textpage = page.get_textpage()
            try:
                text = textpage.get_text_bounded()
            finally:
                textpage.close()
        finally:
            page.close()
    # pdfium's own mark where it took a hyphen and a line end out.
    text = re.sub("[\x02\ufffe]", "-\n", text)
    return "\n".join(text.strip().splitlines())


def _without_page_numbers(pages: Iterable[Page]) -> Iterator[Page]:
    """Drop the line of each page that is its number; one page is held back."""
    before: Page | None = None
    held: Page | None = None
    for after in chain(pages, [None]):
        if held is not None:
            yield _without_page_number(held, [page for page in (before, after) if page])
        before, held = held, after


def _without_page_number(page: Page, neighbours: list[Page]) -> Page:
    """Drop the last line, or else the first, if it is a number that goes on from page to page.

    At least one neighbour has a number at the same end, and each that has one is as far from its
    place. Any other number may be a value in a form. A page of nothing but a number keeps it.
    """
    lines = page.text.splitlines()
    for end in (-1, 0):
        offset = _number_offset(page, end)
        offsets = {_number_offset(neighbour, end) for neighbour in neighbours} - {None}
        if len(lines) > 1 and offsets == {offset}:
            del lines[end]
            return replace(page, text="\n".join(lines))
    return page


def _number_offset(page: Page, end: int) -> int | None:
    """How far the number in a page's first or last line is above the page's place in the file.

    None if no page number can stand there.
    """
    line = (page.text.splitlines() or [""])[end].strip()
    if not line.isdecimal() or len(line) > 4:
        return None
    offset = int(line) - page.number
    return offset if offset < _FARTHEST else None


def _title(path: Path, password: str | None) -> str | None:
    try:
        with path.open("rb") as file:
            metadata = pypdf.PdfReader(file, password=password).metadata
            return one_line(metadata.title) if metadata is not None else None
    except Exception:  # pypdf raises whatever it stumbles over; a title is not worth a document
        return None
