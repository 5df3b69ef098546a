"""Fixtures for all tests: the shared data, and tiny random models that load in a moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parent.parent
TINY_TEXT = (
    "Emma Woodhouse, handsome, clever, and rich, with a comfortable home and happy disposition, "
    "seemed to unite some of the best blessings of existence; and had lived nearly twenty-one "
    "years in the world with very little to distress or vex her. "
)

LONGEST = ("test_default_model.py", "test_visit.py")

os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the processes that tests start
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)  # processes that tests start get it

hypothesis.settings.register_profile("unhurried", deadline=None)  # no test depends on time
hypothesis.settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no worker is left alone with it at the end."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data: COMET_SHARED, or `shared` beside the repository."""
    folder = Path(os.environ.get("COMET_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set COMET_SHARED to where it is")
    return folder


@pytest.fixture(scope="session")
def make_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A factory of folders with a random CoMeT model, another one for each seed.

    A two-layer Llama with its own byte-level tokenizer and chunks of 16 tokens; it talks nonsense.
    """
    return lambda seed: _save_tiny_model(tmp_path_factory.mktemp("tiny-model"), seed)


@pytest.fixture(scope="session")
def tiny_model(make_tiny_model: Callable[[int], Path]) -> Path:
    """The folder of one such model."""
    return make_tiny_model(0)


def _save_tiny_model(directory: Path, seed: int) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from comet_core.checkpoint import WEIGHTS_FILE, Weights, save_weights
    from comet_core.config import CometConfig
    from comet_core.model import CometModel

    tokenizer = _tiny_tokenizer()
    tokenizer.save_pretrained(directory)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=256,
                initializer_range=0.3,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
            )
        )
        backbone.save_pretrained(directory)
        config = CometConfig(
            chunk_size=16,
            stride=4,
            global_rows=4,
            temporary_rows=8,
            adapter_rank=2,
            volume_chunks=30,
            volumes=2,
        )
        model = CometModel(backbone, config)
        own = {name for name, _ in model.language_model.named_parameters(prefix="language_model")}
        tensors = {
            name: torch.randn_like(parameter) * 0.3
            for name, parameter in model.named_parameters()
            if name not in own
        }
    weights = Weights(tensors, config, lora_rank=0, backbone=".")
    save_weights(directory / WEIGHTS_FILE, weights, torch.float32)
    return directory


def _tiny_tokenizer():  # type: ignore[no-untyped-def]
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([TINY_TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>")
