"""What a file holds, by its first bytes and, for a zip archive, by the names in it.

Knows nothing of file names: whether the content is what the name says is the registry's question.
"""

import re
import zipfile
from pathlib import Path

PDF = "a PDF"
EPUB = "an EPUB book"
DOCX = "a Word document (DOCX)"
BROKEN_ZIP = "a broken zip archive"

_PDF_HEADER_WITHIN = 1024
"""Bytes of junk that PDF readers put up with before the header."""

_SIGNATURES = {
    rb"\x89PNG": "a PNG image",
    rb"\xff\xd8\xff": "a JPEG image",
    rb"GIF8[79]a": "a GIF image",
    rb"II\*\0|MM\0\*": "a TIFF image",
    rb"\x1f\x8b|BZh\d1AY|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27|Rar!\x1a": "compressed data",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old or password-protected Office file",
    rb"\{\\rtf\d": "an RTF document",
    rb"\x7fELF|MZ\x90\0": "a program",
    rb"SQLite format 3\0": "a database",
}


def identify(path: Path) -> str | None:
    """Say what the file holds, or None where no signature is known (as for text).

    Raises OSError where the file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_PDF_HEADER_WITHIN)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _identify_zip(path)
    if re.match(rb"(\xef\xbb\xbf)?\s*%PDF-", head):
        return PDF
    for signature, description in _SIGNATURES.items():
        if re.match(signature, head):
            return description
    return None


def has_late_pdf_header(path: Path) -> bool:
    """Whether a PDF header follows some junk, such as the headers of a mail or web server."""
    with path.open("rb") as file:
        return b"%PDF-" in file.read(_PDF_HEADER_WITHIN)


def _identify_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # the second: a newer version
        return BROKEN_ZIP
    if "META-INF/container.xml" in names:
        return EPUB
    if "[Content_Types].xml" in names:
        is_word = any(name.startswith("word/") for name in names)
        return DOCX if is_word else "an Office file that is no Word document"
    return "a zip archive"
