"""A `MemoryState` in the database, and back, bit for bit.

A state is one `Snapshot` row (fingerprint, extraction, counts, tail, gates) and one `SnapshotLayer`
row a layer, each with a sha256; the snapshot's also covers which document it is of. Nothing is ever
pickled. Knows neither how a state came to be nor what it is for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session
from torch import Tensor

from app.errors import DamagedSnapshot, WrongModel
from app.tables import Document, Snapshot, SnapshotLayer
from comet_core.checkpoint import ModelSpec
from comet_core.gates import GateHistory
from comet_core.memory import LayerState, MemoryState, of_volumes

TOKEN_IDS = np.dtype("<i4")


def save_state(
    session: Session,
    document: Document,
    spec: ModelSpec,
    extraction: str,
    state: MemoryState,
    *,
    finished: bool,
) -> Snapshot:
    """Store a state of a document (and what made text of it) within the session's transaction.

    An unfinished one replaces the document's checkpoint; a finished one replaces whatever the
    document has, a finished snapshot of another model included.
    """
    replaced = delete(Snapshot).where(Snapshot.document_id == document.id)
    if not finished:
        replaced = replaced.where(Snapshot.finished.is_(False))
    session.execute(replaced, execution_options={"synchronize_session": False})
    volumes = state.volumes or [None] * len(state.memory)
    layers = [_encode(*pair) for pair in zip(state.memory, volumes, strict=True)]
    checksums = [hashlib.sha256(data).hexdigest() for data in layers]
    snapshot = Snapshot(
        document_id=document.id,
        fingerprint=spec.fingerprint,
        model_name=spec.name,
        extraction=extraction,
        tokens_read=state.tokens_read,
        chunks_read=state.chunks_read,
        tail=np.asarray(state.tail, TOKEN_IDS).tobytes(),
        nbytes=state.nbytes,
        gates=save(state.gates.tensors()),
        finished=finished,
    )
    snapshot.checksum = _checksum(document, snapshot, checksums)
    session.add(snapshot)
    session.flush()
    session.execute(
        insert(SnapshotLayer),
        [
            {"snapshot_id": snapshot.id, "layer": number, "data": data, "checksum": checksum}
            for number, (data, checksum) in enumerate(zip(layers, checksums, strict=True))
        ],
    )
    return snapshot


def load_state(session: Session, snapshot: Snapshot, fingerprint: str) -> MemoryState:
    """The stored state, on the CPU, in the dtype it was stored in.

    Raises WrongModel if the snapshot has another fingerprint, DamagedSnapshot if any byte of it is
    not what was stored.
    """
    if snapshot.fingerprint != fingerprint:
        raise WrongModel(
            f'"{snapshot.document.title}" was read with the model {snapshot.model_name} '
            f"({snapshot.fingerprint[:15]}), which is not the one that is loaded; choose that "
            "model, or read the document again with this one."
        )
    layers = [_decode(layer, snapshot) for layer in _checked_layers(session, snapshot)]
    memory = tuple(layer for layer, _ in layers)
    volumes = tuple(earlier for _, earlier in layers if earlier is not None)
    tail = tuple(np.frombuffer(snapshot.tail, TOKEN_IDS).tolist())
    gates = _decode_gates(snapshot)
    return MemoryState(memory, tail, snapshot.tokens_read, snapshot.chunks_read, gates, volumes)


def verify(session: Session, snapshot: Snapshot) -> None:
    """Derive all checksums of a snapshot again; raises DamagedSnapshot at the first difference."""
    for _ in _checked_layers(session, snapshot):
        pass


def place(state: MemoryState, device: torch.device, dtype: torch.dtype) -> MemoryState:
    """The same state where a model computes, in the dtype it computes in."""
    memory, volumes = (
        tuple(
            LayerState(layer.global_state.to(device, dtype), layer.temporary.to(device, dtype))
            for layer in layers
        )
        for layers in (state.memory, state.volumes)
    )
    return replace(state, memory=memory, volumes=volumes)


def _checked_layers(session: Session, snapshot: Snapshot) -> Iterator[SnapshotLayer]:
    """The layer rows in order, each compared with its checksum, and all with the snapshot's."""
    checksums = []
    rows = select(SnapshotLayer).where(SnapshotLayer.snapshot_id == snapshot.id)
    for layer in session.scalars(
        rows.order_by(SnapshotLayer.layer), execution_options={"yield_per": 1}
    ):
        if hashlib.sha256(layer.data).hexdigest() != layer.checksum:
            raise _damaged(snapshot, f"layer {layer.layer} differs from its checksum")
        checksums.append(layer.checksum)
        yield layer
    if _checksum(snapshot.document, snapshot, checksums) != snapshot.checksum:
        raise _damaged(snapshot, "document, counts, tail, gates or layers are not those of before")


def _damaged(snapshot: Snapshot, what: str) -> DamagedSnapshot:
    return DamagedSnapshot(
        f'The stored memory of "{snapshot.document.title}" is damaged ({what}); '
        "forget the document and read it again."
    )


def _checksum(document: Document, snapshot: Snapshot, layers: list[str]) -> str:
    fields = [
        document.content_hash,
        snapshot.fingerprint,
        snapshot.extraction,
        snapshot.tokens_read,
        snapshot.chunks_read,
        snapshot.tail.hex(),
        snapshot.finished,
        layers,
    ]
    if snapshot.gates is not None:  # what was stored before there were any has none
        fields.append(hashlib.sha256(snapshot.gates).hexdigest())
    return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


def _encode(layer: LayerState, earlier: LayerState | None) -> bytes:
    """S and T of a layer, and the S of its earlier volumes where there are such."""
    tensors = {"S": _plain(layer.global_state), "T": _plain(layer.temporary)}
    if earlier is not None:
        tensors["V"] = _plain(earlier.global_state)
    return save(tensors)


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares its storage with nothing."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _decode(layer: SnapshotLayer, snapshot: Snapshot) -> tuple[LayerState, LayerState | None]:
    try:
        tensors = load(layer.data)
        current = LayerState(tensors["S"], tensors["T"])
        return current, of_volumes(tensors["V"]) if "V" in tensors else None
    except (SafetensorError, KeyError) as error:
        raise _damaged(snapshot, f"layer {layer.layer} is no pair of tensors") from error


def _decode_gates(snapshot: Snapshot) -> GateHistory:
    if snapshot.gates is None:
        return GateHistory()
    try:
        return GateHistory.of(load(snapshot.gates))
    except (SafetensorError, KeyError) as error:
        raise _damaged(snapshot, "the gates are no history") from error
