"""What a stage of a recipe takes to train: bytes at the peak of a step, and arithmetic a token.

Counted from the backbone's configuration alone, for fused attention, adapters and memory in
float32 beside a frozen backbone, which is how the loop trains on a GPU. docs/training.md explains
the terms. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from itertools import accumulate

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from comet_core.config import CometConfig
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.training.recipe import Recipe, Stage
from comet_core.training.samples import CUE, PASSAGE, Reading

QUESTION_TOKENS = 48  # of a question with its answer, the tokens of the prompt format included
ANSWER_TOKENS = 8
FLOAT32 = 4


@dataclass(frozen=True)
class Footprint:
    """Bytes of a training step at its peak, by what they hold.

    weights: the frozen backbone. trained: adapters and memory networks, with gradients, moments
    and mean. states: the memory between chunks. activations: what layers keep for the backward
    pass: all chunks and answers, or, with checkpoint_chunks, the larger of one chunk and the
    answers. gradients: of one layer's activations.
    """

    weights: int
    trained: int
    states: int
    activations: int
    gradients: int

    @property
    def total(self) -> int:
        return sum(astuple(self))


@dataclass(frozen=True)
class Shape:
    """The numbers of a backbone that memory and arithmetic depend on."""

    hidden: int
    feed_forward: int
    layers: int
    query: int
    key: int
    vocabulary: int
    normed_heads: bool
    max_rows: int
    frozen: int
    trained: int
    linear: int
    """Parameters a token is multiplied with: all but the embeddings."""


def shape_of(config: PreTrainedConfig, recipe: Recipe) -> Shape:
    """The shape of a backbone with the recipe's adapters and memory; no weight is made."""
    with torch.device("meta"):
        backbone = AutoModelForCausalLM.from_config(config)
        embeddings = backbone.get_input_embeddings().weight.numel()
        head = backbone.get_output_embeddings().weight.numel()
        tied = backbone.get_input_embeddings().weight is backbone.get_output_embeddings().weight
        frozen = sum(p.numel() for p in backbone.parameters())
        attention = backbone.model.layers[0].self_attn
        add_lora(backbone, recipe.lora_rank)
        model = CometModel(backbone, recipe.sizes)
    return Shape(
        hidden=config.hidden_size,
        feed_forward=config.intermediate_size,
        layers=config.num_hidden_layers,
        query=config.num_attention_heads * attention.head_dim,
        key=config.num_key_value_heads * attention.head_dim,
        vocabulary=config.vocab_size,
        normed_heads=hasattr(attention, "k_norm"),
        max_rows=model.backbone.max_rows,
        frozen=frozen,
        trained=sum(p.numel() for p in model.parameters() if p.requires_grad),
        linear=frozen - embeddings - (0 if tied else head),
    )


def footprint(shape: Shape, recipe: Recipe, stage: Stage, width: int = 2) -> Footprint:
    """The largest footprint of the readings a stage draws, to about a tenth: between those that are
    looked at some hold one text more.

    width: bytes of a number of the backbone, 2 for bf16.
    """
    readings = stage.corners(recipe.sizes, shape.max_rows)
    needs = (reading_footprint(shape, recipe, stage, reading, width) for reading in readings)
    return max(needs, key=lambda need: need.total)


def reading_footprint(
    shape: Shape, recipe: Recipe, stage: Stage, reading: Reading, width: int = 2
) -> Footprint:
    """The footprint of one reading of a stage."""
    texts = stage.texts(reading)
    questions = texts * stage.questions
    if recipe.sizes.tail_tokens and reading.tail and reading.chunks and stage.asked_of != "tail":
        questions *= 2  # of the tail and of the memory, apart
    *before, after = _memory_rows(recipe.sizes, reading)
    row, key, memory_row = _activations(shape, recipe.lora_rank, width)
    tail = reading.tail + reading.tail // recipe.sizes.answering_stride
    graded = slice(len(reading.chunks) - _graded(stage, len(reading.chunks)), None)
    before = before[graded]
    chunks = [
        texts * shape.layers * (row * live + key * (live + memory) + memory_row * memory)
        for live, memory in zip(_live(recipe.sizes, reading)[graded], before, strict=True)
    ]
    begin, stop = reading.part(stage.asked_of)
    recited = texts * min(stage.passages, -(-(stop - begin) // PASSAGE))
    asked = questions * QUESTION_TOKENS + recited * PASSAGE
    seen = recipe.sizes.global_rows + texts * (after - recipe.sizes.global_rows)  # if together
    asking = row * asked + key * (asked + texts * ((seen if stage.together else after) + tail))
    held = texts * tail * (key if stage.frozen_tail else row + key)
    answers = shape.layers * (asking + held + texts * memory_row * after)
    answered = questions * ANSWER_TOKENS + recited * (PASSAGE - CUE)
    answers += answered * shape.vocabulary * (width + 3 * FLOAT32)
    one_at_a_time = recipe.checkpoint_chunks
    copies = width if width < FLOAT32 else 0  # the adapters, cast once a step
    return Footprint(
        weights=shape.frozen * width,
        trained=shape.trained * (5 * FLOAT32 + copies),
        states=texts * shape.layers * shape.hidden * FLOAT32 * (sum(before) + after),
        activations=max([*chunks, answers]) if one_at_a_time else sum(chunks) + answers,
        gradients=max(chunks, default=0) // shape.layers,
    )


def _graded(stage: Stage, count: int) -> int:
    """How many of so many chunks have gradients."""
    return count if stage.gradient_chunks is None else min(count, stage.gradient_chunks)


def _live(sizes: CometConfig, reading: Reading) -> list[int]:
    """Live rows of each chunk."""
    return [size + -(-size // sizes.stride) + sizes.global_rows for size in reading.chunks]


def _memory_rows(sizes: CometConfig, reading: Reading) -> list[int]:
    """Rows of the memory before each chunk, and after the last one."""
    compressed = accumulate(-(-size // sizes.stride) for size in reading.chunks)
    return [0, *(sizes.global_rows + min(reading.temporary_rows, rows) for rows in compressed)]


def _activations(shape: Shape, rank: int, width: int) -> tuple[int, int, int]:
    """Bytes one layer keeps for its backward pass: a live row, a key and value, a memory row."""
    d, f, q, k = shape.hidden, shape.feed_forward, shape.query, shape.key
    heads = FLOAT32 * (q + k) if shape.normed_heads else 0
    norms = 2 * FLOAT32 * d
    inputs = width * (3 * d + 2 * q + 4 * f + 7 * rank)
    row = norms + heads + inputs + width * q
    key_row = 2 * width * (q + k)
    memory_row = FLOAT32 * 3 * d + width * d + (FLOAT32 * k if shape.normed_heads else 0)
    return row, key_row, memory_row


def arithmetic(shape: Shape, recipe: Recipe, stage: Stage) -> float:
    """Floating point operations to train on one token of text, in the longest reading of a stage;
    its tail is left out, unless it is all there is.

    Backward takes what forward does, since weights are frozen, but twice as much in attention,
    which has two operands. Adapters and memory networks are left out.
    """
    longest = max(
        stage.corners(recipe.sizes, shape.max_rows), key=lambda r: (sum(r.chunks), r.tail)
    )
    reading = replace(longest, chunks=longest.chunks or [longest.tail])
    live, before = _live(recipe.sizes, reading), _memory_rows(recipe.sizes, reading)[:-1]
    linear = 2 * shape.linear * sum(live)
    pairs = sum(n * (memory + n / 2) for n, memory in zip(live, before, strict=True))
    attention = 4 * shape.layers * shape.query * pairs
    forward = linear + attention
    backward = linear + 2 * attention + (forward if recipe.checkpoint_chunks else 0)
    graded = _graded(stage, len(live)) / len(live)
    return (forward + backward * graded) / sum(reading.chunks)
