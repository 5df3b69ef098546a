"""CoMeT: a language model that reads chunk after chunk through its own memory.

`CometModel` joins an untouched backbone with the memory networks and knows one step: a chunk of
text and a memory in, hidden states and the next memory out. It knows nothing of documents,
tokenizers, files or answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel

from comet_core.backbone import Backbone
from comet_core.config import CometConfig
from comet_core.errors import ChunkTooLong
from comet_core.layout import (
    ChunkLayout,
    answering_layout,
    branched_layout,
    reading_layout,
    side_by_side,
)
from comet_core.memory import LayerMemory, LayerState, Memory, newest_window

CPU_BLOCK = 256
"""Live rows that a CPU runs through all layers at a time: no score is computed of a row with those
of later blocks, which it does not see, and what goes from layer to layer stays in the processor's
caches. A GPU, which wants many rows at a time, runs all at once.
"""


@dataclass(frozen=True)
class ChunkResult:
    """What a chunk that was read leaves: the next memory, and the gates (L, B, m_G) it went by."""

    memory: Memory
    gates: Tensor


class CometModel(nn.Module):
    """A backbone with a collaborative memory at every layer.

    tail_model: the same backbone and sizes with weights of its own for tails that are asked by
    themselves, where there are such. Raises ChunkTooLong if a chunk with its memory has more rows
    than the backbone can attend over.
    """

    def __init__(self, backbone: PreTrainedModel, config: CometConfig) -> None:
        super().__init__()
        self.config = config
        self.language_model = backbone
        self.backbone = Backbone(backbone)
        size, std = self.backbone.hidden_size, backbone.config.initializer_range
        self.memories: Any = nn.ModuleList(
            LayerMemory(size, config.adapter_rank) for _ in self.backbone.layers
        )
        self.compression_embedding = nn.Parameter(torch.randn(size) * std)
        self.readout_embedding = nn.Parameter(torch.randn(config.global_rows, size) * std)
        self.tail_model: CometModel | None = None
        self._check_rows()

    def _check_rows(self) -> None:
        c = self.config
        memory = c.seen_rows
        read = memory + c.chunk_size + -(-c.chunk_size // c.stride) + c.global_rows
        asked = memory + c.chunk_size + c.chunk_size // 4
        tail = c.answering_size + c.answering_size // c.answering_stride
        answered = max(tail, asked) if c.tail_tokens else memory + tail
        if max(read, answered) > self.backbone.max_rows:
            raise ChunkTooLong(
                f"The {max(read, answered)} rows of the memory with a chunk of {c.chunk_size} "
                f"tokens, or of a tail with a question, exceed the backbone's "
                f"{self.backbone.max_rows}; choose smaller sizes."
            )

    def answering_size(self, memory_rows: int = 0) -> int:
        """Text tokens that a chunk which is answered from holds at most, behind a memory of so many
        rows.
        """
        seen = min(memory_rows, self.config.seen_rows)
        return min(self.config.answering_size, self.backbone.max_rows - seen)

    @property
    def device(self) -> torch.device:
        return self.compression_embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of hidden states and of the memory."""
        return self.language_model.model.embed_tokens.weight.dtype

    def empty_memory(self, batch: int = 1) -> Memory:
        """The memory before the first chunk: no rows at all."""
        none = torch.empty(
            batch, 0, self.backbone.hidden_size, device=self.device, dtype=self.dtype
        )
        return tuple(LayerState(none, none) for _ in self.backbone.layers)

    def read_chunk(
        self, memory: Memory, token_ids: Tensor, temporary_rows: int | None = None
    ) -> ChunkResult:
        """Read one chunk: (B, n <= c) int64 token ids through a memory of batch size B.

        temporary_rows: the limit of the FIFO for this chunk, where it is not the model's own m_T
        (training varies it, an ablation sets it to 0).
        """
        limit = self.config.temporary_rows if temporary_rows is None else temporary_rows
        layout = reading_layout(token_ids.shape[1], self.config.stride, self.config.global_rows)
        seen = newest_window(memory, self.config.window_rows)
        outputs = self._run(self._embed(token_ids, layout), self.prefix(seen))
        device = self.device
        compression, readout = layout.compression.to(device), layout.readout.to(device)
        steps = [
            networks.update(state, output[:, compression], output[:, readout], limit)
            for networks, state, output in zip(self.memories, memory, outputs, strict=True)
        ]
        return ChunkResult(
            memory=tuple(state for state, _ in steps),
            gates=torch.stack([gate.squeeze(-1) for _, gate in steps]),
        )

    def prefix(self, memory: Memory) -> DynamicCache:
        """Keys and values of a memory's rows at every layer, computed once a chunk."""
        return self.backbone.prefix(
            [networks.rows(state) for networks, state in zip(self.memories, memory, strict=True)]
        )

    def answer_hidden(self, cache: DynamicCache, token_ids: Tensor, start: int = 0) -> Tensor:
        """Last layer outputs (B, n, d) at the text rows of an answering chunk.

        token_ids: (B, n) int64, the chunk's text after the first `start` tokens, whose rows `cache`
        holds behind the memory's; it grows by the live rows of these.
        """
        layout = answering_layout(token_ids.shape[1], self.config.answering_stride, start)
        return self._run(self._embed(token_ids, layout), cache)[-1][:, layout.text.to(self.device)]

    def branches_hidden(
        self, cache: DynamicCache, branches: Sequence[Sequence[Tensor]], start: int = 0
    ) -> Tensor:
        """Last layer outputs (tokens, d) of several ways each answering chunk goes on.

        branches: for every row of the batch its branches, each (n,) int64, the chunk's text after
        the first `start` tokens; the outputs are of all their tokens, in order. A branch is behind
        the rows of `cache`, as in `answer_hidden`, and sees no other. `cache` grows by the rows of
        all of them, and of padding.
        """
        stride = self.config.answering_stride
        layouts = [branched_layout([len(b) for b in text], stride, start) for text in branches]
        rows = [
            self._embed(torch.cat(list(text))[None].to(self.device), layout)[0]
            for text, layout in zip(branches, layouts, strict=True)
        ]
        outputs = self._run(pad_sequence(rows, batch_first=True), cache, side_by_side(layouts))
        texts = [layout.text.to(self.device) for layout in layouts]
        return torch.cat([output[text] for output, text in zip(outputs[-1], texts, strict=True)])

    def _embed(self, token_ids: Tensor, layout: ChunkLayout) -> Tensor:
        """Embeddings of all live rows of a chunk; (B, n) -> (B, rows, d)."""
        text = self.backbone.embed(token_ids)
        rows = text.new_empty(text.shape[0], layout.rows, text.shape[2])
        rows[:, layout.text] = text
        rows[:, layout.compression] = self.compression_embedding.to(text.dtype)
        if len(layout.readout):
            rows[:, layout.readout] = self.readout_embedding.to(text.dtype)
        return rows

    def _run(
        self,
        hidden: Tensor,
        cache: DynamicCache,
        order: tuple[Tensor, Tensor] | None = None,
    ) -> list[Tensor]:
        """Live rows (B, r, d) through all layers behind the cached rows; the output of each layer.

        order: place and branch of every row, (B, r) int64 each, where the batch has branches.
        """
        past, rows = cache.get_seq_length(), hidden.shape[1]
        if order is None:
            place = torch.arange(rows, device=self.device)[None]
            branch = torch.zeros_like(place)
        else:
            place, branch = (of_rows.to(self.device) for of_rows in order)
        cos, sin = self.backbone.rotary(past + place, hidden)
        mask = attention_mask(past, place, branch, hidden.dtype)
        size = CPU_BLOCK if self.device.type == "cpu" else rows
        blocks = []
        for begin in range(0, rows, size):
            block = slice(begin, min(begin + size, rows))
            seen = mask[:, :, block, : past + block.stop]
            rotary = cos[:, block], sin[:, block]
            blocks.append(self._run_layers(hidden[:, block], cache, seen, rotary))
        return [torch.cat(outputs, dim=1) for outputs in zip(*blocks, strict=True)]

    def _run_layers(
        self, hidden: Tensor, cache: DynamicCache, mask: Tensor, rotary: tuple[Tensor, Tensor]
    ) -> list[Tensor]:
        """The output of each layer for rows (B, r, d) that see the cached ones and one another as
        `mask` says.
        """
        outputs = []
        for layer in self.backbone.layers:
            hidden = layer(
                hidden, attention_mask=mask, past_key_values=cache, position_embeddings=rotary
            )
            outputs.append(hidden)
        return outputs


def attention_mask(past: int, place: Tensor, branch: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores, (B, 1, r, past + r): a row sees all `past` rows, and those
    of its own branch up to itself. place, branch: (B, r) int64, as in `BranchedLayout`.
    """
    own = branch[:, :, None] == branch[:, None]
    seen = own & (place[:, :, None] >= place[:, None])
    mask = torch.zeros(*seen.shape, dtype=dtype, device=seen.device)
    mask = mask.masked_fill(~seen, torch.finfo(dtype).min)
    return pad(mask, (past, 0))[:, None]
