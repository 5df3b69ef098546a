"""The mean of two runs' weights: adapters some of the way, what serves memory rows the second's."""

from pathlib import Path

import torch

from comet_core.checkpoint import Weights, load_weights, save_weights
from comet_core.config import CometConfig
from tools.mean_weights import mean_weights

ADAPTER = "language_model.model.layers.0.mlp.up_proj.lora_A.default.weight"
MEMORY = "memories.0.global_memory.gate.weight"


def weights(adapter: float, memory: float, temporary_rows: int) -> Weights:
    tensors = {ADAPTER: torch.full((2, 3), adapter), MEMORY: torch.full((3,), memory)}
    return Weights(tensors, CometConfig(temporary_rows=temporary_rows), 2, "a backbone")


def test_adapters_are_between_and_memory_is_the_second_ones(tmp_path: Path) -> None:
    a, b, out = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "out.safetensors"))
    save_weights(a, weights(1.0, 5.0, 64))
    save_weights(b, weights(3.0, 7.0, 128))
    mean_weights(a, b, 0.75, out)
    mean = load_weights(out)
    assert mean.tensors[ADAPTER].eq(2.5).all()
    assert mean.tensors[MEMORY].eq(7.0).all()
    assert mean.config.temporary_rows == 128
