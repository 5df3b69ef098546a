"""Markdown: rendered to HTML by markdown-it, and read as that."""

from pathlib import Path

from markdown_it import MarkdownIt

from ingest.errors import WrongContent
from ingest.readers.base import BlockDocument, Document
from ingest.readers.encoding import detect_encoding
from ingest.readers.html import find_title, parse, visible_blocks

_NESTING = 200  # lists and quotations in one another; beyond it their text would be lost


def open_file(path: Path, password: str | None = None) -> Document:
    """Read a Markdown file. Raises WrongContent for binary data."""
    with path.open("rb") as file:
        encoding = detect_encoding(file)
    if encoding is None:
        raise WrongContent(path, expected="Markdown text", found="binary data")
    source = path.read_text(encoding, errors="replace")
    markdown = MarkdownIt("commonmark", {"maxNesting": _NESTING}).enable("table")
    page = parse(markdown.render(source))
    return BlockDocument(find_title(page), visible_blocks(page))
