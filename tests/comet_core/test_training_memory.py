"""Memory in training, counted: checkpointed by chunk it grows with the state and not with the
activations, and it is what `comet_core.training.estimate` says.
"""

import weakref
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import torch
from comet_core_tiny import make_model
from peft.helpers import disable_input_dtype_casting
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM

from comet_core.config import CometConfig
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.training.estimate import arithmetic, footprint, reading_footprint, shape_of
from comet_core.training.objective import answer_loss
from comet_core.training.recipe import Recipe, Stage, load_recipe
from comet_core.training.samples import Asked, Reading, Sample

ROOT = Path(__file__).parents[2]


class Meter(TorchDispatchMode):
    """Counts the bytes of all tensors made under it: those alive now, and the most at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._seen: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage not in self._seen:
            self._seen[storage] = True
            self.live += storage.nbytes()
            weakref.finalize(storage, self._freed, storage.nbytes())

    def _freed(self, nbytes: int) -> None:
        self.live -= nbytes


REFUSAL = [1, 2, 3, 4, 5, 6, 7, 8]


def batch(chunks: int, size: int, vocabulary: int, tail: int = 0) -> list[Sample]:
    rng = Random(chunks)
    tokens = [rng.randrange(vocabulary) for _ in range(chunks * size + tail)]
    asked = Asked(tokens[:40], tokens[40:48], age=0)
    return [Sample(tokens, [asked, asked])]


def step(
    model: CometModel,
    samples: list[Sample],
    reading: Reading,
    checkpointed: bool,
    mixed: bool,
    gradient_chunks: int | None = None,
    together: bool = False,
) -> Meter:
    """Forward and backward of one training step, as the loop does it."""
    meter = Meter()
    with (
        meter,
        torch.autocast("cpu", torch.bfloat16, enabled=mixed),
        disable_input_dtype_casting(model.language_model, active=mixed),
    ):
        result = answer_loss(
            model,
            samples,
            reading,
            REFUSAL,
            checkpointed,
            gradient_chunks=gradient_chunks,
            together=together,
        )
    with meter:
        result.loss.backward()
    return meter


def test_checkpointed_memory_grows_with_the_state_alone() -> None:
    rows, groups, size = 3, 5, 32
    model = make_model(chunk_size=size, stride=8, global_rows=rows).requires_grad_(True)
    peaks: dict[bool, list[int]] = {}
    for checkpointed in (False, True):
        for chunks in (4, 8, 12):
            model.zero_grad(set_to_none=True)
            reading = Reading([size] * chunks, 0, temporary_rows=groups)
            meter = step(model, batch(chunks, size, 97), reading, checkpointed, mixed=False)
            peaks.setdefault(checkpointed, []).append(meter.peak)
    state = 3 * (rows + groups) * 32 * 4  # layers, rows, hidden size, float32
    whole, chunked = ([(b - a) / 4 for a, b in pairwise(p)] for p in peaks.values())
    assert chunked[0] == pytest.approx(chunked[1], rel=0.05)  # a line
    assert state <= chunked[1] <= 2 * state  # also the gate and the FIFO's tokens in int64
    assert whole[1] > 20 * state


@pytest.mark.parametrize("architecture", ["qwen3", "llama"])
@pytest.mark.parametrize("mixed", [True, False], ids=["bf16", "float32"])
@pytest.mark.parametrize(
    ("checkpointed", "graded", "tail", "texts"),
    [
        (True, None, 0, 1),
        (False, None, 0, 1),
        (False, 2, 0, 1),
        (False, None, 200, 1),
        (False, None, 0, 8),
    ],
    ids=["checkpointed", "whole", "truncated", "apart", "together"],
)
def test_the_estimate_is_what_is_measured(
    architecture, mixed, checkpointed, graded, tail, texts
) -> None:
    config = AutoConfig.for_model(
        architecture,
        vocab_size=300,
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
    )
    sizes = CometConfig(128, stride=8, global_rows=32, temporary_rows=64, tail_tokens=tail)
    together = float(texts > 1)
    stage = Stage(
        "s", [128], (4, 4), step_tokens=texts * 512, questions=2, gradient_chunks=graded,
        together=together,
    )  # fmt: skip
    recipe = Recipe(sizes, [stage], [], lora_rank=4, checkpoint_chunks=checkpointed)
    backbone = AutoModelForCausalLM.from_config(
        config, dtype=torch.bfloat16 if mixed else torch.float32
    )
    add_lora(backbone, recipe.lora_rank)
    model = CometModel(backbone, sizes)
    reading = Reading([128] * 4, tail, temporary_rows=64)
    samples = batch(4, 128, 300, tail) * texts
    meter = step(model, samples, reading, checkpointed, mixed, graded, texts > 1)
    trained = [p for p in model.parameters() if p.requires_grad]
    gradients = sum(p.nbytes for p in trained)  # counted among what is trained
    shape = shape_of(config, recipe)
    needs = reading_footprint(shape, recipe, stage, reading, width=2 if mixed else 4)
    measured = meter.peak - gradients
    assert needs.states + needs.activations + needs.gradients == pytest.approx(measured, rel=0.2)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert needs.weights == sum(p.nbytes for p in frozen)
    assert shape.trained == sum(p.numel() for p in trained)


@pytest.mark.parametrize("checkpointed", [True, False])
def test_the_arithmetic_is_what_is_counted(checkpointed: bool) -> None:
    config = AutoConfig.for_model(
        "llama",
        vocab_size=100,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
    )
    sizes = CometConfig(chunk_size=128, stride=8, global_rows=8, temporary_rows=32, adapter_rank=1)
    stage = Stage("s", [128], (4, 4), step_tokens=1)
    recipe = Recipe(sizes, [stage], [], lora_rank=1, checkpoint_chunks=checkpointed)
    backbone = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    add_lora(backbone, recipe.lora_rank)
    model = CometModel(backbone, sizes)
    tokens = [n % 100 for n in range(512)]
    reading = Reading([128] * 4, 0, temporary_rows=64)
    with FlopCounterMode(display=False) as counter:
        sample = Sample(tokens, [Asked(tokens[:4], tokens[4:6])])
        answer_loss(model, [sample], reading, [], checkpointed).loss.backward()
    counted = counter.get_total_flops() / len(tokens)
    assert arithmetic(shape_of(config, recipe), recipe, stage) == pytest.approx(counted, rel=0.15)


@pytest.mark.parametrize("path", sorted(ROOT.glob("recipes/*.toml")), ids=lambda path: path.stem)
def test_no_reading_that_is_drawn_takes_more_than_estimated(path: Path) -> None:
    recipe = load_recipe(path)
    config = AutoConfig.for_model("llama", max_position_embeddings=8192, num_hidden_layers=2)
    shape = shape_of(config, recipe)
    rng = Random(0)
    for stage in recipe.stages:
        limit = footprint(shape, recipe, stage).total
        for _ in range(300):
            reading = stage.reading(rng, recipe.sizes, shape.max_rows)
            needs = reading_footprint(shape, recipe, stage, reading).total
            assert needs <= 1.15 * limit, reading
