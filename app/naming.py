"""Which document a user means: by title, file name, or the beginning of its id.

Pure; knows no database.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from app.errors import AmbiguousDocument, UnknownDocument
from app.tables import Document

SHORT_ID = 8
"""Digits of an id that are shown to people."""


def choose(documents: Sequence[Document], name: str) -> Document:
    """The one document that `name` names, whatever its case.

    A title or a file name (with its suffix or without, or as the end of a path) goes before the
    beginning of an id. Raises UnknownDocument, or AmbiguousDocument, which lists the candidates.
    """
    wanted = _wanted(name)
    named = [document for document in documents if wanted & _names(document)]
    if not named and wanted:
        named = [document for document in documents if document.id.startswith(_fold(name))]
    if not named:
        raise UnknownDocument(
            f'There is no document "{name}"; "comet-reader list" shows what has been read, '
            '"comet-reader ingest FILE" reads a file.'
        )
    if len(named) > 1:
        candidates = ", ".join(f"{d.id[:SHORT_ID]} ({d.title}, {d.file_name})" for d in named)
        raise AmbiguousDocument(
            f'"{name}" names {len(named)} documents; name one by its id: {candidates}.'
        )
    return named[0]


def names_of(documents: Sequence[Document]) -> dict[str, str]:
    """A name for each document, by its id, by which `choose` gives it: the title, or the id where
    the title would mean several or none.
    """
    named: dict[str, set[str]] = {}
    for document in documents:
        for name in _names(document):
            named.setdefault(name, set()).add(document.id)
    return {
        document.id: document.title
        if set().union(*(named.get(name, ()) for name in _wanted(document.title))) == {document.id}
        else document.id
        for document in documents
    }


def _wanted(name: str) -> set[str]:
    return {_fold(name), _fold(Path(name).name)} - {""}


def _names(document: Document) -> set[str]:
    names = (document.id, document.title, document.file_name, Path(document.file_name).stem)
    return {_fold(name) for name in names}


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().casefold())
