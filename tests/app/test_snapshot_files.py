"""Snapshot files: a state comes back bit for bit, also from a file of before there were gates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from app.library import Library
from app.snapshot_files import _checksum, open_snapshot, save_snapshot
from comet_core.gates import GateHistory
from comet_core.memory import MemoryState, of_volumes
from tests.app.conftest import bits


@pytest.fixture
def state(books: Library) -> MemoryState:
    return books.memory("harbour")


def test_a_state_comes_back_bit_for_bit(books: Library, state: MemoryState, tmp_path: Path) -> None:
    path = tmp_path / "harbour.comet"
    save_snapshot(path, state, books.model.spec, "Harbour")
    loaded = open_snapshot(path).load(books.model)
    assert loaded.gates.chunks == state.chunks_read > 100
    assert bits(loaded) == bits(state)


def test_so_do_earlier_volumes(books: Library, state: MemoryState, tmp_path: Path) -> None:
    path = tmp_path / "harbour.comet"
    layers = [torch.cat([layer.global_state, -layer.global_state]) for layer in state.memory]
    state = replace(state, volumes=tuple(map(of_volumes, layers)))
    save_snapshot(path, state, books.model.spec, "Harbour")
    assert bits(open_snapshot(path).load(books.model)) == bits(state)


def test_a_file_without_gates_is_loaded(books: Library, state: MemoryState, tmp_path: Path) -> None:
    path = tmp_path / "harbour.comet"
    save_snapshot(path, state, books.model.spec, "Harbour")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys() if "gates" not in name}  # noqa: SIM118
    metadata["checksum"] = _checksum(metadata, tensors)
    save_file(tensors, path, metadata)
    expected = replace(state, gates=GateHistory())
    assert bits(open_snapshot(path).load(books.model)) == bits(expected)
