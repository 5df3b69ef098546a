"""Many documents: which files are meant, and what became of each.

Knows neither how a document is read nor where it is kept: `ingest_all` is given a function for
that, and sees to it that one failing file does not stop the others.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from comet_core.errors import CometError
from ingest.errors import DocumentError, MissingFile, UnreadableFile
from ingest.readers import SUPPORTED

T = TypeVar("T")


class NothingToRead(DocumentError):
    """A folder or a pattern with no file in it that could be read; needs `supported`."""

    sentence = "{name} holds no document; the formats that can be read are {supported}."


class Result(StrEnum):
    """What became of a file."""

    READ = "read"
    KNOWN = "known"  # read earlier; nothing was done
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one file: the document it is now, or the error that says why it is none."""

    path: Path
    result: Result
    document: T | None = None
    error: Exception | None = None

    @property
    def problem(self) -> str | None:
        """What the error says, with the name of the file; None if there is none."""
        if self.error is None or isinstance(self.error, DocumentError):
            return str(self.error) if self.error else None
        return f"{self.path}: {type(self.error).__name__}: {self.error}"


@dataclass(frozen=True)
class Found:
    """The files that are meant, each once; how many of other formats were passed over in folders;
    and which of the paths named led nowhere."""

    files: tuple[Path, ...] = ()
    passed_over: int = 0
    errors: tuple[DocumentError, ...] = ()


def find_files(paths: Iterable[str | Path]) -> Found:
    """The files meant by paths of files, folders (searched to their bottom) and glob patterns.

    A file named by its own path is always meant, whatever its format. In folders and patterns,
    files that no reader is for are passed over, and so is what is hidden.
    """
    files: dict[str, Path] = {}  # by real path, so that a file named twice is read once
    passed_over: set[str] = set()
    errors: list[DocumentError] = []
    for path in map(Path, paths):
        known_errors = len(errors)
        nothing = True
        for file in _candidates(path, errors):
            if file == path or _is_supported(file):
                files.setdefault(os.path.realpath(file), file)
                nothing = False
            else:
                passed_over.add(os.path.realpath(file))
        if nothing and len(errors) == known_errors:
            errors.append(NothingToRead(path, supported=", ".join(SUPPORTED)))
    return Found(tuple(files.values()), len(passed_over), tuple(errors))


def ingest_all(
    found: Found, ingest_one: Callable[[Path], tuple[T, Result]]
) -> Iterator[Outcome[T]]:
    """Ingest file by file, yielding each outcome as it is known; that a file fails is one too.

    What is not about one file (no model, no database, an interrupt) is raised.
    """
    for error in found.errors:
        yield Outcome(error.path, Result.FAILED, error=error)
    for path in found.files:
        try:
            document, result = ingest_one(path)
        except DocumentError as error:
            yield Outcome(path, Result.FAILED, error=error)
        except CometError:
            raise
        except Exception as error:  # a defect that this file brings out; the next may be read
            yield Outcome(path, Result.FAILED, error=error)
        else:
            yield Outcome(path, result, document)


def _candidates(path: Path, errors: list[DocumentError]) -> Iterator[Path]:
    """The files a path may mean; what cannot be looked into is added to `errors`."""
    try:
        matches = [path] if path.exists() else _matches(path)
        if not matches:
            errors.append(MissingFile(path))
        for match in matches:
            if match.is_dir():
                yield from _files_below(match, errors)
            else:
                yield match
    except OSError as error:
        errors.append(_unreadable(path, error))


def _matches(pattern: Path) -> list[Path]:
    """What a pattern matches, but for what is hidden; `**` follows no links, which can lead in
    circles.
    """
    fixed = next((n for n, part in enumerate(pattern.parts) if glob.has_magic(part)), None)
    if fixed is None:
        return []
    folder, rest = Path(*pattern.parts[:fixed]), Path(*pattern.parts[fixed:])
    wants_hidden = any(part.startswith(".") for part in rest.parts)
    return sorted(
        match
        for match in folder.glob(str(rest))
        if wants_hidden or not _is_hidden(match.relative_to(folder))
    )


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _files_below(folder: Path, errors: list[DocumentError]) -> Iterator[Path]:
    def note(error: OSError) -> None:
        errors.append(_unreadable(Path(error.filename), error))

    for parent, folders, names in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)


def _unreadable(path: Path, error: OSError) -> UnreadableFile:
    return UnreadableFile(path, reason=error.strerror or str(error))


def _is_supported(file: Path) -> bool:
    return file.suffix.lower() in SUPPORTED
