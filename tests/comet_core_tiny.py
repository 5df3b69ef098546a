"""Tiny random CoMeT models of every supported architecture."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from comet_core.config import CometConfig
from comet_core.model import CometModel

VOCABULARY = 97
ARCHITECTURES = ["llama", "qwen2", "qwen3", "mistral"]


def make_model(architecture: str = "llama", seed: int = 0, **sizes: int) -> CometModel:
    """A random model in which every network does something; sizes as in `CometConfig`."""
    torch.manual_seed(seed)
    backbone = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            architecture,
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
            initializer_range=0.3,
        )
    )
    defaults = {"chunk_size": 12, "stride": 4, "global_rows": 3, "temporary_rows": 5}
    model = CometModel(backbone, CometConfig(**{**defaults, "adapter_rank": 2, **sizes}))
    for parameter in model.memories.parameters():  # every network does something
        torch.nn.init.normal_(parameter, std=0.4)
    return model.float().eval().requires_grad_(False)
