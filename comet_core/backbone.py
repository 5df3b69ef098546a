"""What CoMeT needs of a Hugging Face language model, whatever its architecture.

The backbone stays untouched: its decoder layers run as they are over live rows, with a key/value
prefix in a transformers cache. The one thing computed here by hand is that prefix, because a memory
row needs its key and value and nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.models.llama.modeling_llama import rotate_half

from comet_core.errors import UnsupportedBackbone

SUPPORTED = ("llama", "mistral", "qwen2", "qwen3")
"""`model_type`s whose layers share the shape driven here: pre-norm, rotary, separate k/v
projections.
"""


def check_supported(model_type: str) -> None:
    """Raises UnsupportedBackbone, naming the architecture, unless it is one of `SUPPORTED`."""
    if model_type not in SUPPORTED:
        raise UnsupportedBackbone(
            f"The architecture '{model_type}' cannot carry a CoMeT memory; "
            f"choose a model of one of these: {', '.join(SUPPORTED)}."
        )


class Backbone:
    """A causal language model seen as embeddings, layers and a head. Holds no weights of its
    own.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        check_supported(model.config.model_type)
        self.model: Any = model  # transformers types the parts of a model too loosely to name them
        self.hidden_size: int = model.config.hidden_size
        self.layers: Any = self.model.model.layers

    @property
    def max_rows(self) -> int:
        """Rows one chunk may have, memory included, before positions or a sliding window run
        out.
        """
        config = self.model.config
        window = getattr(config, "sliding_window", None)
        if not getattr(config, "use_sliding_window", True):
            window = None
        positions = config.max_position_embeddings
        rope = config.rope_parameters
        if rope["rope_type"] == "longrope":  # beyond this it turns all keys by other angles
            positions = rope["original_max_position_embeddings"]
        return min(positions, window or positions)

    def embed(self, token_ids: Tensor) -> Tensor:
        """Token ids (..., n) int64 -> (..., n, d)."""
        return self.model.model.embed_tokens(token_ids)

    def rotary(self, positions: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (B, rows, head_dim) each, of positions (B, rows) int64."""
        return self.model.model.rotary_emb(like, positions)

    def prefix(self, rows_of_layers: list[Tensor]) -> DynamicCache:
        """The key/value cache of memory rows at positions 0 .. n-1.

        rows_of_layers: one (B, n, d) a layer, the layer's *input* at the memory rows; n may be 0.
        """
        cache = DynamicCache()
        count = rows_of_layers[0].shape[1]
        if count == 0:
            return cache
        positions = torch.arange(count, device=rows_of_layers[0].device)[None]
        cos, sin = self.rotary(positions, rows_of_layers[0])
        for number, (layer, rows) in enumerate(zip(self.layers, rows_of_layers, strict=True)):
            attention = layer.self_attn
            normed = layer.input_layernorm(rows)
            shape = (*rows.shape[:2], -1, attention.head_dim)
            key = attention.k_proj(normed).view(shape)
            if hasattr(attention, "k_norm"):
                key = attention.k_norm(key)
            key = key.transpose(1, 2)
            key = key * cos[:, None] + rotate_half(key) * sin[:, None]
            value = attention.v_proj(normed).view(shape).transpose(1, 2)
            cache.update(key, value, number)
        return cache

    def logits(self, hidden: Tensor) -> Tensor:
        """Last layer outputs (..., d) -> logits (..., vocabulary)."""
        return self.model.lm_head(self.model.model.norm(hidden))
