"""A finished memory as one file, to be carried to another machine and asked there.

A safetensors file with S and T of every layer, its earlier volumes and the gates; fingerprint,
counts, tail, title and a checksum over all of it are its metadata. Knows no database; nothing is
ever pickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.errors import DamagedSnapshot, UnknownDocument, WrongModel
from app.snapshots import place
from comet_core.checkpoint import LoadedModel, ModelSpec
from comet_core.gates import GateHistory
from comet_core.memory import LayerState, MemoryState, of_volumes

FORMAT = "comet-snapshot-1"


@dataclass(frozen=True)
class SnapshotFile:
    """What a snapshot file says of itself; its memory is read by `load`."""

    path: Path
    title: str
    model_name: str
    fingerprint: str
    tokens_read: int
    checksum: str

    def load(self, loaded: LoadedModel) -> MemoryState:
        """The memory, where the model computes. Raises WrongModel or DamagedSnapshot."""
        if self.fingerprint != loaded.spec.fingerprint:
            raise WrongModel(
                f"{self.path} was read with the model {self.model_name} "
                f"({self.fingerprint[:15]}), which is not the one that is loaded; "
                "choose that model."
            )
        metadata, tensors = _read(self.path)
        if metadata["checksum"] != self.checksum or _checksum(metadata, tensors) != self.checksum:
            raise _damaged(self.path, "its checksum differs")
        layers = sum(name.startswith("S.") for name in tensors)
        memory = tuple(LayerState(tensors[f"S.{n}"], tensors[f"T.{n}"]) for n in range(layers))
        volumes = tuple(of_volumes(tensors[f"V.{n}"]) for n in range(layers) if "V.0" in tensors)
        state = MemoryState(
            memory,
            tuple(json.loads(metadata["tail"])),
            int(metadata["tokens_read"]),
            int(metadata["chunks_read"]),
            GateHistory.of(tensors),
            volumes,
        )
        return place(state, loaded.model.device, loaded.model.dtype)


def save_snapshot(path: Path, state: MemoryState, spec: ModelSpec, title: str) -> None:
    """Write a snapshot file; it appears whole or not at all."""
    tensors = state.gates.tensors()
    for number, layer in enumerate(state.memory):
        tensors[f"S.{number}"] = layer.global_state.cpu().contiguous().clone()
        tensors[f"T.{number}"] = layer.temporary.cpu().contiguous().clone()
    for number, layer in enumerate(state.volumes):
        tensors[f"V.{number}"] = layer.global_state.cpu().contiguous().clone()
    metadata = {
        "format": FORMAT,
        "title": title,
        "model_name": spec.name,
        "fingerprint": spec.fingerprint,
        "tail": json.dumps(state.tail),
        "tokens_read": str(state.tokens_read),
        "chunks_read": str(state.chunks_read),
    }
    metadata["checksum"] = _checksum(metadata, tensors)
    writing = path.with_name(f".{path.name}.writing")
    try:
        save_file(tensors, writing, metadata)
        writing.replace(path)
    finally:
        writing.unlink(missing_ok=True)


def open_snapshot(path: str | Path) -> SnapshotFile:
    """What the file says of itself. Raises UnknownDocument if there is none, DamagedSnapshot."""
    path = Path(path)
    if not path.is_file():
        raise UnknownDocument(
            f"There is no snapshot file {path}; ChatComet.save_snapshot makes one."
        )
    metadata = _metadata(path)
    return SnapshotFile(
        path=path,
        title=metadata["title"],
        model_name=metadata["model_name"],
        fingerprint=metadata["fingerprint"],
        tokens_read=int(metadata["tokens_read"]),
        checksum=metadata["checksum"],
    )


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    if metadata.get("format") != FORMAT or "checksum" not in metadata:
        raise _damaged(path, "it is no snapshot of Comet Reader")
    return dict(metadata)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    metadata = _metadata(path)
    try:
        with safe_open(path, "pt") as file:
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error


def _checksum(metadata: dict[str, str], tensors: dict[str, Tensor]) -> str:
    fields = {name: value for name, value in metadata.items() if name != "checksum"}
    total = hashlib.sha256(json.dumps(fields, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _damaged(path: Path, what: str) -> DamagedSnapshot:
    return DamagedSnapshot(f"The snapshot file {path} cannot be used ({what}); make it anew.")
