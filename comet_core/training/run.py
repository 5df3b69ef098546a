"""A run put together: recipe, backbone, data and a directory; new, or going on.

The one place in training that knows where files are.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig

from comet_core import default_model
from comet_core.backbone import check_supported
from comet_core.checkpoint import (
    WEIGHTS_FILE,
    assign,
    backbone_directory,
    load_backbone,
    load_tokenizer,
    load_weights,
)
from comet_core.device import choose_placement
from comet_core.errors import ModelNotFound
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.prompt import PromptFormat
from comet_core.training.data import load_documents, tokenize
from comet_core.training.estimate import Footprint, arithmetic, footprint, shape_of
from comet_core.training.loop import METRICS_FILE, Trainer
from comet_core.training.recipe import Recipe, Stage, check_rows

LONG_CHUNK = 512  # tokens


def open_run(
    recipe: Recipe,
    data: Path,
    directory: Path,
    cache: Path,
    start: Path | None = None,
    ceiling_of: Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Trainer:
    """A trainer for the run in `directory`, which goes on if it has begun.

    start: weights that a new run starts from, or the directory they are in; their sizes may differ
    from the recipe's in all but the number of global rows and the adapters' ranks. ceiling_of: the
    directory of a memory's run whose full-attention ceiling this run trains. Raises BadRecipe,
    DataNotFound, OtherRun, and what `comet_core.checkpoint` raises.
    """
    placement = choose_placement(device, dtype)
    source = backbone_directory(recipe.backbone, cache)
    language_model = load_backbone(source, placement.dtype)
    short = all(stage.longest_chunk < LONG_CHUNK and not stage.together for stage in recipe.stages)
    if placement.device.type == "cpu" and ceiling_of is None and short:
        # On short chunks torch's fused attention trains slower there. It keeps no scores, though,
        # and those of questions about many texts take more memory than all else.
        language_model.set_attn_implementation("eager")
    torch.manual_seed(recipe.seed)
    add_lora(language_model, recipe.lora_rank)
    model = CometModel(language_model, recipe.sizes)
    if start is not None:
        assign(model, load_weights(start / WEIGHTS_FILE if start.is_dir() else start).tensors)
    prompt = PromptFormat(load_tokenizer(source))
    documents = [
        tokenize(document, prompt)
        for document in load_documents(data / file for file in recipe.questions)
    ]
    return Trainer(
        model.to(placement.device),
        prompt,
        documents,
        recipe,
        directory,
        ceiling_of / METRICS_FILE if ceiling_of else None,
    )


def estimate_run(recipe: Recipe, cache: Path) -> list[tuple[Stage, Footprint, float]]:
    """What every stage takes: bytes at the peak, and floating point operations a text token.

    Reads no weights. Raises ModelNotFound, UnsupportedBackbone, and BadRecipe where a stage does
    not fit in the backbone's rows.
    """
    name = recipe.backbone
    source = default_model.default_backbone(cache) if name == default_model.NAME else name
    try:
        config = AutoConfig.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"No configuration of the model '{name}' could be had; give a directory, or a hub id "
            "while you are online."
        ) from error
    check_supported(config.model_type)
    shape = shape_of(config, recipe)
    check_rows(recipe, shape.max_rows)
    return [
        (stage, footprint(shape, recipe, stage), arithmetic(shape, recipe, stage))
        for stage in recipe.stages
    ]
