"""What a stage of a recipe takes to train: bytes at the peak of a step, and arithmetic a token.

Counted from the backbone's configuration alone, for fused attention, adapters and memory in
float32 beside a frozen backbone, which is how the loop trains on a GPU. docs/training.md explains
the terms. Knows nothing of files.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig

from comet_core.config import CometConfig
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.training.recipe import Recipe, Stage, free_rows
from comet_core.training.samples import CUE, PASSAGE

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
    """The largest footprint of the readings a stage draws.

    width: bytes of a number of the backbone, 2 for bf16.
    """
    readings = [
        _footprint(shape, recipe, stage, size, count, width)
        for size in set(stage.chunk_sizes)
        for count in range(stage.chunks[0], stage.chunks[1] + 1)
    ]
    return max(readings, key=lambda reading: reading.total)


def _footprint(
    shape: Shape, recipe: Recipe, stage: Stage, size: int, count: int, width: int
) -> Footprint:
    unread = _tail(stage, size)
    texts = max(1, stage.step_tokens // (size * count + unread))
    questions = texts * stage.questions
    *before, after = _memory_rows(recipe.sizes, stage, size, count, shape.max_rows)
    before = before[count - _graded(stage, count) :]
    live = size + -(-size // recipe.sizes.stride) + recipe.sizes.global_rows
    row, key, memory_row = _activations(shape, recipe.lora_rank, width)
    tail = unread + unread // recipe.sizes.answering_stride
    chunks = [
        texts * shape.layers * (row * live + key * (live + memory) + memory_row * memory)
        for memory in before
    ]
    recited = texts * stage.passages
    asked = questions * QUESTION_TOKENS + recited * PASSAGE
    asking = row * asked + key * (asked + texts * (after + tail))
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
        activations=max([*chunks[-1:], answers]) if one_at_a_time else sum(chunks) + answers,
        gradients=max(chunks, default=0) // shape.layers,
    )


def _graded(stage: Stage, count: int) -> int:
    """How many of so many chunks have gradients."""
    return count if stage.gradient_chunks is None else min(count, stage.gradient_chunks)


def _tail(stage: Stage, size: int) -> int:
    """Tokens of the longest tail; that of less than half a chunk is left out."""
    if stage.tail is not None:
        return stage.tail[1]
    return size if stage.asked_of == "tail" else 0


def _memory_rows(
    sizes: CometConfig, stage: Stage, size: int, count: int, max_rows: int
) -> list[int]:
    """Rows of the memory before each chunk, and after the last one."""
    groups = -(-size // sizes.stride)
    limit = min(
        max(groups, round(stage.temporary_share[1] * size * count / sizes.stride)),
        free_rows(stage, size, sizes, max_rows),
    )
    return [0, *(sizes.global_rows + min(limit, groups * read) for read in range(1, count + 1))]


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
    """Floating point operations to train on one token of text, in the longest reading of a stage.

    Forward, backward to activations, and the second forward of checkpointing count alike; weights
    are frozen, so their gradients cost nothing.
    """
    size, count = max(stage.chunk_sizes), stage.chunks[1]
    memory = _memory_rows(recipe.sizes, stage, size, count, shape.max_rows)[-1]
    live = size + -(-size // recipe.sizes.stride) + recipe.sizes.global_rows
    linear = 2 * shape.linear * live
    attention = 4 * shape.layers * shape.query * live * (memory + live / 2)
    forward = (linear + attention) / size
    backward = 2 if recipe.checkpoint_chunks else 1
    graded = _graded(stage, count) / count if count else 1
    return forward * (1 + backward * graded)
