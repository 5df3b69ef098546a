"""Models on disk: load one by name, save trained weights.

A CoMeT checkpoint is one safetensors file, `comet.safetensors`: adapters of the backbone, memory
networks and embeddings, with sizes and the backbone's name in its metadata. A model that holds a
tail may have weights of their own for it beside these, `tail.safetensors`, in the same format. The
one place in the core that loads models, but for `comet_core.published`.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from comet_core import default_model
from comet_core.backbone import check_supported
from comet_core.config import PROMPT_VERSION, CometConfig
from comet_core.device import Placement, choose_placement
from comet_core.errors import DamagedModel, ModelNotFound
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.prompt import PromptFormat

log = logging.getLogger(__name__)

WEIGHTS_FILE = "comet.safetensors"
TAIL_FILE = "tail.safetensors"
SHIPPED = Path(__file__).parent / "weights" / "smollm2-135m-instruct"
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]
ABOUT_THE_WRITER = {"transformers_version", "local_files_only", "is_local", "_name_or_path"}
"""In a model's configurations: of the software that wrote them and where, not of the model."""


@dataclass(frozen=True)
class ModelSpec:
    """What a loaded model is, in plain values.

    fingerprint: "comet1-" and 64 hex digits; a snapshot belongs to exactly one. parameters: of
    backbone and memory, those for tails alone left out. reason: why this device and dtype.
    """

    name: str
    fingerprint: str
    config: CometConfig
    trained: bool
    parameters: int
    device: str
    dtype: str
    reason: str


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to read and answer, with its tokens' format and what it is."""

    spec: ModelSpec
    model: CometModel
    prompt: PromptFormat


@dataclass(frozen=True)
class Weights:
    """A CoMeT checkpoint in memory: tensors by parameter name, sizes, rank of the adapters
    (0: none) and the backbone's name."""

    tensors: dict[str, torch.Tensor]
    config: CometConfig
    lora_rank: int
    backbone: str


def load_model(
    name: str | None = None,
    *,
    cache: Path,
    device: str | None = None,
    dtype: str | None = None,
) -> LoadedModel:
    """Load a model by name, ready to answer.

    name: None for the default model with the weights that ship; a directory with a CoMeT
    checkpoint; or a directory or hub id of a bare language model, whose memory is then untrained.
    Files that are there are never looked for on the network. Raises ModelNotFound, DamagedModel,
    UnsupportedBackbone, UnknownDevice, ChunkTooLong, or CannotWrite where the default model cannot
    be converted to `cache`.
    """
    disable_progress_bar()  # of transformers, for the blink that loading takes
    placement = choose_placement(device, dtype)
    title = name or default_model.NAME
    if title == default_model.NAME:
        directory, weights_path = None, SHIPPED / WEIGHTS_FILE
    else:
        directory = backbone_directory(title, cache)
        weights_path = directory / WEIGHTS_FILE
    weights = load_weights(weights_path) if weights_path.exists() else None
    if weights:
        directory = backbone_directory(weights.backbone, cache, weights_path)
    elif directory is None:
        raise DamagedModel(f"{weights_path} is missing; install Comet Reader again.")
    config = weights.config if weights else CometConfig()
    model = build_model(directory, weights, config, placement)
    tail_path = weights_path.with_name(TAIL_FILE)
    of_tail = load_weights(tail_path) if config.tail_tokens and tail_path.exists() else None
    prompt = PromptFormat(load_tokenizer(directory))
    paths = [*([weights_path] if weights else []), *([tail_path] if of_tail else [])]
    spec = ModelSpec(
        name=title,
        fingerprint=_fingerprint(directory, paths, config),
        config=config,
        trained=weights is not None,
        parameters=sum(p.numel() for p in model.parameters()),
        device=str(placement.device),
        dtype=str(placement.dtype).removeprefix("torch."),
        reason=placement.reason,
    )
    if of_tail:
        model.tail_model = build_model(directory, of_tail, config, placement)
    log.info("%s: %s", spec.name, spec.reason)
    if not spec.trained:
        log.warning("The memory of %s is untrained: it can be tried, but knows nothing.", spec.name)
    return LoadedModel(spec, model, prompt)


def build_model(
    directory: Path, weights: Weights | None, config: CometConfig, placement: Placement
) -> CometModel:
    """A model for inference, untrained where `weights` is None. Adapters are merged in float32."""
    rank = weights.lora_rank if weights else 0
    backbone = load_backbone(directory, torch.float32 if rank else placement.dtype)
    adapted = add_lora(backbone, rank) if rank else None
    with torch.random.fork_rng():
        torch.manual_seed(0)  # an untrained memory is the same one every time
        model = CometModel(backbone, config)
    if weights:
        assign(model, weights.tensors)
    if adapted is not None:
        adapted.merge_and_unload()
    return model.to(device=placement.device, dtype=placement.dtype).eval().requires_grad_(False)


def load_backbone(directory: Path, dtype: torch.dtype) -> PreTrainedModel:
    """The bare language model of a directory; raises UnsupportedBackbone or DamagedModel."""
    try:
        check_supported(AutoConfig.from_pretrained(directory).model_type)
        return AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise DamagedModel(
            f"The language model in {directory} cannot be loaded: {error}"
        ) from error


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer beside a language model; raises DamagedModel."""
    try:
        return AutoTokenizer.from_pretrained(directory)
    except (OSError, ValueError) as error:
        raise DamagedModel(f"The tokenizer in {directory} cannot be loaded: {error}") from error


def save_weights(path: Path, weights: Weights, dtype: torch.dtype = torch.bfloat16) -> None:
    """Write a CoMeT checkpoint, its tensors cast to `dtype`; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(
        {name: t.detach().to("cpu", dtype).contiguous() for name, t in weights.tensors.items()},
        partial,
        metadata={
            "format": "comet1",
            "config": json.dumps(weights.config.to_dict()),
            "lora_rank": str(weights.lora_rank),
            "backbone": weights.backbone,
        },
    )
    partial.chmod(0o644)  # the library writes what its owner alone can read
    partial.replace(path)


def load_weights(path: Path) -> Weights:
    """Read a CoMeT checkpoint; raises DamagedModel."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            return Weights(
                tensors={key: file.get_tensor(key) for key in file.keys()},  # noqa: SIM118
                config=CometConfig.from_dict(json.loads(metadata["config"])),
                lora_rank=int(metadata["lora_rank"]),
                backbone=metadata["backbone"],
            )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DamagedModel(f"{path} is not a whole CoMeT checkpoint: {error}") from error


def backbone_directory(name: str, cache: Path, weights_path: Path | None = None) -> Path:
    """The local directory of a backbone: the default one, the one its CoMeT weights are in ("."),
    any directory, or a hub id, which is downloaded only if it is not there. Raises ModelNotFound.
    """
    if name == default_model.NAME:
        return default_model.default_backbone(cache)
    if name == "." and weights_path is not None:
        return weights_path.parent
    return Path(name) if Path(name).is_dir() else _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            return Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFound(
            f"No model '{name}': it is no directory here and could not be had from the hub; "
            "give a directory, or a hub id while you are online."
        ) from error


def assign(model: CometModel, tensors: dict[str, torch.Tensor]) -> None:
    """Copy weights into a model by name; raises DamagedModel where one does not fit."""
    own = model.state_dict()
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            raise DamagedModel(
                f"The CoMeT weights do not fit their backbone at '{name}'; "
                "use the backbone they were trained with."
            )
        own[name].copy_(tensor)


def _fingerprint(directory: Path, weights: list[Path], config: CometConfig) -> str:
    """A hash over backbone weights, tokenizer, CoMeT weights, sizes and the prompt format."""
    total = hashlib.sha256(b"comet1\n")
    files = [*sorted(directory.glob("*.safetensors")), directory / "config.json"]
    for pattern in ("tokenizer*", "vocab*", "merges.txt", "added_tokens.json"):
        files += sorted(directory.glob(pattern))
    for path in [*files, *weights]:
        total.update(_digest(path))
    total.update(json.dumps([PROMPT_VERSION, config.to_dict()], sort_keys=True).encode())
    return f"comet1-{total.hexdigest()}"


def _digest(path: Path) -> bytes:
    """A hash of a file's content; of a configuration, of what it says of the model."""
    if path.name in ("config.json", "tokenizer_config.json"):
        said = json.loads(path.read_bytes())
        model = {key: value for key, value in said.items() if key not in ABOUT_THE_WRITER}
        return hashlib.sha256(json.dumps(model, sort_keys=True).encode()).digest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
