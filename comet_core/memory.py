"""The two memories of CoMeT, and the tensors they leave behind.

Equations are those of the paper (arXiv 2602.01766, section 3). Nothing here knows of tokens, layers
of a language model, or where rows stand in a chunk; a memory sees only hidden states of one layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from comet_core.gates import GateHistory

TEMPORARY_NORM_EPS = 1e-12  # as published; the global norm has torch's default


class ResidualLowRankAdapter(nn.Module):
    """RLA(x) = x + W_up W_down x, without biases; starts as the identity."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, rank, bias=False)
        self.up = nn.Linear(rank, hidden_size, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        return x + self.up(self.down(x))


class GlobalMemory(nn.Module):
    """The gated memory: what matters for ever."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size)
        self.gate = nn.Linear(2 * hidden_size, 1, bias=False)
        self.adapter = ResidualLowRankAdapter(hidden_size, rank)
        nn.init.zeros_(self.gate.weight)

    def update(self, state: Tensor, readout: Tensor) -> tuple[Tensor, Tensor]:
        """S' = g * S + (1 - g) * R~ with R~ = RMSNorm(R), g = sigmoid(W_g [R~ ; S]).

        state: (B, m_G, d), or (B, 0, d) before the first chunk, when S' = R~.
        readout: (B, m_G, d), the layer's output at the readout rows.
        Returns S' (B, m_G, d) and g (B, m_G, 1); g is zero at the first chunk, where all is new.
        """
        fresh = self.norm(readout)
        if state.shape[1] == 0:
            return fresh, fresh.new_zeros(*fresh.shape[:2], 1)
        gate = torch.sigmoid(self.gate(torch.cat([fresh, state], dim=-1)))
        return gate * state + (1 - gate) * fresh, gate

    def rows(self, state: Tensor) -> Tensor:
        """G = RLA(S): what the next chunk sees; (B, m_G, d) -> (B, m_G, d)."""
        return self.adapter(state)


class TemporaryMemory(nn.Module):
    """The FIFO of compressed text: what is recent."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(hidden_size, eps=TEMPORARY_NORM_EPS)
        self.adapter = ResidualLowRankAdapter(hidden_size, rank)

    def update(self, rows: Tensor, compressed: Tensor, limit: int) -> Tensor:
        """T' = last `limit` rows of [T ; RLA(RMSNorm(C))].

        rows: (B, t, d), oldest first; compressed: (B, n, d), the layer's output at the compression
        rows. Returns (B, min(limit, t + n), d).
        """
        joined = torch.cat([rows, self.adapter(self.norm(compressed))], dim=1)
        return joined[:, max(0, joined.shape[1] - limit) :]


class LayerMemory(nn.Module):
    """The memory networks of one layer."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.global_memory = GlobalMemory(hidden_size, rank)
        self.temporary_memory = TemporaryMemory(hidden_size, rank)

    def update(
        self, state: LayerState, compressed: Tensor, readout: Tensor, temporary_rows: int
    ) -> tuple[LayerState, Tensor]:
        """One chunk's step of both memories; also returns the gate (B, m_G, 1)."""
        global_state, gate = self.global_memory.update(state.global_state, readout)
        temporary = self.temporary_memory.update(state.temporary, compressed, temporary_rows)
        return LayerState(global_state, temporary), gate

    def rows(self, state: LayerState) -> Tensor:
        """The memory rows [G ; T] this layer sees; (B, m_G + t, d)."""
        return torch.cat([self.global_memory.rows(state.global_state), state.temporary], dim=1)


@dataclass(frozen=True)
class LayerState:
    """What one layer carries: S (B, m_G, d) and T (B, t <= m_T, d); both have 0 rows at the
    start.
    """

    global_state: Tensor
    temporary: Tensor

    @property
    def rows(self) -> int:
        """Memory rows the next chunk sees in front of its text."""
        return self.global_state.shape[1] + self.temporary.shape[1]


Memory = tuple[LayerState, ...]
"""One `LayerState` a layer, first layer first; all of one batch size and row count."""


def tensors_of(memory: Memory) -> Iterator[Tensor]:
    """S and T of every layer."""
    for layer in memory:
        yield from (layer.global_state, layer.temporary)


def stack(memories: Sequence[Memory]) -> Memory:
    """Memories of equal row counts as one batch, in order."""
    return tuple(
        LayerState(
            torch.cat([layer.global_state for layer in layers]),
            torch.cat([layer.temporary for layer in layers]),
        )
        for layers in zip(*memories, strict=True)
    )


def select(memory: Memory, index: Tensor | slice) -> Memory:
    """The chosen batch rows of a memory, as a memory."""
    return tuple(LayerState(layer.global_state[index], layer.temporary[index]) for layer in memory)


def joined(memory: Memory) -> Memory:
    """A batch as one memory of batch size 1: the FIFOs of all behind one another, in order, and the
    global memory of the last.
    """
    return tuple(
        LayerState(layer.global_state[-1:], layer.temporary.flatten(0, 1)[None]) for layer in memory
    )


def without_temporary(memory: Memory) -> Memory:
    """A memory with empty FIFOs, which do not keep its own alive: what the global memory alone
    holds.
    """
    return tuple(of_volumes(layer.global_state) for layer in memory)


def of_volumes(states: Tensor) -> LayerState:
    """What one layer carries of several volumes: their S (k, m_G, d), with empty FIFOs."""
    return LayerState(states, states[:, :0])


def behind(earlier: Memory, later: Memory, limit: int) -> Memory:
    """The global memory of `later`, and the last `limit` rows of both FIFOs behind one another."""
    fifos = [
        torch.cat([old.temporary, new.temporary], dim=1)
        for old, new in zip(earlier, later, strict=True)
    ]
    return tuple(
        LayerState(new.global_state, fifo[:, max(0, fifo.shape[1] - limit) :])
        for new, fifo in zip(later, fifos, strict=True)
    )


def newest_window(memory: Memory, size: int) -> Memory:
    """A memory with no more than the last `size` rows of its FIFO; as it is for size 0."""
    return tuple(
        LayerState(layer.global_state, layer.temporary[:, -size:] if size else layer.temporary)
        for layer in memory
    )


def window_starts(held: int, size: int) -> list[int]:
    """Where the windows of `size` begin in what is longer, oldest first: they cover all of it, and
    overlap by an eighth at least.
    """
    count = 1 + -(-(held - size) // (size - size // 8))
    return [round(i * (held - size) / (count - 1)) for i in range(count)]


def windows(memory: Memory, size: int) -> Memory:
    """A memory of batch size 1 as a batch: its FIFO in windows of `size` rows, oldest first, which
    overlap by an eighth at least, each with the global memory. As it is, if it has no more rows, or
    for size 0.
    """
    held = memory[0].temporary.shape[1]
    if size == 0 or held <= size:
        return memory
    starts = window_starts(held, size)
    return tuple(
        LayerState(
            layer.global_state.expand(len(starts), -1, -1),
            torch.cat([layer.temporary[:, start : start + size] for start in starts]),
        )
        for layer in memory
    )


@dataclass(frozen=True)
class MemoryState:
    """All that is left of one document: bounded in size, whatever its length.

    memory: batch size 1. tail: the last token ids, not in the memory yet: `tail_tokens` of them
    where there are so many, and fewer than a chunk besides. tokens_read counts the tail;
    chunks_read does not. gates: how it was read, for people to see. volumes: the global memories of
    earlier volumes as one batch, oldest first, with empty FIFOs; no layers where there are none.
    """

    memory: Memory
    tail: tuple[int, ...] = ()
    tokens_read: int = 0
    chunks_read: int = 0
    gates: GateHistory = field(default_factory=GateHistory)
    volumes: Memory = ()

    @property
    def kept_volumes(self) -> int:
        """How many earlier volumes there are."""
        return len(self.volumes[0].global_state) if self.volumes else 0

    @property
    def tensors(self) -> Iterator[Tensor]:
        """S and T of every layer, and S of every earlier volume."""
        yield from tensors_of(self.memory)
        yield from tensors_of(self.volumes)

    @property
    def nbytes(self) -> int:
        """Bytes of the memory's tensors."""
        return sum(tensor.nbytes for tensor in self.tensors)
