"""DOCX: paragraphs and tables in document order, opened by python-docx.

Text inside tracked insertions, links and content controls is part of the document; deleted text,
headers, footers and notes are not. The text of a paragraph is gathered here because python-docx
leaves insertions and content controls out.
"""

from collections.abc import Iterator
from pathlib import Path

import docx
from docx.oxml.ns import qn
from lxml import etree

from ingest.errors import DamagedFile
from ingest.readers.archive import Archive
from ingest.readers.base import BlockDocument, Document

_CHARACTERS = {
    qn("w:tab"): "\t",
    qn("w:br"): "\n",
    qn("w:cr"): "\n",
    qn("w:noBreakHyphen"): "-",
}
# A moved text stands at its new place too; a fallback repeats what stands beside it.
_LEFT_OUT = {
    qn("w:pPr"),
    qn("w:rPr"),
    qn("w:del"),
    qn("w:moveFrom"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}


def open_file(path: Path, password: str | None = None) -> Document:
    """Read a DOCX file. Raises ZipBomb, TruncatedFile or DamagedFile."""
    archive = Archive(path)
    try:
        # python-docx unpacks every member, pictures too.
        archive.check(archive.names())
    finally:
        archive.close()
    try:
        document = docx.Document(str(path))
        title = document.core_properties.title
        return BlockDocument(title, _blocks(document.element.body))
    except Exception as error:  # python-docx raises whatever it stumbles over
        raise DamagedFile(path, reason="its parts cannot be read") from error


def _blocks(parent: etree._Element) -> Iterator[str]:
    """Text of the paragraphs and tables below an element, in order; blank ones left out."""
    for child in parent:
        if child.tag == qn("w:p"):
            text = "".join(_text(child)).strip()
        elif child.tag == qn("w:tbl"):
            text = "\n".join(_rows(child))
        else:
            if child.tag not in _LEFT_OUT:
                yield from _blocks(child)
            continue
        if text:
            yield text


def _rows(table: etree._Element) -> Iterator[str]:
    """A line a row, its cells separated by a bar; a table in a cell becomes part of the cell."""
    for row in _nearest(table, qn("w:tr")):
        cells = (" ".join(" ".join(_blocks(cell)).split()) for cell in _nearest(row, qn("w:tc")))
        line = " | ".join(cell for cell in cells if cell)
        if line:
            yield line


def _nearest(element: etree._Element, tag: str) -> Iterator[etree._Element]:
    """The descendants with a tag that are not inside another of the same tag."""
    for child in element:
        if child.tag == tag:
            yield child
        elif child.tag not in _LEFT_OUT:
            yield from _nearest(child, tag)


def _text(element: etree._Element) -> Iterator[str]:
    for child in element:
        if child.tag == qn("w:t"):
            yield child.text or ""
        elif child.tag in _CHARACTERS:
            yield _CHARACTERS[child.tag]
        elif child.tag == qn("w:p"):  # of a text box
            yield from ("\n", *_text(child), "\n")
        elif child.tag not in _LEFT_OUT:
            yield from _text(child)
