"""Fixtures of the application: a library in a folder of its own, on a tiny model, and a book."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.library import Library
from app.settings import Settings
from comet_core.memory import MemoryState

SENTENCE = (
    "In the year {year} the harbour of Port Ellery counted {ships} ships and one lighthouse.\n\n"
)


@pytest.fixture
def settings(tmp_path: Path, tiny_model: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=None,
        model=str(tiny_model),
        device="cpu",
        dtype="float32",
    )


@pytest.fixture
def library(settings: Settings) -> Iterator[Library]:
    with Library.open(settings=settings) as library:
        yield library


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A text of some hundred chunks."""
    path = tmp_path / "harbour.txt"
    path.write_text("".join(SENTENCE.format(year=1800 + n, ships=17 * n) for n in range(60)))
    return path


def bits(state: MemoryState) -> str:
    """A digest of all that a state is, to the bit."""
    total = hashlib.sha256(repr((state.tail, state.tokens_read, state.chunks_read)).encode())
    for layer in state.memory:
        for tensor in (layer.global_state, layer.temporary):
            total.update(repr((tensor.dtype, tensor.shape)).encode())
            total.update(tensor.contiguous().view(-1).numpy().tobytes())
    return total.hexdigest()
