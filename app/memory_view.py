"""What there is to see of a document's memory: sizes and places as plain numbers, no tensors.

For the curious, and for pages that draw it; knows nothing of how it is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.library import Library
from app.tables import Document

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.config import CometConfig
    from comet_core.memory import MemoryState


@dataclass(frozen=True)
class Gates:
    """How much of the old each layer kept, over the chunks that were read.

    values: a list a layer, first layer first, of numbers between 0 (all new) and 1 (all old); one
    for every `span` chunks, oldest first, the last one for those that are left. chunks: in all.
    """

    values: list[list[float]]
    span: int
    chunks: int


@dataclass(frozen=True)
class MemoryView:
    """The finished memory of a document.

    tokens: that were read. The last `tail` of them stand word by word; those before, from
    `temporary_from` on, are in the temporary memory; all are in the global memory up to the tail.
    rows are a layer's, the global ones those of all `volumes`, each of which but the last is of
    `volume_chunks` chunks. Sizes in bytes; cache_bytes: keys and values of all tokens, as a model
    without such a memory keeps them.
    """

    tokens: int
    chunks: int
    tail: int
    temporary_from: int
    chunk_size: int
    stride: int
    layers: int
    global_rows: int
    temporary_rows: int
    volumes: int
    volume_chunks: int
    memory_bytes: int
    text_bytes: int
    cache_bytes: int
    gates: Gates

    @property
    def tail_from(self) -> int:
        """The first token of the tail."""
        return self.tokens - self.tail


def memory_view(library: Library, document: Document) -> MemoryView:
    """Look at a document's memory. Raises what `Library.memory` raises."""
    state, loaded = library.memory(document), library.model
    config, first = loaded.model.config, state.memory[0]
    volumes = 1 + state.kept_volumes
    temporary_rows = first.temporary.shape[1]
    return MemoryView(
        tokens=state.tokens_read,
        chunks=state.chunks_read,
        tail=len(state.tail),
        temporary_from=state.tokens_read - len(state.tail) - _covered(temporary_rows, config),
        chunk_size=config.chunk_size,
        stride=config.stride,
        layers=len(state.memory),
        global_rows=first.global_state.shape[1] * volumes,
        temporary_rows=temporary_rows,
        volumes=volumes,
        volume_chunks=config.volume_chunks,
        memory_bytes=state.nbytes,
        text_bytes=document.characters,
        cache_bytes=state.tokens_read * _cache_bytes_a_token(loaded),
        gates=_gates(state),
    )


def _covered(rows: int, config: CometConfig) -> int:
    """How many tokens of text the last compression rows stand for."""
    groups = -(-config.chunk_size // config.stride)
    chunks, rest = divmod(rows, groups)
    covered = chunks * config.chunk_size
    if rest:  # of one more chunk, its last groups, of which the very last may be a short one
        covered += config.chunk_size - (groups - rest) * config.stride
    return covered


def _cache_bytes_a_token(loaded: LoadedModel) -> int:
    attention = loaded.model.backbone.layers[0].self_attn
    config = loaded.model.language_model.config
    numbers = 2 * len(loaded.model.backbone.layers) * config.num_key_value_heads
    return numbers * attention.head_dim * loaded.model.dtype.itemsize


def _gates(state: MemoryState) -> Gates:
    return Gates(state.gates.values.T.tolist(), state.gates.span, state.gates.chunks)
