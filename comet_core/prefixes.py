"""Where answers start, computed once: the keys and values of a document's memory and tail.

A cache of them is shared by many answers at a time; an answer that starts from a shared prefix is,
to the bit, the one that computes its own. Knows nothing of how an answer goes on, or of where a
state comes from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from comet_core.memory import Memory, MemoryState
from comet_core.model import CometModel
from comet_core.reader import ChunkTurn, read, read_chunk

Shared = TypeVar("Shared", bound="MemoryState | Prefix")


@dataclass(frozen=True)
class Prefix:
    """An answering chunk that has been opened: the memory it sees and the text it holds.

    layers: keys and values of both, (1, heads, rows, head_dim) each; none if there are no rows.
    """

    memory: Memory
    tail: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, the memory's included."""
        return sum(key.nbytes + value.nbytes for key, value in self.layers) + sum(
            layer.global_state.nbytes + layer.temporary.nbytes for layer in self.memory
        )

    def cache(self) -> DynamicCache:
        """A new cache over the same tensors; it grows by concatenation, and leaves them alone."""
        cache = DynamicCache()
        for key, value in self.layers:
            layer = DynamicLayer()
            layer.lazy_initialization(key, value)
            layer.keys, layer.values = key, value
            cache.layers.append(layer)
        return cache


def must_fold(model: CometModel, held: int, asked: int) -> bool:
    """Whether `asked` tokens, and as many of an answer as a chunk's eighth, do not fit behind the
    `held` ones of an answering chunk, which is then folded: neither question nor answer is cut in
    two.
    """
    config = model.config
    return held > 0 and held + asked + config.chunk_size // 8 > config.answering_size


def fold_tail(
    model: CometModel, memory: Memory, tail: Sequence[int], turn: ChunkTurn = nullcontext
) -> tuple[Memory, tuple[int, ...]]:
    """Read all of a tail but its last `tail_tokens` into the memory; what is then memory and tail.

    turn: entered for each chunk.
    """
    *_, read_on = read(model, MemoryState(memory), tail, turn)
    rest = len(read_on.tail) - model.config.tail_tokens
    if rest <= 0:
        return read_on.memory, read_on.tail
    with turn():
        return read_chunk(model, read_on.memory, [read_on.tail[:rest]]), read_on.tail[rest:]


@torch.inference_mode()
def open_state(
    model: CometModel, state: MemoryState, fold: bool = False, turn: ChunkTurn = nullcontext
) -> Prefix:
    """Open the answering chunk of a state: behind its tail, or, to `fold`, behind what `fold_tail`
    leaves of it. turn: entered for each computation, of a chunk at most.
    """
    memory, tail = state.memory, state.tail
    if fold:
        memory, tail = fold_tail(model, memory, tail, turn)
    with turn():
        cache = model.prefix(memory)
    size = model.config.chunk_size
    for begin in range(0, len(tail), size):
        piece = torch.tensor([tail[begin : begin + size]], device=model.device)
        with turn():
            model.answer_hidden(cache, piece, start=begin)
    with turn():
        model.bring_near(cache, memory)
    layers: list[Any] = cache.layers
    return Prefix(memory, tail, tuple((layer.keys, layer.values) for layer in layers))


class _Entry:
    """Something that is there, or being computed by whoever holds the lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.value: Any = None


class PrefixCache:
    """The states and prefixes of many documents, shared by all who ask of them. Thread safe.

    What several need at once is computed once, while the others wait. Holds at most `limit` bytes;
    what was not used for longest goes first, and what is larger by itself is not kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[tuple[Hashable, Hashable], _Entry] = OrderedDict()
        self._lock = Lock()

    def state(self, key: Hashable, load: Callable[[], MemoryState]) -> MemoryState:
        """The state that `load` gives; the same key must always mean the same bits.

        Raises what `load` raises; the next who asks tries again.
        """
        return self._get((key, "state"), load)

    def start(
        self,
        model: CometModel,
        key: Hashable,
        state: MemoryState,
        asked: int,
        turn: ChunkTurn = nullcontext,
    ) -> Prefix:
        """Where an answer to `asked` tokens starts, from the state of that key. turn: entered for
        each computation, of a chunk at most; who waits for another's has none.
        """
        fold = must_fold(model, len(state.tail), asked)
        return self._get((key, fold), lambda: open_state(model, state, fold, turn))

    def drop(self, key: Hashable) -> None:
        """Keep what is of that key no longer."""
        with self._lock:
            for entry in [entry for entry in self._entries if entry[0] == key]:
                del self._entries[entry]

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        with self._lock:
            return self._held()

    def _held(self) -> int:
        return sum(entry.value.nbytes for entry in self._entries.values() if entry.value)

    def _get(self, key: tuple[Hashable, Hashable], make: Callable[[], Shared]) -> Shared:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            self._entries.move_to_end(key)
        with entry.lock:
            if entry.value is None:
                try:
                    entry.value = make()
                except BaseException:
                    with self._lock:
                        self._entries.pop(key, None)
                    raise
                self._trim()
            return entry.value

    def _trim(self) -> None:
        with self._lock:
            for key in list(self._entries):
                if self._held() <= self.limit:
                    return
                if self._entries[key].value:
                    del self._entries[key]
