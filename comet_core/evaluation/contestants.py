"""Readers by name: which are compared, and the models they need, loaded.

    memory    CoMeT: answers from its memory
    nothing   the same model without any document; it learnt to decline then
    guess     its untouched backbone without any document: what can be guessed
    last      its untouched backbone with the end of the document, as much as the memory of the
              model can hold word for word, and at least 2,048 tokens
    window    its untouched backbone with the whole document, where that fits
    ceiling   the backbone fine-tuned with the whole document in its window, where that fits

The adapters of the ceiling are one safetensors file, `lora.safetensors`: LoRA tensors under the
names they have in a CoMeT checkpoint (`language_model. ...`), with `lora_rank` and the `backbone`'s
name in its metadata. It is asked in the format of training, without an instruction; the untouched
backbone in its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedModel

from comet_core.checkpoint import (
    SHIPPED,
    WEIGHTS_FILE,
    LoadedModel,
    backbone_directory,
    load_backbone,
    load_weights,
)
from comet_core.default_model import NAME
from comet_core.errors import CometError, DamagedModel
from comet_core.evaluation.forms import chat_form, training_form
from comet_core.evaluation.readers import MemoryReader, NothingReader, Reader, WindowReader
from comet_core.lora import add_lora
from comet_core.training.loop import LORA_FILE

NAMES = ("memory", "nothing", "guess", "last", "window", "ceiling")
UNTOUCHED = ("guess", "last", "window")
LAST_TOKENS = 2048
"""What the reader `last` sees of a document at least."""
BRIEFLY = "Answer with as few words as possible, taken from the text. "
"""What the untouched backbone is told before each question, so that exact match is fair to it."""
GUESS = "Answer with as few words as possible, and guess where you do not know. "
"""The same, where it has no document."""


class NoCeiling(CometError):
    """The fine-tuned reader was asked for, but not said where its weights are."""


def make_readers(
    names: Collection[str],
    loaded: LoadedModel,
    cache: Path,
    ceiling: Path | None = None,
    brief: bool = True,
) -> list[Reader]:
    """Readers of the given names, in the order of `NAMES`.

    cache: where models are kept. ceiling: the file of its adapters, or a directory with one.
    brief: whether the untouched backbone is told to answer briefly. Raises NoCeiling, and what
    loading a model raises.
    """
    if "ceiling" in names and ceiling is None:
        raise NoCeiling("The reader 'ceiling' needs its weights; name them with --ceiling.")
    made: list[Reader] = []
    if "memory" in names:
        made.append(MemoryReader(loaded))
    if "nothing" in names:
        made.append(NothingReader(loaded))
    if not {*UNTOUCHED, "ceiling"} & set(names):
        return made
    name, directory = _backbone_of(loaded, cache)
    if set(UNTOUCHED) & set(names):
        made += _untouched(names, name, directory, loaded, brief)
    if ceiling is not None and "ceiling" in names:
        path = ceiling / LORA_FILE if ceiling.is_dir() else ceiling
        tuned = _placed(load_tuned(path, name, directory), loaded)
        what = "the backbone, fine-tuned with the whole document in its window"
        about = {"what": what, "backbone": name, "weights": _digest(path)}
        form = training_form(loaded.prompt)
        made.append(WindowReader("ceiling", about, tuned, loaded.prompt, form))
    return made


def _untouched(
    names: Collection[str], name: str, directory: Path, loaded: LoadedModel, brief: bool
) -> list[Reader]:
    """Those of the readers that are the backbone as it is, asked in its own format."""
    backbone = _placed(load_backbone(directory, torch.float32), loaded)
    form = chat_form(loaded.prompt)
    about = {"what": "the untouched backbone, zero-shot", "backbone": name}
    config = loaded.model.config
    held = max(LAST_TOKENS, config.tail_tokens + config.chunk_size)
    tokens = {"guess": 0, "last": held, "window": None}
    return [
        WindowReader(
            reader, about, backbone, loaded.prompt, form, tokens[reader],
            (GUESS if reader == "guess" else BRIEFLY) if brief else "",
        )
        for reader in UNTOUCHED
        if reader in names
    ]  # fmt: skip


def _placed(backbone: PreTrainedModel, loaded: LoadedModel) -> PreTrainedModel:
    """A language model where a loaded model computes, in its dtype."""
    model: Any = backbone  # transformers types `to` too loosely to be called
    return model.to(device=loaded.model.device, dtype=loaded.model.dtype).eval()


def load_tuned(path: Path, name: str, directory: Path) -> PreTrainedModel:
    """The backbone `name` of a directory with the adapters of a file merged in, in float32.

    Raises DamagedModel if the file is not whole, or its adapters are those of another backbone.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            rank, trained_on = int(metadata["lora_rank"]), metadata["backbone"]
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DamagedModel(f"{path} holds no adapters of a backbone: {error}") from error
    if trained_on != name and Path(trained_on).resolve() != directory.resolve():
        raise DamagedModel(
            f"The adapters in {path} were trained on {trained_on}, and this model is on {name}; "
            "compare it with adapters of its own backbone."
        )
    backbone = load_backbone(directory, torch.float32)
    adapted = add_lora(backbone, rank)
    own = {
        f"language_model.{key}": tensor
        for key, tensor in backbone.state_dict().items()
        if "lora_" in key
    }
    if {key: t.shape for key, t in own.items()} != {key: t.shape for key, t in tensors.items()}:
        raise DamagedModel(f"The adapters in {path} do not fit the backbone {name}.")
    for key, tensor in tensors.items():
        own[key].copy_(tensor)
    return cast(PreTrainedModel, adapted.merge_and_unload())


def _backbone_of(loaded: LoadedModel, cache: Path) -> tuple[str, Path]:
    """The name of a loaded model's backbone and the directory it is in."""
    if loaded.spec.name == NAME:
        weights = SHIPPED / WEIGHTS_FILE
    else:
        weights = backbone_directory(loaded.spec.name, cache) / WEIGHTS_FILE
    name = load_weights(weights).backbone if weights.exists() else loaded.spec.name
    return name, backbone_directory(name, cache, weights)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
