"""One process at a time reads a document, or removes it.

Knows only keys; what they stand for is decided in `app.library`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from app.errors import DocumentBusy, HomeUnusable


@contextmanager
def sole_user(locks: Path, key: str, path: Path) -> Iterator[None]:
    """Hold the lock that lets one process (and thread) at a time read or remove a document.

    The operating system releases it when the process ends, however it ends. Raises DocumentBusy at
    once if another holds it.
    """
    lock_file = locks / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.lock"
    try:
        locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_file)
        lock.acquire(blocking=False)
    except Timeout:
        raise DocumentBusy(path) from None
    except OSError as error:
        raise HomeUnusable(
            f"Cannot write to {locks} ({error.strerror}); choose another folder with --home."
        ) from error
    try:
        yield
    finally:
        lock.release()
