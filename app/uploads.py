"""Files that people send: how large and how many they may be, and a place for them until read.

A file's name is data: it is shown, and its suffix tells the format, but it is never a path.
"""

from __future__ import annotations

import errno
import hashlib
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from tempfile import mkdtemp
from typing import IO

from filelock import FileLock, Timeout

from app.console import size
from app.errors import HomeUnusable
from comet_core.errors import CometError
from ingest.readers import SUPPORTED

_BLOCK = 1 << 20
_NAME = 200
_LOCK = ".lock"


@dataclass(frozen=True)
class Limits:
    """What one server takes on. Sizes in bytes; `uploads_waiting` is for each owner."""

    upload_bytes: int = 200_000_000
    uploads_waiting: int = 50
    free_bytes: int = 1_000_000_000
    question_characters: int = 4000


class TooLarge(CometError):
    """An upload has more bytes than are allowed."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"{shown_name(name)} is larger than {size(limit)}, which is the most that can be sent; "
            "send it in parts, or in a smaller format."
        )


class TooManyWaiting(CometError):
    """An owner has as many uploads in line as are allowed."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(
            f"{shown_name(name)} was not taken: {limit} files are waiting already; "
            "send it again when some have been read."
        )


class DiskFull(CometError):
    """There is too little space left on the disk."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{shown_name(name)} was not taken: the server's disk is almost full; "
            "remove documents that are not needed, and send it again."
        )


class QuestionTooLong(CometError):
    """A question has more characters than are allowed."""


@dataclass(frozen=True)
class Upload:
    """A file of our own with what somebody sent; `name` is what they call it."""

    path: Path
    name: str
    content_hash: str

    def delete(self) -> None:
        """Remove the file; it may be gone already."""
        self.path.unlink(missing_ok=True)


class Uploads:
    """A folder for uploads, this process's own; what others left behind when they ended is deleted.

    Raises HomeUnusable if there can be no such folder.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits = limits
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / _LOCK):  # nobody looks at a folder that is not locked yet
                _delete_leftovers(folder)
                self.folder = Path(mkdtemp(dir=folder))
                self._lock = FileLock(self.folder / _LOCK, thread_local=False)
                self._lock.acquire()
        except OSError as error:
            raise HomeUnusable(
                f"Cannot write to {folder} ({error.strerror}); choose another folder with --home."
            ) from error

    def close(self) -> None:
        """Delete the folder with all that is in it."""
        self._lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)

    def take(self, source: Path, name: str) -> Upload:
        """Copy a file, and hash it on the way. Raises TooLarge or DiskFull, and leaves nothing."""
        name = shown_name(name)
        suffix = PurePath(name).suffix.lower()
        path = self.folder / (secrets.token_hex(16) + (suffix if suffix in SUPPORTED else ""))
        try:
            with telling_full(name), source.open("rb") as original, path.open("wb") as copy:
                return Upload(path, name, self._copy(original, copy, name))
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    def _copy(self, original: IO[bytes], copy: IO[bytes], name: str) -> str:
        total, digest = 0, hashlib.sha256()
        while block := original.read(_BLOCK):
            total += len(block)
            if total > self.limits.upload_bytes:
                raise TooLarge(name, self.limits.upload_bytes)
            self.check_space(name, len(block))
            copy.write(block)
            digest.update(block)
        copy.flush()
        return digest.hexdigest()

    def check_space(self, name: str, nbytes: int = 0) -> None:
        """Raises DiskFull if so many bytes more would leave too little free."""
        if shutil.disk_usage(self.folder).free - nbytes < self.limits.free_bytes:
            raise DiskFull(name)


@contextmanager
def telling_full(name: str) -> Iterator[None]:
    """Around what writes a file that was sent: raises DiskFull where disk or quota say so."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(name) from error
        raise


def shown_name(name: str) -> str:
    """What a file is called, on one line: no folders, no control characters, not endless."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    printable = " ".join("".join(c if c.isprintable() else " " for c in last).split())
    if len(printable) > _NAME:
        suffix = PurePath(printable).suffix[: _NAME // 2]
        printable = printable[: _NAME - len(suffix)] + suffix
    return printable or "unnamed"


def _delete_leftovers(folder: Path) -> None:
    """Delete the folders whose processes have ended: their locks can be had."""
    for left in folder.iterdir():
        with suppress(Timeout):
            if left.is_dir():
                with FileLock(left / _LOCK, blocking=False):
                    shutil.rmtree(left, ignore_errors=True)
