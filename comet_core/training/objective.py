"""The training objectives: cross-entropy of answers given from memory alone, and, to compare a
memory with, of answers given with the whole text in the window.

All questions of a text are asked of one reading of it. Knows nothing of tasks or optimizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from comet_core.config import NO_COMPRESSION
from comet_core.layout import branched_layout, side_by_side
from comet_core.memory import Memory, joined, select, without_temporary
from comet_core.model import CometModel, attention_mask
from comet_core.training.samples import Reading, Sample

IGNORED = -100
Branches = list[list[Tensor]]
"""Of every text the questions behind it, with their answers: (n,) int64 token ids each."""


@dataclass(frozen=True)
class Objective:
    """Of every answer, in the order the samples list their questions: losses, (questions,), the
    mean over its tokens; right, (questions,) bool, every token the most likely one given those
    before it.
    """

    losses: Tensor
    right: Tensor

    @property
    def loss(self) -> Tensor:
        """What is minimized: the mean over answers, a scalar."""
        return self.losses.mean()


def answer_loss(
    model: CometModel,
    samples: Sequence[Sample],
    reading: Reading,
    refusal: list[int],
    checkpointed: bool = False,
    frozen_tail: bool = False,
    gradient_chunks: int | None = None,
    together: bool = False,
    global_alone: bool = False,
) -> Objective:
    """Read the texts of a batch chunk by chunk, then ask all their questions.

    refusal: the tokens of an answer that says it is not in the document.
    checkpointed: keep only the memory between chunks for the backward pass, and compute each
    chunk a second time; activation memory then grows with the state and not with the text.
    frozen_tail: no gradients through the tail's own rows.
    gradient_chunks: gradients only through so many last chunks (truncated backpropagation through
    time), where not through all.
    together: ask all of one memory, that of the last text (and its tail) with the FIFOs of the
    others before its own; what those tell is then in no global memory.
    global_alone: ask with empty FIFOs.
    """
    texts = torch.tensor([s.tokens for s in samples], device=model.device)
    read, tail = texts.split([reading.length - reading.tail, reading.tail], dim=1)
    memory = _read(model, read, reading, checkpointed, gradient_chunks)
    if together:
        memory, tail = joined(memory), tail[-1:]
        samples = [sample for sample in samples if sample.asked]
    if global_alone:
        memory = without_temporary(memory)
    if model.config.tail_tokens and reading.chunks and reading.tail:
        return _ask_apart(model, memory, tail, samples, refusal, frozen_tail)
    return _ask_behind(model, memory, tail, samples, frozen_tail)


def _ask_apart(
    model: CometModel,
    memory: Memory,
    tail: Tensor,
    samples: Sequence[Sample],
    refusal: list[int],
    frozen_tail: bool,
) -> Objective:
    """Ask as `comet_core.prefixes.open_state` has it: the tail by itself, which has to refuse what
    it does not tell, and the memory by itself. Of an answer the mean over both is its loss.
    """
    asked = [(row, a) for row, sample in enumerate(samples) for a in sample.asked]
    of_tail = {
        i: (row, a if a.age < 0 else replace(a, answer=refusal))
        for i, (row, a) in enumerate(asked)
        if a.age < 0 or not a.recited
    }
    of_memory = {i: (row, a) for i, (row, a) in enumerate(asked) if a.age >= 0 or not a.answerable}
    losses = torch.zeros(len(asked), device=model.device)
    wrong, times = torch.zeros_like(losses), torch.zeros_like(losses)
    for held, text, part in (
        (model.empty_memory(len(tail)), tail, of_tail),
        (memory, tail[:, :0], of_memory),
    ):
        if not part:
            continue
        rows = sorted({row for row, _ in part.values()})
        chosen = [Sample([], [a for own, a in part.values() if own == row]) for row in rows]
        if len(text) > 1:  # not all of one memory
            index = torch.tensor(rows, device=model.device)
            held, text = select(held, index), text[index]
        told = _ask_behind(model, held, text, chosen, frozen_tail)
        numbers = torch.tensor(list(part), device=model.device)
        losses = losses.index_add(0, numbers, told.losses)
        wrong = wrong.index_add(0, numbers, (~told.right).to(wrong.dtype))
        times = times.index_add(0, numbers, torch.ones_like(told.losses))
    return Objective(losses / times, wrong == 0)


def _ask_behind(
    model: CometModel, memory: Memory, tail: Tensor, samples: Sequence[Sample], frozen_tail: bool
) -> Objective:
    """Ask all questions behind a memory and a tail (B, n), which may be empty; of one memory those
    of every sample in a row of their own, which takes less than all in one.
    """
    cache = model.prefix(memory)
    held = tail.shape[1]
    if held:
        _open_tail(model, cache, tail, frozen_tail)
    if len(samples) > len(tail):
        cache.batch_repeat_interleave(len(samples))
    return _ask(
        model,
        samples,
        lambda branches: model.branches_hidden(cache, branches, held),
        model.backbone.logits,
    )


def _open_tail(model: CometModel, cache: DynamicCache, tail: Tensor, frozen: bool) -> None:
    """Put the rows of a tail (B, n) behind those of the memory."""
    if not frozen:
        model.answer_hidden(cache, tail)
        return
    layers: list[Any] = cache.layers
    memory = [(layer.keys, layer.values) for layer in layers]
    with torch.no_grad():
        model.answer_hidden(cache, tail)
    torch.clear_autocast_cache()  # it holds copies of the weights that have no gradients either
    for layer, (keys, values) in zip(layers, memory, strict=bool(memory)):
        rows = keys.shape[2]
        layer.keys = torch.cat([keys, layer.keys[:, :, rows:]], dim=2)
        layer.values = torch.cat([values, layer.values[:, :, rows:]], dim=2)


def window_loss(model: CometModel, samples: Sequence[Sample]) -> Objective:
    """Ask all questions with the whole text in the window: full attention, no memory at all."""
    decoder = model.language_model.model
    cache = DynamicCache()
    texts = torch.tensor([s.tokens for s in samples], device=model.device)
    decoder(texts, past_key_values=cache)

    def run(branches: Branches) -> Tensor:
        layouts = [branched_layout([len(b) for b in asked], NO_COMPRESSION) for asked in branches]
        place, branch = (order.to(model.device) for order in side_by_side(layouts))
        past = texts.shape[1]
        questions = pad_sequence([torch.cat(asked) for asked in branches], batch_first=True)
        hidden = decoder(
            questions.to(model.device),
            attention_mask=attention_mask(past, place, branch, model.dtype),
            position_ids=past + place,
            past_key_values=cache,
        ).last_hidden_state
        return hidden[branch >= 0]

    return _ask(model, samples, run, model.language_model.lm_head)


def _ask(
    model: CometModel,
    samples: Sequence[Sample],
    run: Callable[[Branches], Tensor],
    head: Callable[[Tensor], Tensor],
) -> Objective:
    """Ask all questions of a text side by side behind it, so that its rows are held once.

    run: the questions of every text, with their answers -> hidden states (tokens, d); head: hidden
    states (..., d) -> logits.
    """
    branches = [[torch.tensor([*a.question, *a.answer[:-1]]) for a in s.asked] for s in samples]
    asked = [a for sample in samples for a in sample.asked]
    labels = [torch.tensor([IGNORED] * (len(a.question) - 1) + a.answer) for a in asked]
    wanted = torch.cat(labels) != IGNORED
    hidden = run(branches)[wanted.to(model.device)]
    padded = pad_sequence(labels, batch_first=True, padding_value=IGNORED)
    return _score(head(hidden).float(), padded.to(model.device))


def _score(logits: Tensor, labels: Tensor) -> Objective:
    """logits: (tokens, vocabulary) of all answers; labels: (questions, n)."""
    wanted = labels != IGNORED
    rows = wanted.nonzero()[:, 0]
    losses = cross_entropy(logits, labels[wanted], reduction="none")
    counts = wanted.sum(1)
    per_answer = torch.zeros(len(labels), device=losses.device).index_add(0, rows, losses) / counts
    wrong = torch.zeros_like(counts).index_add(
        0, rows, (logits.argmax(-1) != labels[wanted]).to(counts.dtype)
    )
    return Objective(per_answer, wrong == 0)


def _read(
    model: CometModel,
    texts: Tensor,
    reading: Reading,
    checkpointed: bool,
    gradient_chunks: int | None,
) -> Memory:
    memory = model.empty_memory(len(texts))
    chunks = texts.split(reading.chunks, dim=1)
    first = 0 if gradient_chunks is None else max(0, len(chunks) - gradient_chunks)
    with torch.no_grad():
        for chunk in chunks[:first]:
            memory = model.read_chunk(memory, chunk, reading.temporary_rows).memory
    torch.clear_autocast_cache()  # it holds copies of the weights that have no gradients either
    for chunk in chunks[first:]:

        def step(memory: Memory, chunk: Tensor = chunk) -> Memory:
            return model.read_chunk(memory, chunk, reading.temporary_rows).memory

        memory = checkpoint(step, memory, use_reentrant=False) if checkpointed else step(memory)
    return memory
