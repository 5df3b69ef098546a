"""What the gates of global memory do over a long text: how much each update keeps.

A gate of 1 keeps a row of the state as it is, a gate of 0 replaces it. One that is the same for
everything has learnt nothing: at 1 nothing new is remembered, at 0 nothing old.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from comet_core.errors import CometError
from comet_core.model import CometModel
from comet_core.reader import step

BINS = 20
OPEN, SHUT = 0.01, 0.99
COLLAPSED_SHARE = 0.99


class TooFewChunks(CometError):
    """A text is too short for a gate to have done anything."""


@dataclass(frozen=True)
class LayerGates:
    """The gates of one layer over all chunks and rows.

    quantiles: at 0, 5, 50, 95 and 100 %. below, above: the shares under `OPEN` and over `SHUT`.
    histogram: counts in `BINS` equal bins from 0 to 1. collapsed: "keeps nothing" or "keeps
    everything" where at least `COLLAPSED_SHARE` of them are, else None.
    """

    mean: float
    deviation: float
    quantiles: list[float]
    below: float
    above: float
    histogram: list[int]
    collapsed: str | None


@dataclass(frozen=True)
class GateStatistics:
    """Gates over one text: all together, layer by layer, and the mean of each layer in each chunk.

    chunks: those read; the first has no gates, and those that begin a volume take all that is new:
    they count for nothing but in by_chunk, (chunks - 1) lists of a mean a layer.
    """

    tokens: int
    chunks: int
    all: LayerGates
    layers: list[LayerGates]
    by_chunk: list[list[float]]

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the gates, a sentence each."""
        if self.all.collapsed:
            return [f"The gates have collapsed: global memory {self.all.collapsed}, in all layers."]
        return [
            f"The gates of layer {number} have collapsed: it {layer.collapsed}."
            for number, layer in enumerate(self.layers)
            if layer.collapsed
        ]


@torch.inference_mode()
def gate_statistics(
    model: CometModel, tokens: Sequence[int], on_chunk: Callable[[], None] = lambda: None
) -> GateStatistics:
    """Read the whole chunks of a text and look at the gates of every update but the first of each
    volume.

    Raises TooFewChunks if there are none.
    """
    size = model.config.chunk_size
    chunks = len(tokens) // size
    begins = [chunk == 0 or model.config.begins_volume(chunk) for chunk in range(chunks)]
    if all(begins):
        raise TooFewChunks(
            f"A text of {len(tokens)} tokens has {chunks} chunks of {size}, and the first has no "
            "gates; give a longer one."
        )
    memory = model.empty_memory()
    gates = []
    for chunk, new in enumerate(begins):
        text = tokens[chunk * size : (chunk + 1) * size]
        memory, gate = step(model, memory, [text], new)
        gates.append(gate[:, 0])
        on_chunk()
    return describe(torch.stack(gates, dim=1), begins, chunks * size)


def describe(gates: Tensor, begins: Sequence[bool], tokens: int) -> GateStatistics:
    """The statistics of gates (L, chunks, m_G), from a text of so many tokens. begins: which chunks
    see no memory.
    """
    updates = gates[:, ~torch.tensor(begins)]
    return GateStatistics(
        tokens=tokens,
        chunks=len(begins),
        all=_layer(updates),
        layers=[_layer(layer) for layer in updates],
        by_chunk=[[round(g, 4) for g in chunk] for chunk in gates[:, 1:].mean(-1).T.tolist()],
    )


def _layer(gates: Tensor) -> LayerGates:
    values = gates.flatten().double().sort().values
    places = torch.tensor([0.0, 0.05, 0.5, 0.95, 1.0]) * (len(values) - 1)
    below = (values < OPEN).double().mean().item()
    above = (values > SHUT).double().mean().item()
    collapsed = None
    if below >= COLLAPSED_SHARE:
        collapsed = "keeps nothing"
    elif above >= COLLAPSED_SHARE:
        collapsed = "keeps everything"
    return LayerGates(
        mean=round(values.mean().item(), 4),
        deviation=round(values.std(correction=0).item(), 4),
        quantiles=[round(q, 4) for q in values[places.round().long()].tolist()],
        below=round(below, 4),
        above=round(above, 4),
        histogram=values.histc(BINS, 0, 1).long().tolist(),
        collapsed=collapsed,
    )
