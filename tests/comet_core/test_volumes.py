"""Documents read in volumes: each as if it were all there is, and all asked side by side."""

from dataclasses import replace

import pytest
import torch
from comet_core_tiny import VOCABULARY, VOLUMES, make_model
from hypothesis import given, settings
from hypothesis import strategies as st

from comet_core.generation import REMEMBERED, SURE, Fork, Sampling, generate
from comet_core.memory import LayerState, MemoryState, of_volumes, select, tensors_of
from comet_core.prefixes import Prefix, open_state
from comet_core.reader import empty_state, read, read_chunk

MODEL = make_model(**VOLUMES)
CERTAIN = make_model(**VOLUMES)
CERTAIN.language_model.lm_head.weight.mul_(5)  # of few tokens


def state_of(text: list[int]) -> MemoryState:
    *_, state = read(MODEL, empty_state(MODEL), text)
    return state


@settings(deadline=None, max_examples=50)
@given(text=st.lists(st.integers(0, VOCABULARY - 1), min_size=29, max_size=140))
def test_a_volume_is_read_as_a_document_of_its_own(text: list[int]) -> None:
    """But for the last, which is all of the rest; and the FIFO holds the newest rows of all."""
    state = state_of(text)
    size = MODEL.config.chunk_size
    taken = text[: state.chunks_read * size]
    pieces = list(filter(None, [taken[:size], taken[size : 2 * size], taken[2 * size :]]))
    rows = []
    for number, piece in enumerate(pieces):
        alone = MODEL.empty_memory()
        for begin in range(0, len(piece), size):
            alone = read_chunk(MODEL, alone, [piece[begin : begin + size]])
        kept = number < len(pieces) - 1
        held = select(state.volumes, slice(number, number + 1)) if kept else state.memory
        for one, other in zip(alone, held, strict=True):
            assert torch.equal(one.global_state, other.global_state)
        rows.append([layer.temporary for layer in alone])
    for layer, own in zip(state.memory, zip(*rows, strict=True), strict=True):
        newest = torch.cat(own, dim=1)[:, -MODEL.config.temporary_rows :]
        assert torch.equal(layer.temporary, newest)


@settings(deadline=None, max_examples=60)
@given(
    model=st.sampled_from([MODEL, CERTAIN]),
    text=st.lists(st.integers(0, VOCABULARY - 1), min_size=77, max_size=140),
    asked=st.lists(st.integers(1, 96), min_size=1, max_size=3),  # an eighth of a chunk at most
    rank=st.integers(0, 60),
)
def test_of_all_volumes_the_one_that_least_refuses_answers(model, text, asked, rank) -> None:
    """Where the memory of what follows them is not sure, and it hardly would refuse."""
    state = state_of(text)
    volumes = [select(state.volumes, slice(n, n + 1)) for n in (1, 0)]
    starts = [MemoryState(memory) for memory in (state.memory, *volumes)]

    def chances(start: MemoryState) -> torch.Tensor:
        with torch.inference_mode():
            return Fork(open_state(model, start)).read(asked).softmax(-1).amin(0)

    likely = torch.stack([*map(chances, starts)]).amin(0).argsort(descending=True)
    refusal = [int(likely[rank])]
    doubts = [float(chances(start)[refusal[0]]) for start in starts]
    heard = min(doubts) if doubts[0] > SURE and min(doubts[1:]) < REMEMBERED else doubts[0]
    chosen = starts[doubts.index(heard)]
    told, alone = (
        list(generate(model, start, [asked], -1, Sampling(max_tokens=30), refusal=refusal))
        for start in (replace(state, tail=()), chosen)
    )
    assert [one.token for one in told] == [one.token for one in alone]
    assert [one.chance for one in told] == pytest.approx([one.chance for one in alone], abs=1e-4)


def test_a_volume_that_is_kept_does_not_keep_the_fifo_it_was_read_with() -> None:
    state = state_of([1] * (2 * MODEL.config.chunk_size + MODEL.config.tail_tokens))
    assert state.kept_volumes == 1
    held = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors_of(state.volumes)}
    assert sum(storage.nbytes() for storage in held.values()) == sum(
        layer.global_state.nbytes for layer in state.volumes
    )


def test_volumes_without_rows_are_not_asked() -> None:
    """As without global memory: they would answer as if there were no document."""
    state = state_of([1] * 120)
    empty = tuple(of_volumes(layer.global_state[:, :0]) for layer in state.volumes)
    memory = tuple(LayerState(layer.global_state[:, :0], layer.temporary) for layer in state.memory)
    start: Prefix | None = open_state(MODEL, replace(state, memory=memory, volumes=empty))
    while start is not None:
        assert start.memory[0].rows or start.held
        start = start.beside
