"""HTML: the text a reader of the page would see, block by block.

No scripts, styles, templates or hidden parts; no layout and no pictures. Also what EPUB chapters
and rendered Markdown are read with.
"""

import io
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bs4 import BeautifulSoup, Tag
from bs4.dammit import EncodingDetector
from bs4.element import NavigableString, PageElement

from ingest.errors import TooLarge, WrongContent
from ingest.readers.base import BlockDocument, Document
from ingest.readers.encoding import detect_encoding

MARKUP_BYTES = 16 * 2**20
"""Of one page: parsed, markup takes more than a hundred times its size."""

_INVISIBLE = re.compile(
    "script|style|template|noscript|head|title|iframe|object|svg|audio|video|canvas"
)
_BLOCK = re.compile(
    "address|article|aside|blockquote|body|caption|center|dd|details|dialog|div|dl|dt|fieldset"
    "|figcaption|figure|footer|form|h[1-6]|header|hr|html|legend|li|main|menu|nav|ol|option|p|pre"
    "|section|summary|table|ul"
)

# What XHTML begins with. An HTML parser would take it for text, or for another XML format; entities
# that are declared in it stay as they stand in the text.
_DECLARATIONS = re.compile(
    r"\A\s*(?:<\?xml[^>]*>\s*)?(?:<!DOCTYPE[^>\[]*(?:\[.*?\]\s*)?>)?", re.IGNORECASE | re.DOTALL
)


def open_file(path: Path, password: str | None = None) -> Document:
    """Read an HTML file. Raises WrongContent for binary data, TooLarge."""
    if path.stat().st_size > MARKUP_BYTES:
        raise TooLarge(path, limit=f"{MARKUP_BYTES // 2**20} MB of markup")
    markup = decode_markup(path.read_bytes())
    if markup is None:
        raise WrongContent(path, expected="a web page (HTML)", found="binary data")
    page = parse(markup)
    return BlockDocument(find_title(page), visible_blocks(page))


def decode_markup(data: bytes) -> str | None:
    """Markup as text, or None for binary data.

    What is valid Unicode is Unicode, whatever it declares; else the declared encoding counts,
    unless its own declaration could not be read in it.
    """
    encoding = detect_encoding(io.BytesIO(data))
    if encoding is None:
        return None
    declared = EncodingDetector.find_declared_encoding(data, is_html=True)
    if declared is not None and not encoding.startswith("utf"):
        with suppress(LookupError, ValueError):  # a page can declare any nonsense
            if b"<meta charset=>".decode(declared) == "<meta charset=>":  # it would not in UTF-16
                return data.decode(declared, errors="replace")
    return data.decode(encoding, errors="replace")


def parse(markup: str) -> BeautifulSoup:
    return BeautifulSoup(_DECLARATIONS.sub("", markup), "lxml")


def find_title(page: BeautifulSoup) -> str | None:
    """The page's title, or else its first heading."""
    for tag in (page.title, page.h1):
        if tag is not None and tag.get_text(strip=True):
            return tag.get_text(" ")
    return None


def visible_blocks(page: BeautifulSoup) -> Iterator[str]:
    """The visible text, one string a block element, its white space as a browser shows it."""
    pieces: list[str] = []
    new_cell = False
    for event, text in _events(page):
        if event == "block":
            if block := "".join(pieces).strip("\n").rstrip():
                yield block
            pieces, new_cell = [], False
        elif event == "cell":
            new_cell = bool(pieces) and not pieces[-1].endswith("\n")
        else:
            if pieces and text == "\n":
                pieces[-1] = pieces[-1].rstrip(" ")
            if event == "flowing" and (not pieces or pieces[-1][-1] in " \n"):
                text = text.lstrip(" ")
            if new_cell and text.strip():
                pieces[-1] = pieces[-1].rstrip(" ")
                pieces.append(" | ")
                new_cell = False
                text = text.lstrip(" ")
            if text:
                pieces.append(text)


def _events(root: Tag) -> Iterator[tuple[str, str]]:
    """Walk the tree, however deep, as ("flowing" or "literal", text), ("cell", "") at the start of
    a table cell and ("block", "") at each start and end of a block element."""
    pending: list[PageElement | _End] = [_End("html"), root]
    literal = 0
    while pending:
        node = pending.pop()
        if isinstance(node, _End):
            literal -= node.name == "pre"
            yield "block", ""
        elif type(node) is NavigableString:
            yield ("literal", node) if literal else ("flowing", re.sub(r"[ \t\r\n\f]+", " ", node))
        elif isinstance(node, Tag) and _is_visible(node):
            if node.name in ("br", "tr"):
                yield "literal", "\n"
            elif node.name in ("td", "th"):
                yield "cell", ""
            elif _BLOCK.fullmatch(node.name):
                literal += node.name == "pre"
                yield "block", ""
                pending.append(_End(node.name))
            pending.extend(reversed(node.contents))


class _End(NamedTuple):
    """The end of a block element, on the way back up."""

    name: str


def _is_visible(tag: Tag) -> bool:
    return not (
        _INVISIBLE.fullmatch(tag.name)
        or tag.has_attr("hidden")
        or re.search(r"display\s*:\s*none", str(tag.get("style", "")))
    )
