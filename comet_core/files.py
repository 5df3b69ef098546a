"""Directories that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comet_core.errors import CannotWrite


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A new directory to fill, which becomes `target` at the end, or is removed on failure.

    If another process made `target` meanwhile, that one stays. Raises CannotWrite.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
    except OSError as error:
        raise CannotWrite(
            f"Nothing can be written in {target.parent} ({error.strerror}); "
            "choose another folder or make room there."
        ) from error
    try:
        yield building
        building.chmod(0o755)  # a temporary directory is private
        try:
            building.rename(target)
        except OSError:
            if not target.exists():
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
