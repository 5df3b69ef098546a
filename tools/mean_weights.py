"""The equal mean of several weight files, every tensor alike; the sizes are those of the last.

    python -m tools.mean_weights OUT/comet.safetensors A/comet.safetensors B/comet.safetensors ...

`ema_decay` in a recipe makes the mean of a run's own steps without this.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from comet_core.checkpoint import load_weights, save_weights


def mean_weights(out: Path, files: Sequence[Path]) -> None:
    """Write the mean of the weights in `files`, which are of one backbone, to `out`."""
    weights = [load_weights(file) for file in files]
    tensors = {
        name: torch.stack([w.tensors[name].float() for w in weights]).mean(0)
        for name in weights[-1].tensors
    }
    save_weights(out, replace(weights[-1], tensors=tensors))


if __name__ == "__main__":
    out, *files = map(Path, sys.argv[1:])
    mean_weights(out, files)
