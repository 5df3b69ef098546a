"""Reading: a stream of tokens into a memory, chunk by chunk. The loop every reading goes through.

A pure function of state and tokens: read in one go or in pieces, the states are the same to the
bit. Knows nothing of text, files or where a state is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from comet_core.config import CometConfig
from comet_core.memory import (
    Memory,
    MemoryState,
    behind,
    select,
    stack,
    without_temporary,
)
from comet_core.model import CometModel

ChunkTurn = Callable[[], AbstractContextManager[None]]
"""Makes a context in which the model may compute; entering it may wait."""


def empty_state(model: CometModel) -> MemoryState:
    """The state before the first token."""
    return MemoryState(model.empty_memory())


def read(
    model: CometModel, state: MemoryState, tokens: Iterable[int], turn: ChunkTurn = nullcontext
) -> Iterator[MemoryState]:
    """Read on from `state`; yields the state after every full chunk, and once more at the end.

    tokens: ids of the text after the first `state.tokens_read`. The last `tail_tokens`, and what
    fills no chunk before them, are the last state's tail. turn: entered for each chunk, where
    several share the model.
    """
    stream = iter(tokens)
    while True:
        state = _fill_tail(state, stream, model.config)
        if not _has_chunk(state, model.config):
            yield state
            return
        begins = model.config.begins_volume(state.chunks_read)
        with turn():
            memory, gates = step(model, state.memory, [_oldest(state, model.config)], begins)
        state = _after_chunk(state, memory, gates[:, 0], model.config)
        yield state


def read_batch(
    model: CometModel, states: Sequence[MemoryState], tokens: Sequence[Sequence[int]]
) -> list[MemoryState]:
    """Read several documents to their end side by side; each ends as it would have alone.

    States of unequal FIFO length (documents at different places in their first chunks), or of which
    only some begin a volume, go through the model in groups of equals.
    """
    states, streams = list(states), [iter(t) for t in tokens]
    active = list(range(len(states)))
    while active:
        groups: dict[tuple[int, bool], list[int]] = {}
        for i in active:
            states[i] = _fill_tail(states[i], streams[i], model.config)
            if _has_chunk(states[i], model.config):
                begins = model.config.begins_volume(states[i].chunks_read)
                groups.setdefault((states[i].memory[0].rows, begins), []).append(i)
        for (_, begins), group in groups.items():
            memory = stack([states[i].memory for i in group])
            chunks = [_oldest(states[i], model.config) for i in group]
            memory, gates = step(model, memory, chunks, begins)
            for row, i in enumerate(group):
                own = select(memory, slice(row, row + 1))
                states[i] = _after_chunk(states[i], own, gates[:, row], model.config)
        active = [i for group in groups.values() for i in group]
    return states


def _fill_tail(state: MemoryState, stream: Iterator[int], config: CometConfig) -> MemoryState:
    """Take tokens until the tail has a chunk too many or the stream is over."""
    room = config.tail_tokens + config.chunk_size - len(state.tail)
    new = tuple(islice(stream, room))
    return replace(state, tail=state.tail + new, tokens_read=state.tokens_read + len(new))


def _has_chunk(state: MemoryState, config: CometConfig) -> bool:
    return len(state.tail) == config.tail_tokens + config.chunk_size


def _oldest(state: MemoryState, config: CometConfig) -> tuple[int, ...]:
    """The chunk that is read next."""
    return state.tail[: config.chunk_size]


def _after_chunk(
    state: MemoryState, memory: Memory, gates: Tensor, config: CometConfig
) -> MemoryState:
    """The state with the oldest chunk of its tail read, by gates (L, m_G)."""
    volumes = state.volumes
    if config.begins_volume(state.chunks_read):
        closed = without_temporary(state.memory)
        volumes = stack([volumes, closed]) if volumes else closed
    return replace(
        state,
        memory=memory,
        volumes=volumes,
        tail=state.tail[config.chunk_size :],
        chunks_read=state.chunks_read + 1,
        gates=state.gates.add(gates.mean(-1)),
    )


def read_chunk(model: CometModel, memory: Memory, chunks: Sequence[Sequence[int]]) -> Memory:
    """One step without gradients: equally long chunks, one a batch row of `memory`."""
    return step(model, memory, chunks, begins=False)[0]


@torch.inference_mode()
def step(
    model: CometModel, memory: Memory, chunks: Sequence[Sequence[int]], begins: bool
) -> tuple[Memory, Tensor]:
    """The memory after a chunk, as `read_chunk`, and the gates (L, B, m_G) it went by, float32 on
    the CPU.

    begins: read it as the first of a document, which sees no memory; its compression rows then
    stand in the FIFO behind those that were there.
    """
    seen = model.empty_memory(len(chunks)) if begins else memory
    result = model.read_chunk(seen, torch.tensor(chunks, device=model.device))
    limit = model.config.temporary_rows
    after = behind(memory, result.memory, limit) if begins else result.memory
    return after, result.gates.float().cpu()
