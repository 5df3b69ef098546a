"""Tiny random CoMeT models of every supported architecture."""

from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import ByteLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from comet_core.config import CometConfig
from comet_core.model import CometModel

VOCABULARY = 97
CONTROL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
PLAIN_ADDED = ["<think>", "</think>"]  # added, but not marked special: Qwen3 has such
ARCHITECTURES = ["llama", "qwen2", "qwen3", "mistral"]
VOLUMES = {
    "tail_tokens": 5, "chunk_size": 24, "temporary_rows": 9, "window_rows": 6,
    "volume_chunks": 1, "volumes": 2,
}  # fmt: skip
"""Sizes of a model that reads in three volumes: two of a chunk each, and all of the rest."""


def make_model(
    architecture: str = "llama",
    seed: int = 0,
    vocabulary: int = VOCABULARY,
    rope: dict[str, Any] | None = None,
    **sizes: int,
) -> CometModel:
    """A random model in which every network does something; rope: how positions are scaled; sizes
    as in `CometConfig`."""
    torch.manual_seed(seed)
    backbone = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(
            architecture,
            vocab_size=vocabulary,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=512,
            rope_parameters=rope and {"rope_theta": 10_000.0, **rope},
            initializer_range=0.3,
        )
    )
    defaults = {"chunk_size": 12, "stride": 4, "global_rows": 3, "temporary_rows": 5}
    model = CometModel(backbone, CometConfig(**{**defaults, "adapter_rank": 2, **sizes}))
    for parameter in model.memories.parameters():  # every network does something
        torch.nn.init.normal_(parameter, std=0.4)
    return model.float().eval().requires_grad_(False)


def make_tokenizer(control: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, with these control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = ByteLevel()
    backend.add_special_tokens([AddedToken(t, special=True) for t in control])
    backend.add_tokens([AddedToken(t, special=False) for t in PLAIN_ADDED])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")
