"""Directories that appear whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from comet_core.errors import CannotWrite

ABANDONED_S = 24 * 60 * 60.0
"""So long after its last change a directory that is not whole has been left by a killed process."""


@contextmanager
def whole_directory(target: Path) -> Iterator[Path]:
    """A new directory to fill, which becomes `target` at the end, or is removed on failure.

    If another process made `target` meanwhile, that one stays. Raises CannotWrite, also for what
    cannot be written while it is filled.
    """
    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            _forget_abandoned(target.parent)
            building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
            stack.callback(shutil.rmtree, building, ignore_errors=True)
            yield building
            building.chmod(0o755)  # a temporary directory is private
            try:
                building.rename(target)
            except OSError:
                if not target.exists():
                    raise
        except (OSError, SafetensorError) as error:
            raise CannotWrite(
                f"Nothing can be written in {target.parent} "
                f"({getattr(error, 'strerror', None) or error}); choose another folder or make "
                "room there."
            ) from error


def _forget_abandoned(parent: Path) -> None:
    for building in parent.glob(".building-*"):
        with suppress(OSError):  # another process may have been quicker
            if time.time() - building.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(building, ignore_errors=True)
