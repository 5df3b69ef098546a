"""PDF: text by pdfium, one page at a time, and the title by pypdf.

pypdf takes many times as long for text, and loses the spaces of some documents; pdfium reads files
that pypdf refuses, so what pypdf does not understand costs the title and no more. Pages without a
text layer come out blank: nothing here recognizes characters in pictures.
"""

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path

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
        needed = None
        try:
            self._document = _open(path, None)
        except EncryptedFile:
            if password is None:
                raise
            self._document = _open(path, needed := password)
        self.page_count: int = len(self._document)
        self.title = _title(path, needed)

    def pages(self) -> Iterator[Page]:
        for index in range(self.page_count):
            try:
                yield Page(index + 1, _page_text(self._document, index))
            except pypdfium2.PdfiumError as error:
                yield Page(index + 1, "", problem=f"page {index + 1}: {error}")

    def close(self) -> None:
        with _PDFIUM:
            self._document.close()


def _open(path: Path, password: str | None) -> pypdfium2.PdfDocument:
    try:
        with _PDFIUM:
            return pypdfium2.PdfDocument(path, password=password)
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
    return _without_page_number(text)


def _without_page_number(text: str) -> str:
    """Drop a line of nothing but digits that is the first or last of several lines."""
    lines = text.strip().splitlines()
    if len(lines) > 1 and lines[-1].strip().isdecimal():
        del lines[-1]
    if len(lines) > 1 and lines[0].strip().isdecimal():
        del lines[0]
    return "\n".join(lines)


def _title(path: Path, password: str | None) -> str | None:
    try:
        with path.open("rb") as file:
            metadata = pypdf.PdfReader(file, password=password).metadata
            return one_line(metadata.title) if metadata is not None else None
    except Exception:  # pypdf raises whatever it stumbles over; a title is not worth a document
        return None
