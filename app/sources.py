"""What a question is answered from: the memory of a document, of a snapshot file, or none.

A source is known before a memory is loaded, or a model. Knows nothing of how an answer is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.database import Database
from app.errors import NotReadYet
from app.tables import Document, Snapshot

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.memory import MemoryState

Model = Callable[[], "LoadedModel"]


@dataclass(frozen=True)
class Source:
    """A memory that can be loaded where the model computes.

    key: stands for the bits of the memory. document_id: None where there is no document in the
    library. tokens: that were read into the memory. load: raises WrongModel or DamagedSnapshot, and
    what loading the model raises.
    """

    key: str
    document_id: str | None
    fingerprint: str
    tokens: int
    load: Callable[[], MemoryState]


def of_document(database: Database, document: Document, model: Model) -> Source:
    """The finished memory of a document. Raises NotReadYet."""
    snapshot = document.finished
    if snapshot is None:
        raise NotReadYet(
            f'"{document.title}" has not been read to its end; go on with: '
            f'comet-reader ingest "{document.file_name}"'
        )
    snapshot_id = snapshot.id

    def load() -> MemoryState:
        from app.snapshots import load_state, place

        loaded = model()
        with database.reading() as session:
            stored = session.get(Snapshot, snapshot_id)
            if stored is None:  # replaced or removed just now
                raise NotReadYet(f'"{document.title}" is being read anew; ask again.')
            state = load_state(session, stored, loaded.spec.fingerprint)
        return place(state, loaded.model.device, loaded.model.dtype)

    return Source(snapshot_id, document.id, snapshot.fingerprint, snapshot.tokens_read, load)


def of_file(path: Path, model: Model) -> Source:
    """A snapshot file. Raises UnknownDocument or DamagedSnapshot."""
    from app.snapshot_files import open_snapshot

    file = open_snapshot(path)
    return Source(
        file.checksum, None, file.fingerprint, file.tokens_read, lambda: file.load(model())
    )


def of_nothing(loaded: LoadedModel) -> Source:
    """No document: the same model, which has read nothing."""
    from comet_core.reader import empty_state

    return Source("nothing", None, loaded.spec.fingerprint, 0, lambda: empty_state(loaded.model))
