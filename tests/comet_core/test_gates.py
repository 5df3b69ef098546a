"""The history of the gates: means of what there was, in constant size."""

from __future__ import annotations

import torch
from comet_core_tiny import VOCABULARY, make_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from comet_core.gates import COLUMNS, GateHistory
from comet_core.reader import empty_state, read

LAYERS = 3


def history_of(gates: Tensor) -> GateHistory:
    history = GateHistory()
    for gate in gates:
        history = history.add(gate)
    return history


@settings(max_examples=30)
@given(chunks=st.integers(1, 5 * COLUMNS), seed=st.integers(0, 2**32))
def test_each_column_is_the_mean_of_its_chunks(chunks: int, seed: int) -> None:
    gates = torch.rand(chunks, LAYERS, generator=torch.Generator().manual_seed(seed))
    history = history_of(gates)
    assert history.chunks == chunks
    assert history.counts == [len(part) for part in gates.split(history.span)]
    means = torch.stack([part.mean(0) for part in gates.split(history.span)])
    torch.testing.assert_close(history.values, means, atol=1e-6, rtol=1e-5)
    weights = torch.tensor(history.counts)[:, None] / chunks
    torch.testing.assert_close((history.values * weights).sum(0), gates.mean(0))


@settings(max_examples=20)
@given(chunks=st.integers(0, 10 * COLUMNS))
def test_the_size_is_bounded_and_well_used(chunks: int) -> None:
    history = history_of(torch.zeros(chunks, 1))
    assert len(history.values) == len(history.counts) <= COLUMNS
    if chunks > COLUMNS:
        assert len(history.values) > COLUMNS // 2


@settings(max_examples=30)
@given(chunks=st.integers(0, 2 * COLUMNS))
def test_a_history_is_stored_and_comes_back(chunks: int) -> None:
    history = history_of(torch.rand(chunks, LAYERS))
    found = GateHistory.of({"S.0": torch.zeros(1), **history.tensors()})
    assert torch.equal(found.values, history.values)
    assert (found.span, found.chunks) == (history.span, history.chunks)


def test_where_none_was_stored_it_is_empty() -> None:
    assert GateHistory.of({"S.0": torch.zeros(1)}).counts == []


def test_a_reading_keeps_the_gates_it_went_by() -> None:
    model = make_model()
    size = model.config.chunk_size
    text = torch.randint(VOCABULARY, (5 * size + 3,)).tolist()
    *_, state = read(model, empty_state(model), text)
    memory, expected = model.empty_memory(), []
    with torch.inference_mode():
        for begin in range(0, 5 * size, size):
            result = model.read_chunk(memory, torch.tensor([text[begin : begin + size]]))
            memory = result.memory
            expected.append(result.gates[:, 0].mean(-1))
    assert torch.equal(state.gates.values, torch.stack(expected))
    assert state.gates.values.shape == (5, LAYERS)
    assert 0 < state.gates.values[1:].min() < state.gates.values.max() < 1
