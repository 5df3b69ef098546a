"""The mean of several weight files is that of every tensor, with the last one's sizes."""

from pathlib import Path

import torch

from comet_core.checkpoint import Weights, load_weights, save_weights
from comet_core.config import CometConfig
from tools.mean_weights import mean_weights

ADAPTER = "language_model.model.layers.0.mlp.up_proj.lora_A.default.weight"
MEMORY = "memories.0.global_memory.gate.weight"


def test_the_mean_is_of_every_tensor_alike(tmp_path: Path) -> None:
    files = []
    for number, (adapter, memory) in enumerate([(1.0, 5.0), (3.0, 8.0), (8.0, 2.0)]):
        tensors = {ADAPTER: torch.full((2, 3), adapter), MEMORY: torch.full((3,), memory)}
        files.append(tmp_path / f"{number}.safetensors")
        sizes = CometConfig(temporary_rows=64 * (number + 1))
        save_weights(files[-1], Weights(tensors, sizes, 2, "a backbone"))
    mean_weights(tmp_path / "out.safetensors", files)
    mean = load_weights(tmp_path / "out.safetensors")
    assert mean.tensors[ADAPTER].eq(4.0).all()
    assert mean.tensors[MEMORY].eq(5.0).all()
    assert mean.config.temporary_rows == 192
