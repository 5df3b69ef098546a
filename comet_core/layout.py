"""Where rows go in a chunk: the one place that knows the order.

    [ G | T | text, a compression row C after each group of s text rows | R ]

Memory rows (G, T) act only as keys and values and are not computed, so a layout numbers the *live*
rows behind them, from 0. Nothing here knows of embeddings or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@dataclass(frozen=True)
class ChunkLayout:
    """Live row numbers (int64, ascending) of each kind in a chunk of `rows` live rows."""

    text: Tensor
    compression: Tensor
    readout: Tensor

    @property
    def rows(self) -> int:
        return len(self.text) + len(self.compression) + len(self.readout)


def reading_layout(length: int, stride: int, global_rows: int) -> ChunkLayout:
    """The layout of a chunk that is read: `length` text rows, a C row after every group, R last.

    A shorter last group still gets its C row.
    """
    return _layout(length, stride, groups=-(-length // stride), readouts=global_rows)


def answering_layout(length: int, stride: int, start: int = 0) -> ChunkLayout:
    """The layout of `length` more text rows of the chunk that is answered from, which holds `start`
    already: no R rows, a C row only between text rows.

    A full last group has no C row yet: it enters when more text follows.
    """
    held = max(0, start - 1) // stride
    groups = max(0, start + length - 1) // stride
    whole = _layout(start + length, stride, groups, readouts=0)
    return ChunkLayout(
        text=whole.text[start:] - (start + held),
        compression=whole.compression[held:] - (start + held),
        readout=whole.readout,
    )


def _layout(length: int, stride: int, groups: int, readouts: int) -> ChunkLayout:
    token = torch.arange(length)
    group = torch.arange(groups)
    return ChunkLayout(
        text=token + torch.div(token, stride, rounding_mode="floor"),
        compression=torch.clamp((group + 1) * stride, max=length) + group,
        readout=length + groups + torch.arange(readouts),
    )


@dataclass(frozen=True)
class BranchedLayout(ChunkLayout):
    """Several answering chunks side by side, ways to go on from the same rows.

    place: (rows,) int64, the number of each live row in its own branch; branch: (rows,) int64.
    """

    place: Tensor
    branch: Tensor


def branched_layout(lengths: Sequence[int], stride: int, start: int = 0) -> BranchedLayout:
    """Branches of so many text rows each, every one laid out as `answering_layout` does."""
    layouts = [answering_layout(length, stride, start) for length in lengths]
    first = [0, *accumulate(layout.rows for layout in layouts)]
    return BranchedLayout(
        text=torch.cat([own.text + at for own, at in zip(layouts, first, strict=False)]),
        compression=torch.cat(
            [own.compression + at for own, at in zip(layouts, first, strict=False)]
        ),
        readout=layouts[0].readout,
        place=torch.cat([torch.arange(layout.rows) for layout in layouts]),
        branch=torch.cat(
            [torch.full((layout.rows,), number) for number, layout in enumerate(layouts)]
        ),
    )


def side_by_side(layouts: Sequence[BranchedLayout]) -> tuple[Tensor, Tensor]:
    """Places and branches, (B, rows) each, of a batch; rows of padding are branches of their own
    kind, which no other row sees."""
    return (
        pad_sequence([layout.place for layout in layouts], batch_first=True),
        pad_sequence([layout.branch for layout in layouts], batch_first=True, padding_value=-1),
    )
