"""A run put together: recipe, backbone, data and a directory; new, or going on.

The one place in training that knows where files are.
"""

from __future__ import annotations

from pathlib import Path

import torch

from comet_core import default_model
from comet_core.checkpoint import (
    assign,
    backbone_directory,
    load_backbone,
    load_tokenizer,
    load_weights,
)
from comet_core.device import choose_placement
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.prompt import PromptFormat
from comet_core.training.data import load_documents, tokenize
from comet_core.training.loop import Trainer
from comet_core.training.recipe import load_recipe


def open_run(
    recipe: Path,
    data: Path,
    directory: Path,
    cache: Path,
    backbone: str | None = None,
    start: Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Trainer:
    """A trainer for the run in `directory`, which goes on if it has begun.

    start: CoMeT weights that a new run starts from; their sizes may differ from the recipe's in all
    but the number of global rows and the adapters' ranks. Raises BadRecipe, DataNotFound, and what
    `comet_core.checkpoint` raises.
    """
    plan = load_recipe(recipe)
    placement = choose_placement(device, dtype)
    name = backbone or default_model.NAME
    source = backbone_directory(name, cache)
    language_model = load_backbone(source, placement.dtype)
    if placement.device.type == "cpu":  # torch's fused attention trains slower there
        language_model.set_attn_implementation("eager")
    torch.manual_seed(plan.seed)
    add_lora(language_model, plan.lora_rank)
    model = CometModel(language_model, plan.sizes)
    if start is not None:
        assign(model, load_weights(start).tensors)
    prompt = PromptFormat(load_tokenizer(source))
    documents = [
        tokenize(document, prompt)
        for document in load_documents(data / file for file in plan.questions)
    ]
    return Trainer(model.to(placement.device), prompt, documents, plan, directory, name)
