"""Checkpoints of the published CoMeT code: its names and fields, turned into ours.

They hold a whole language model whose layers carry the memory networks, and keep the embeddings of
compression and readout tokens as rows of the vocabulary.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from comet_core.backbone import check_supported
from comet_core.checkpoint import WEIGHTS_FILE, Weights, save_weights
from comet_core.config import CometConfig
from comet_core.errors import DamagedModel, ModelNotFound, TargetExists
from comet_core.files import whole_directory
from comet_core.model import CometModel

FIELDS = {
    "model_type",
    "chunk_size",
    "temp_beacon_stride",
    "temp_mem_budget",
    "temp_beacon_id",
    "global_beacon_ids",
}

RENAMED = [
    (re.compile(r"^model\.layers\.(\d+)\." + published), rf"memories.\1.{own}")
    for published, own in (
        (r"global_memory_net\.norm\.", "global_memory.norm."),
        (r"global_memory_net\.g_proj\.", "global_memory.gate."),
        (r"global_memory_net\.o_proj\.(down|up)_proj\.", r"global_memory.adapter.\2."),
        (r"temp_memory_net\.0\.", "temporary_memory.norm."),
        (r"temp_memory_net\.1\.(down|up)_proj\.", r"temporary_memory.adapter.\2."),
    )
] + [
    (re.compile(r"^model\.layers\.(\d+)\.inner_layer\."), r"language_model.model.layers.\1."),
    (re.compile(r"^(model|lm_head)\."), r"language_model.\1."),
]
"""Published names, and ours; the first pattern that matches counts."""


def load_published(directory: Path) -> CometModel:
    """A published checkpoint as a float32 model on the CPU, for inference.

    Raises ModelNotFound if the directory holds none, DamagedModel if it is not whole,
    UnsupportedBackbone if its layers are of an architecture not driven here.
    """
    config = _read_config(directory)
    tensors = {_renamed(name): t.float() for name, t in _read_tensors(directory).items()}
    embeddings = tensors["language_model.model.embed_tokens.weight"]
    tensors["compression_embedding"] = embeddings[config["temp_beacon_id"]].clone()
    tensors["readout_embedding"] = embeddings[config["global_beacon_ids"]].clone()
    backbone_type = config["model_type"].removeprefix("mem_").removeprefix("comet_")
    check_supported(backbone_type)
    fields = {
        k: v for k, v in config.items() if k not in ("architectures", "model_type", "auto_map")
    }
    backbone = AutoModelForCausalLM.from_config(AutoConfig.for_model(backbone_type, **fields))
    model = CometModel(backbone, _sizes(config, tensors))
    if getattr(backbone.config, "tie_word_embeddings", False):
        tensors.setdefault("language_model.lm_head.weight", embeddings)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise DamagedModel(
            f"The published checkpoint in {directory} is not whole: {error}"
        ) from error
    return model.float().eval().requires_grad_(False)


def import_published(directory: Path, target: Path) -> None:
    """Convert a published checkpoint to a directory that `load_model` takes: the backbone as
    Hugging Face files, the memory in `comet.safetensors`, the tokenizer's files as they are.

    Raises TargetExists, CannotWrite, and what `load_published` raises.
    """
    if target.exists():
        raise TargetExists(f"{target} exists already; give another --target, or remove it first.")
    model = load_published(directory)
    with whole_directory(target) as building:
        _write(model, directory, building)


def _write(model: CometModel, directory: Path, target: Path) -> None:
    model.language_model.save_pretrained(target)
    own = {k: v for k, v in model.state_dict().items() if not k.startswith("language_model.")}
    save_weights(target / WEIGHTS_FILE, Weights(own, model.config, 0, "."), torch.float32)
    for pattern in ("tokenizer*", "vocab.json", "merges.txt", "special_tokens_map.json", "*.jinja"):
        for file in directory.glob(pattern):
            shutil.copy2(file, target / file.name)


def _read_config(directory: Path) -> dict[str, Any]:
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"No published CoMeT checkpoint in {directory}: its config.json cannot be read; "
            "give the directory that holds config.json and the safetensors files."
        ) from error
    missing = FIELDS - config.keys()
    if "temp_beacon_id" not in config:
        raise ModelNotFound(
            f"{directory} holds no published CoMeT checkpoint (its config.json names no beacons); "
            "a bare language model needs no import: give its directory to --model."
        )
    if missing:
        raise DamagedModel(
            f"The config.json in {directory} lacks {', '.join(sorted(missing))}; download it again."
        )
    return config


def _read_tensors(directory: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    try:
        for path in sorted(directory.glob("model*.safetensors")):
            tensors |= load_file(path)
    except (OSError, SafetensorError) as error:
        raise DamagedModel(f"{path} cannot be read: {error}; download it again.") from error
    if "model.embed_tokens.weight" not in tensors:
        raise DamagedModel(f"The weights in {directory} are not whole; download them again.")
    return tensors


def _sizes(config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> CometConfig:
    adapter = tensors["memories.0.global_memory.adapter.down.weight"]
    return CometConfig(
        chunk_size=config["chunk_size"],
        stride=config["temp_beacon_stride"],
        global_rows=len(config["global_beacon_ids"]),
        temporary_rows=config["temp_mem_budget"],
        adapter_rank=adapter.shape[0],
    )


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        if pattern.match(name):
            return pattern.sub(replacement, name)
    raise DamagedModel(f"The published checkpoint has an unknown tensor '{name}'.")
