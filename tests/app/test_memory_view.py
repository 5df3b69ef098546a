"""What there is to see of a memory, against what the memory and the model really are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from app.library import Library
from app.memory_view import _covered, memory_view
from comet_core.config import CometConfig


@pytest.mark.parametrize("title", ["harbour", "island"])
def test_a_view_is_of_the_state(books: Library, title: str) -> None:
    document = books.find(title)
    view, state = memory_view(books, document), books.memory(document)
    config = books.model.model.config
    assert view.tokens == document.tokens == view.chunks * config.chunk_size + view.tail
    assert view.tail == len(state.tail)
    assert view.temporary_from == view.tail_from - config.temporary_rows * config.stride
    layers = state.memory + state.volumes
    assert view.memory_bytes == sum(
        tensor.nbytes for layer in layers for tensor in (layer.global_state, layer.temporary)
    )
    assert state.kept_volumes == (view.chunks > 30) + (view.chunks > 60)
    assert (view.volumes, view.volume_chunks) == (1 + state.kept_volumes, 30)
    assert view.global_rows == 4 * view.volumes
    assert (view.layers, view.temporary_rows) == (2, 8)
    assert torch.tensor(view.gates.values).T.equal(state.gates.values)
    assert view.gates.chunks == view.chunks


def test_a_short_text_is_all_tail(library: Library, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("Short.")
    view = memory_view(library, library.ingest(tmp_path / "short.txt"))
    assert (view.chunks, view.temporary_from, view.tail) == (0, 0, view.tokens)
    assert view.memory_bytes == view.temporary_rows == 0


def test_an_ordinary_cache_is_as_large_as_the_model_makes_it(books: Library) -> None:
    view = memory_view(books, books.find("island"))
    tokens = torch.zeros(1, 10, dtype=torch.int64)
    with torch.inference_mode():
        cache = books.model.model.language_model(tokens, use_cache=True).past_key_values
    nbytes = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert view.cache_bytes * 10 == nbytes * view.tokens


@given(st.integers(1, 40), st.data())
def test_rows_cover_the_tokens_they_were_made_of(chunk_size: int, data: st.DataObject) -> None:
    """Against a queue of the numbers of the tokens that each row stands for."""
    stride = data.draw(st.integers(1, chunk_size))
    limit = data.draw(st.integers(0, 60))
    chunks = data.draw(st.integers(0, 6))
    rows: list[int] = []
    for _ in range(chunks):
        rest = chunk_size
        while rest:
            rows.append(min(stride, rest))
            rest -= rows[-1]
    queue = rows[max(0, len(rows) - limit) :] if limit else []
    config = CometConfig(chunk_size=chunk_size, stride=stride)
    assert _covered(len(queue), config) == sum(queue)
