"""The registry of readers: a document is opened by its name and checked against its content.

The one place that knows which formats exist. A reader's module, and the library behind it, is
imported when a document of its format is opened.
"""

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType

from ingest import errors
from ingest.readers import content
from ingest.readers.base import Document, Page

__all__ = ["SUPPORTED", "Document", "Format", "Page", "extraction", "open_document"]

EXTRACTION = 3
"""To be raised with every change to a reader or to `ingest.clean` that changes the text of files:
a reading that was interrupted before goes on with the text it began with, or starts over."""


@dataclass(frozen=True)
class Format:
    """A format: what it is called, its module here, the packages that module takes the text from
    (by their names in an index of packages), and what its content is identified as.

    The module has `open_file(path, password) -> Document`. Text has no signature: content None.
    """

    name: str
    module: str
    packages: tuple[str, ...]
    content: str | None = None


_MARKUP = ("beautifulsoup4", "lxml", "charset-normalizer")
_HTML = Format("a web page (HTML)", "html", _MARKUP)
_MARKDOWN = Format("Markdown text", "markdown", ("markdown-it-py", *_MARKUP))
_TEXT = Format("plain text", "text", ("charset-normalizer",))

SUPPORTED: Mapping[str, Format] = MappingProxyType(
    {
        ".pdf": Format("a PDF", "pdf", ("pypdfium2",), content.PDF),
        ".epub": Format("an EPUB book", "epub", _MARKUP, content.EPUB),
        ".docx": Format("a Word document (DOCX)", "docx", ("python-docx", "lxml"), content.DOCX),
        ".html": _HTML,
        ".htm": _HTML,
        ".xhtml": _HTML,
        ".md": _MARKDOWN,
        ".markdown": _MARKDOWN,
        ".txt": _TEXT,
        ".text": _TEXT,
    }
)
"""The formats that can be read, by file name suffix in lower case."""


def open_document(path: Path, password: str | None = None) -> Document:
    """Open a document and make sure that there is something to read in it.

    Pages are looked at until one has text, so that a scan or an empty file fails here and not after
    something was stored. `password` is for encrypted PDFs. Raises a `DocumentError`.
    """
    _check_file(path)
    format = _format(path)
    try:
        _check_content(path, format)
        reader = import_module(f"ingest.readers.{format.module}")
        document: Document = reader.open_file(path, password)
    except OSError as error:
        raise errors.UnreadableFile(path, reason=error.strerror or str(error)) from error
    try:
        _check_text(path, document)
    except BaseException:
        document.close()
        raise
    return document


def extraction(path: Path) -> str:
    """What beside a file's bytes determines its text: the reader, and the versions of what it uses.

    Where two differ, the texts may, and a reading of the one cannot go on with the other. Raises
    UnknownFormat.
    """
    format = _format(path)
    versions = (f"{package} {metadata.version(package)}" for package in format.packages)
    return ", ".join([f"{format.module} {EXTRACTION}", *versions])


def _format(path: Path) -> Format:
    format = SUPPORTED.get(path.suffix.lower())
    if format is None:
        raise errors.UnknownFormat(path, supported=", ".join(SUPPORTED))
    return format


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise errors.MissingFile(path) from error
    except OSError as error:
        raise errors.UnreadableFile(path, reason=error.strerror or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise errors.NotAFile(path)
    if status.st_size == 0:
        raise errors.EmptyFile(path)


def _check_content(path: Path, format: Format) -> None:
    found = content.identify(path)
    if found == format.content:
        return
    if format.content in (content.EPUB, content.DOCX) and found == content.BROKEN_ZIP:
        raise errors.TruncatedFile(path)
    if format.content == content.PDF and found is None and content.has_late_pdf_header(path):
        return
    raise errors.WrongContent(path, expected=format.name, found=found or "something else")


def _check_text(path: Path, document: Document) -> None:
    problems: list[str] = []
    pages = 0
    for page in document.pages():
        if any(character.isalnum() for character in page.text):
            return
        pages += 1
        if page.problem is not None:
            problems.append(page.problem)
    if problems and len(problems) == pages:
        raise errors.DamagedFile(path, reason=problems[0])
    raise document.blank_error(path)
