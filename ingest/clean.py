"""What the text of a document is allowed to contain, whatever it was read from.

- No control characters but newline and tab, no lone surrogates, no noncharacters; NFC; typographic
  ligatures as letters; no soft hyphens or zero-width spaces; no-break spaces as spaces.
- A word hyphenated at a line end is one word, also across pages.
- The lines of a wrapped paragraph are one line. Short lines (verse, lists, code) and the rows of
  tables stay as they are.
- No white space at line ends, no more than one blank line at a time.

A page break is a line break and no more: the cleaned pages, put together with nothing in between,
are the cleaned text of the pages joined with newlines. Cleaning what is clean changes nothing; for
that, an unwrapped paragraph is always followed by a blank line or an item of a list.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ingest.readers.base import Page

_WRAPPED = 45
"""Characters from which on a line may be one that was wrapped."""
_ENDS_EARLY = 0.8
"""Share of its neighbour's length under which a line that ends a sentence ends its paragraph."""

_HYPHENS = "-\u2010"
_DASHES = _HYPHENS + "\u2013\u2014"

_CHARACTERS: dict[int, str | None] = (
    dict.fromkeys((*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000)))
    | dict.fromkeys(
        (*range(0xFDD0, 0xFDF0), *(p * 0x10000 + n for p in range(17) for n in (0xFFFE, 0xFFFF)))
    )
    | {ord(c): c for c in "\n\t"}
    | {ord(c): "\n" for c in "\r\v\f\x85\u2028"}
    | {0x2029: "\n\n"}
    | dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))
    | dict.fromkeys(map(ord, "\u00a0\u2009\u200a\u202f"), " ")
    | dict(zip(range(0xFB00, 0xFB07), ("ff", "fi", "fl", "ffi", "ffl", "st", "st"), strict=True))
)
# At a line end a soft hyphen is one that shows.
_SHOWN_SOFT_HYPHEN = re.compile(r"(?<!\u00ad)\u00ad++[ \t]*+(?=[\r\n]|\Z)")
_ITEM = re.compile(
    r"(?:[-*+\u2022\u25e6\u25aa\u25cf\u2023]|\(?\d+(?:\.\d+)*[.)]|\d+(?:\.\d+)+)(?:\s|$)"
)
_CELL_BORDER = " | "
_SENTENCE_END = re.compile(r"[.!?:][\"'\u2019\u201d)\]]*$")


def clean_pages(pages: Iterable[Page]) -> Iterator[Page]:
    """Clean a document page by page; one page is held back, because its last word may go on.

    The text of the document is the page texts put together with nothing in between: what separates
    a page from those before it stands at its start. Numbers and problems stay as they are.
    """
    flow = _Flow()
    held: Page | None = None
    for page in pages:
        hyphen, text = flow.add(_clean_characters(page.text))
        if held is not None:
            yield replace(held, text=held.text + hyphen)
        held = replace(page, text=text)
    if held is not None:
        yield replace(held, text=held.text + flow.hyphen)


def clean_text(text: str) -> str:
    """Clean a text that is whole."""
    return "".join(page.text for page in clean_pages([Page(1, text)]))


def _clean_characters(text: str) -> str:
    text = text.replace("\r\n", "\n")
    text = _SHOWN_SOFT_HYPHEN.sub("-", text)
    return unicodedata.normalize("NFC", text.translate(_CHARACTERS))


class _Flow:
    """Joins lines as they come. A hyphen that ends a line is withheld until the next line shows
    whether it divides a word; that it stays is told with the text that follows."""

    def __init__(self) -> None:
        self.hyphen = ""
        self._length = 0  # of the line as it came out so far; 0 before the first
        self._line = ""  # the last line that came in,
        self._previous = ""  # and the one before it in the same paragraph
        self._blank = False  # whether blank lines followed

    def add(self, text: str) -> tuple[str, str]:
        """Take one or more lines. Returns the withheld hyphen of before if it stays, and the text
        that came of the lines, led by what separates it from the text before."""
        hyphen = ""
        pieces: list[str] = []
        for number, line in enumerate(text.split("\n")):
            kept, piece = self._next(line.rstrip())
            if number == 0:
                hyphen = kept
            else:
                pieces.append(kept)
            pieces.append(piece)
        return hyphen, "".join(pieces)

    def _next(self, line: str) -> tuple[str, str]:
        """What one line adds: the withheld hyphen, if it stays, and the text after it."""
        kept = self.hyphen
        if not line:
            self._blank, self.hyphen = True, ""
            return kept, ""
        if self.hyphen and _is_lowercase(line.lstrip()[0]):
            kept, separator, line = "", "", line.lstrip()
            self._length -= 1
        else:
            separator = self._separator(line)
        joined = not separator.startswith("\n") and self._length > 0
        self._previous = self._line if joined else ""
        self._length = len(line) + (self._length + len(separator) if joined else 0)
        self._line, self._blank = line, False
        self.hyphen = line[-1] if _may_divide_word(line) else ""
        return kept, separator + line.removesuffix(self.hyphen)

    def _separator(self, line: str) -> str:
        if self._length == 0:
            return ""
        if self._blank:
            return "\n\n"
        if self._length <= _WRAPPED or line[0].isspace() or _ITEM.match(line):
            return "\n"
        if _CELL_BORDER in self._line or _CELL_BORDER in line:
            return "\n"
        if len(self._line) <= _WRAPPED or _ends_paragraph(self._previous, self._line, line):
            return "\n\n"
        return "" if _ends_in_dash(self._line) else " "


def _is_lowercase(character: str) -> bool:
    return unicodedata.category(character) == "Ll"


def _may_divide_word(line: str) -> bool:
    return len(line) > 1 and line[-1] in _HYPHENS and line[-2].isalpha()


def _ends_in_dash(line: str) -> bool:
    return line[-1] in _DASHES and not line[-2].isspace()


def _ends_paragraph(previous: str, line: str, following: str) -> bool:
    """Whether a sentence ends with the line, and the line is short beside its neighbours or a
    heading follows."""
    if not _SENTENCE_END.search(line):
        return False
    heading = len(following) <= _WRAPPED and following[0].isupper() and following[-1].isalnum()
    return heading or len(line) < _ENDS_EARLY * max(len(previous), len(following))
