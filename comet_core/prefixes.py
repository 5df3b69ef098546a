"""Where answers start, computed once: the keys and values of a document's memory and tail.

A cache of them is shared by many answers at a time; an answer that starts from a shared prefix is,
to the bit, the one that computes its own. Knows nothing of how an answer goes on, or of where a
state comes from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from comet_core.memory import (
    Memory,
    MemoryState,
    select,
    tensors_of,
    window_starts,
    windows,
)
from comet_core.model import CometModel
from comet_core.reader import ChunkTurn, read_chunk

Shared = TypeVar("Shared", bound="MemoryState | Prefix")


@dataclass(frozen=True)
class Prefix:
    """An answering chunk that has been opened, or several windows side by side: the memory that is
    seen and the text that is held.

    model: who opened it, and answers from it. texts: what every window holds behind its memory
    rows, token ids, equally many. layers: keys and values of both, (windows, heads, rows, head_dim)
    each; none if there are no rows. beside: what is asked too where this is not sure; of a tail the
    memory of the same document, of a memory those of its earlier volumes, each a window.
    """

    model: CometModel
    memory: Memory
    texts: tuple[tuple[int, ...], ...]
    layers: tuple[tuple[Tensor, Tensor], ...]
    beside: Prefix | None = None

    @property
    def windows(self) -> int:
        """Parts of memory or tail that are asked side by side; 1 where all is asked as a whole."""
        return len(self.texts)

    @property
    def held(self) -> int:
        """Text tokens behind the memory rows of a window."""
        return len(self.texts[0])

    @property
    def remembered(self) -> bool | None:
        """Whether what is told from here comes from the memory, and not from the tail; None where
        it may come from either.
        """
        rows = self.memory[0].rows > 0
        return None if rows and self.held else rows

    @property
    def memory_rows(self) -> int:
        """Memory rows a layer that an answer may come from."""
        own = self.memory[0].rows * len(self.memory[0].global_state)
        return own + (self.beside.memory_rows if self.beside else 0)

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All that it holds, the memory and what is `beside` included."""
        yield from tensors_of(self.memory)
        for pair in self.layers:
            yield from pair
        if self.beside:
            yield from self.beside.tensors

    def window(self, number: int) -> Prefix:
        """The same with one of its windows alone."""
        part = slice(number, number + 1)
        layers = tuple((key[part], value[part]) for key, value in self.layers)
        memory = of_window(self.memory, number)
        return replace(self, memory=memory, texts=self.texts[part], layers=layers)

    def cache(self) -> DynamicCache:
        """A new cache over the same tensors; it grows by concatenation, and leaves them alone."""
        cache = DynamicCache()
        for key, value in self.layers:
            layer = DynamicLayer()
            layer.lazy_initialization(key, value)
            layer.keys, layer.values = key, value
            cache.layers.append(layer)
        return cache


def must_fold(model: CometModel, held: int, asked: int, memory_rows: int = 0) -> bool:
    """Whether `asked` tokens, and as many of an answer as a chunk's eighth, do not fit behind the
    `held` ones of an answering chunk, which is then folded: neither question nor answer is cut in
    two.
    """
    answered = model.config.chunk_size // 8
    return held > 0 and held + asked + answered > model.answering_size(memory_rows)


def must_fold_tail(model: CometModel, state: MemoryState, asked: int) -> bool:
    """`must_fold` of the part of a state's tail that is seen at once."""
    held = len(state.tail)
    return must_fold(model, min(held, model.config.tail_window or held), asked)


def of_window(memory: Memory, number: int) -> Memory:
    """The memory that a window of it goes on with: all of it, but of several volumes its own."""
    several = len(memory[0].global_state) > 1
    return select(memory, slice(number, number + 1)) if several else memory


def fold_tail(
    model: CometModel,
    memory: Memory,
    tail: Sequence[int],
    kept: int,
    turn: ChunkTurn = nullcontext,
) -> tuple[Memory, tuple[int, ...]]:
    """Read all of a tail but its last `kept` tokens into the memory; what is then memory and tail.

    turn: entered for each chunk.
    """
    size = model.config.chunk_size
    while len(tail) > kept:
        now = min(size, len(tail) - kept)
        with turn():
            memory = read_chunk(model, memory, [tail[:now]])
        tail = tail[now:]
    return memory, tuple(tail)


@torch.inference_mode()
def open_state(
    model: CometModel, state: MemoryState, fold: bool = False, turn: ChunkTurn = nullcontext
) -> Prefix:
    """Open a state to answer from it; to `fold`, with what `fold_tail` leaves of its tail.

    A model that holds a tail (`tail_tokens`) is asked apart: of the tail, as if it were all there
    is, in windows (`tail_window`) and with weights of its own if there are such, and `beside` it of
    the memory. Each tells more without the other before it, and has all of the backbone's rows. Not
    as published: there a tail stands behind the memory. Earlier volumes are asked `beside` the
    memory, of all models. turn: entered for each computation, of a chunk at most.
    """
    memory, tail = state.memory, state.tail
    if fold:
        memory, tail = fold_tail(model, memory, tail, model.config.tail_tokens, turn)
    kept = state.volumes and state.volumes[0].rows
    earlier = open_chunk(model, state.volumes, (), turn) if kept else None
    if model.config.tail_tokens == 0:
        return replace(open_chunk(model, memory, tail, turn), beside=earlier)
    remembered = None
    if memory[0].rows:
        remembered = replace(open_chunk(model, memory, (), turn), beside=earlier)
    if remembered and not tail:
        return remembered
    return replace(_open_tail(model.tail_model or model, tail, turn), beside=remembered)


def _open_tail(model: CometModel, tail: Sequence[int], turn: ChunkTurn) -> Prefix:
    """Open a tail by itself, or each of its windows: a question looks in vain for what is far away
    from it among much else.
    """
    size = model.config.tail_window
    if size == 0 or len(tail) <= size:
        return open_chunk(model, model.empty_memory(), tail, turn)
    texts = tuple(tuple(tail[start : start + size]) for start in window_starts(len(tail), size))
    caches: list[Any] = []
    for group in torch.tensor(texts, device=model.device).split(model.config.chunk_size // size):
        cache = model.prefix(model.empty_memory(len(group)))
        with turn():
            model.answer_hidden(cache, group)
        caches.append(cache)
    layers = tuple(
        (torch.cat([part.keys for part in parts]), torch.cat([part.values for part in parts]))
        for parts in zip(*(cache.layers for cache in caches), strict=True)
    )
    return Prefix(model, model.empty_memory(), texts, layers)


@torch.inference_mode()
def open_chunk(
    model: CometModel, memory: Memory, tail: Sequence[int], turn: ChunkTurn = nullcontext
) -> Prefix:
    """Open one answering chunk that holds a tail behind a memory, or behind each of its windows.
    turn: as in `open_state`.
    """
    seen = windows(memory, model.config.window_rows)
    with turn():
        cache = model.prefix(seen)
    size, count = model.config.chunk_size, len(seen[0].temporary)
    for begin in range(0, len(tail), size):
        piece = torch.tensor([tail[begin : begin + size]], device=model.device).expand(count, -1)
        with turn():
            model.answer_hidden(cache, piece, start=begin)
    layers: list[Any] = cache.layers
    opened = tuple((layer.keys, layer.values) for layer in layers)
    return Prefix(model, memory, (tuple(tail),) * count, opened)


class _Entry:
    """Something that is there, or being computed by whoever holds the lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.value: Any = None


class PrefixCache:
    """The states and prefixes of many documents, shared by all who ask of them. Thread safe.

    What several need at once is computed once, while the others wait. Holds at most `limit` bytes,
    those that a state and its prefixes share counted once; what was not used for longest goes
    first, and what is larger by itself is not kept.
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
        """Where an answer to `asked` tokens, those of a whole conversation, starts, from the state
        of that key. turn: entered for each computation, of a chunk at most; who waits for another's
        has none.
        """
        fold = must_fold_tail(model, state, asked)
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
        values = [entry.value for entry in self._entries.values() if entry.value]
        storages = [tensor.untyped_storage() for value in values for tensor in value.tensors]
        return sum({shared.data_ptr(): shared.nbytes() for shared in storages}.values())

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
