"""The gates by which a document was read: how much each layer kept of what it knew, over time.

A history of constant size, whatever the document's length: when its columns are all in use,
neighbours become one. It is for people to look at; the model never sees it. Knows nothing of how a
gate comes to be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

COLUMNS = 128
"""Columns a history has at most; an even number."""


@dataclass(frozen=True)
class GateHistory:
    """Mean gates of the last `chunks` chunks: all there were, unless the first of them were read
    before histories were kept.

    values: (columns, L) float32 on the CPU, oldest first; a column is the mean over `span` chunks
    (the last one: over those there are yet) of the gate's mean over the global rows of a layer.
    1 is to keep all of the old, 0 to take all from the chunk, as the first chunk does.
    """

    values: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    span: int = 1
    chunks: int = 0

    @property
    def counts(self) -> list[int]:
        """How many chunks each column is the mean of."""
        return [min(self.span, self.chunks - begin) for begin in range(0, self.chunks, self.span)]

    def add(self, gate: Tensor) -> GateHistory:
        """The history after one more chunk, whose mean gates are (L,) float32 on the CPU."""
        columns, span = list(self.values), self.span
        begun = self.chunks % span
        if begun:
            columns[-1] = columns[-1] + (gate - columns[-1]) / (begun + 1)
        else:
            if len(columns) == COLUMNS:
                span *= 2
                columns = [(a + b) / 2 for a, b in zip(columns[::2], columns[1::2], strict=True)]
            columns.append(gate)
        return GateHistory(torch.stack(columns), span, self.chunks + 1)

    def tensors(self) -> dict[str, Tensor]:
        """The history as named tensors, to be stored."""
        return {
            "gates.values": self.values.clone(),
            "gates.span": torch.tensor(self.span),
            "gates.chunks": torch.tensor(self.chunks),
        }

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> GateHistory:
        """The inverse of `tensors`, which may stand among others; empty if there are none.

        Raises KeyError if only some are there.
        """
        if "gates.values" not in tensors:
            return cls()
        return cls(
            tensors["gates.values"], int(tensors["gates.span"]), int(tensors["gates.chunks"])
        )
