"""Weights between those of a run, A, and of one that went on from it, B: some of the way from A to
B for the backbone's adapters, B's own for memory networks and embeddings, which serve memory rows
alone.

    python -m tools.mean_weights A/comet.safetensors B/comet.safetensors 0.8 OUT/comet.safetensors
"""

import sys
from dataclasses import replace
from pathlib import Path

from comet_core.checkpoint import load_weights, save_weights


def mean_weights(a: Path, b: Path, share: float, out: Path) -> None:
    """Write to `out` the mean, which has B's sizes."""
    first, second = load_weights(a), load_weights(b)
    tensors = {
        name: first.tensors[name].lerp(tensor, share)
        if name.startswith("language_model.")
        else tensor
        for name, tensor in second.tensors.items()
    }
    save_weights(out, replace(second, tensors=tensors))


if __name__ == "__main__":
    mean_weights(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
