"""The zip archive that an EPUB or a DOCX is, read within limits.

What counts is what comes out when a member is unpacked, never what the archive says about it. A
member is looked up by its name in the archive; nothing is ever written to a folder.
"""

import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ingest.errors import TruncatedFile, ZipBomb

MEMBER_BYTES = 128 * 2**20
TOTAL_BYTES = 512 * 2**20
RATIO = 200
"""How many times its packed size a member may unpack to, beyond the first RATIO_FROM bytes."""
RATIO_FROM = 8 * 2**20

MEMBER_ERRORS = (
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    UnicodeDecodeError,
    RuntimeError,  # encrypted; its subclass: packed in a way that zipfile does not know
    EOFError,
)
"""What reading a member that is missing, damaged or encrypted raises."""

_PIECE = 2**16


class Archive:
    """A zip file, held open. Raises TruncatedFile if its directory is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise TruncatedFile(path) from error

    def names(self) -> list[str]:
        return self._zip.namelist()

    def read(self, name: str) -> bytes:
        """Unpack one member. Raises ZipBomb beyond the limits, or one of MEMBER_ERRORS."""
        return b"".join(self._unpack(name))

    def check(self, names: Iterable[str]) -> None:
        """Unpack members and keep nothing: raises ZipBomb if one, or all together, are too much.

        A member that cannot be unpacked is no bomb; whoever reads it meets the error.
        """
        total = 0
        for name in names:
            try:
                for piece in self._unpack(name):
                    total += len(piece)
                    if total > TOTAL_BYTES:
                        raise ZipBomb(self._path)
            except MEMBER_ERRORS:
                continue

    def close(self) -> None:
        self._zip.close()

    def _unpack(self, name: str) -> Iterator[bytes]:
        packed = self._zip.getinfo(name).compress_size
        size = 0
        with self._zip.open(name) as member:
            while piece := _next_piece(member):
                size += len(piece)
                if size > MEMBER_BYTES or size > max(RATIO_FROM, RATIO * packed):
                    raise ZipBomb(self._path)
                yield piece


def _next_piece(member: IO[bytes]) -> bytes:
    try:
        return member.read(_PIECE)
    except OSError as error:
        if error.errno is None:  # bzip2's way to say that data is damaged
            raise zipfile.BadZipFile(str(error)) from error
        raise
