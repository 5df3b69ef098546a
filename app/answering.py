"""Answers from the documents of a library, many at a time: chat models and servers ask here.

The keys and values of a document's memory are computed once for all who ask of it, per library.
Knows nothing of messages, frameworks or protocols.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from app.dialogue import Dialogue
from app.errors import NotReadYet
from app.library import Library
from app.tables import Document

if TYPE_CHECKING:
    from comet_core.generation import Answer, Sampling
    from comet_core.memory import MemoryState
    from comet_core.prefixes import PrefixCache

CACHE_BYTES = 2 << 30
"""Memories, with their keys and values, that a library keeps ready at most."""

_caches: WeakKeyDictionary[Library, PrefixCache] = WeakKeyDictionary()
_caches_lock = Lock()


@dataclass(frozen=True)
class Source:
    """What a question is answered from: the memory of a document, or an empty one.

    key: stands for the bits of the memory. document_id: None where there is no document in the
    library. tokens: that were read into the memory.
    """

    key: str
    document_id: str | None
    fingerprint: str
    tokens: int
    load: Callable[[], MemoryState]


def from_document(library: Library, document: Document | str) -> Source:
    """A document of the library. Raises UnknownDocument, AmbiguousDocument or NotReadYet."""
    found = library.find(document) if isinstance(document, str) else document
    snapshot = found.finished
    if snapshot is None:
        raise NotReadYet(f'"{found.title}" has not been read to its end yet; ask again then.')
    return Source(
        key=snapshot.id,
        document_id=found.id,
        fingerprint=snapshot.fingerprint,
        tokens=snapshot.tokens_read,
        load=partial(library.memory, found),
    )


def from_file(library: Library, path: Path) -> Source:
    """A snapshot file. Raises UnknownDocument or DamagedSnapshot."""
    from app.snapshot_files import open_snapshot

    file = open_snapshot(path)
    return Source(
        key=file.checksum,
        document_id=None,
        fingerprint=file.fingerprint,
        tokens=file.tokens_read,
        load=lambda: file.load(library.model),
    )


def from_nothing(library: Library) -> Source:
    """No document: the bare language model."""
    from comet_core.reader import empty_state

    loaded = library.model
    return Source(
        key="nothing",
        document_id=None,
        fingerprint=loaded.spec.fingerprint,
        tokens=0,
        load=lambda: empty_state(loaded.model),
    )


def answer(library: Library, source: Source, dialogue: Dialogue, sampling: Sampling) -> Answer:
    """Answer the dialogue's question, piece by piece; the memory stays as it is.

    Raises WrongModel, DamagedSnapshot, and what loading the model raises, before the first piece.
    """
    from comet_core.generation import Answer, Turn, asked_blocks

    loaded = library.model
    history = [Turn(*turn) for turn in dialogue.history]
    asked = asked_blocks(loaded.prompt, dialogue.question, history)
    start = _cache(library).start(loaded.model, source.key, source.load, len(asked[0]))
    return Answer(loaded.model, loaded.prompt, start, asked, sampling)


def _cache(library: Library) -> PrefixCache:
    from comet_core.prefixes import PrefixCache

    with _caches_lock:
        return _caches.setdefault(library, PrefixCache(CACHE_BYTES))
