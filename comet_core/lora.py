"""Low-rank adapters (peft) on every linear layer of the backbone: put on, and merged away.

Only their configuration lives here; CoMeT's own networks are not adapters and are trained as they
are.
"""

from __future__ import annotations

import warnings

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def add_lora(backbone: PreTrainedModel, rank: int) -> PeftModel:
    """Put fresh adapters of `rank` on the backbone, in place; they begin as no change at all."""
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, lora_dropout=0.0)
    with warnings.catch_warnings():
        # peft asks transformers for a name that is deprecated there; a user can do nothing about it
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        return get_peft_model(backbone, config)
