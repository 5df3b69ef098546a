"""Which encoding a text file is in: byte order marks, then Unicode, then an informed guess.

Looks through the whole file once, a piece at a time, because a first accent may come late in it.
Knows nothing of what encodings a format lets a file declare.
"""

import codecs
import unicodedata
from typing import BinaryIO

from charset_normalizer import from_bytes

_SAMPLE = 2**16
_BEFORE = 2**12
"""Bytes of a sample that precede the first one that is not UTF-8."""

# The marks of UTF-32 begin like those of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")

# What texts are found in; among rarer code pages a guess errs more often than it hits.
_COMMON = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258"),
    *("iso8859_2", "iso8859_5", "iso8859_7", "koi8_r", "cp866", "cp437", "cp850", "mac_roman"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949", "cp874"),
]

_NULS = 0.005
_CONTROLS = 0.02
"""Shares of a sample from which on NULs mean wide characters, and control bytes binary data."""

_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b")) + b"\x7f"


def detect_encoding(file: BinaryIO) -> str | None:
    """Name of the codec that decodes the file, or None for binary data. Moves the position."""
    file.seek(0)
    head = file.read(_SAMPLE)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    may_be_wide = head.count(0) > _NULS * len(head) and not _is_ascii_with_nuls(head)
    if may_be_wide and (wide := _wide_encoding(head)):
        return wide
    if _is_binary(head):
        return None
    sample = _sample_of_undecodable(file)
    if sample is None or _is_mostly_utf8(sample):
        return "utf-8"
    return None if _is_binary(sample) else _guess(sample)


def _is_binary(sample: bytes) -> bool:
    controls = len(sample) - len(sample.translate(None, _CONTROL_BYTES))
    return controls > _CONTROLS * len(sample)


def _is_ascii_with_nuls(head: bytes) -> bool:
    """Pairs of ASCII characters are Chinese ones in UTF-16; but Chinese has other bytes too,
    Western text as many NULs as letters, and Cyrillic, Greek or Hebrew control bytes.
    """
    without = head.replace(b"\0", b"")
    return head.isascii() and len(without) > 0.75 * len(head) and not _is_binary(without)


def _wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: the one in which the head is the most ordinary text."""
    best: tuple[int, str] | None = None
    for encoding in _WIDE:
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head)
        except UnicodeDecodeError:
            continue
        strange = sum(
            unicodedata.category(c) in ("Cc", "Cn", "Co") for c in text if c not in "\r\n\t"
        )
        if strange > _CONTROLS * len(text):
            continue
        ordinary = sum(c < "\x7f" or "\u3000" <= c < "\u3100" for c in text)
        if best is None or ordinary > best[0]:
            best = ordinary, encoding
    return best[1] if best is not None else None


def _sample_of_undecodable(file: BinaryIO) -> bytes | None:
    """Whole lines around the first bytes that are not UTF-8; None if all the file is."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    position = 0
    file.seek(0)
    while True:
        piece = file.read(_SAMPLE)
        waiting = len(decoder.getstate()[0])
        try:
            decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            return _lines_around(file, position - waiting + error.start)
        if not piece:
            return None
        position += len(piece)


def _lines_around(file: BinaryIO, position: int) -> bytes:
    """A sample from before the position, cut to whole lines so that no character is cut in two."""
    start = max(0, position - _BEFORE)
    file.seek(start)
    sample = file.read(_SAMPLE)
    if start > 0:
        sample = sample[sample.find(b"\n", 0, position - start) + 1 :]
    end = sample.rfind(b"\n") + 1
    return sample[:end] if len(sample) > _SAMPLE // 2 and end > _BEFORE else sample


def _is_mostly_utf8(sample: bytes) -> bool:
    """UTF-8 with a few damaged characters, such as one cut off at the end of the file."""
    text = sample.decode("utf-8", errors="replace")
    damaged = text.count("\N{REPLACEMENT CHARACTER}")
    intact = sum(c > "\x7f" for c in text) - damaged
    return intact >= 4 * damaged


def _guess(sample: bytes) -> str:
    """charset-normalizer's guess, except that Western European is preferred where it is plausible:
    code pages that differ in a few accents score alike, and it is by far the most common."""
    matches = from_bytes(sample, cp_isolation=_COMMON)
    for match in matches:
        plausible = {match.encoding, *match.could_be_from_charset}
        for encoding in ("cp1252", "cp1254"):
            if encoding in plausible:
                return encoding
    best = matches.best()
    return best.encoding if best is not None else "cp1252"
