"""The training objective: cross-entropy of answers given from memory alone.

All questions of a text are asked of one reading of it. Knows nothing of tasks or optimizers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from comet_core.memory import Memory, select
from comet_core.model import CometModel
from comet_core.training.samples import Reading, Sample

IGNORED = -100


@dataclass(frozen=True)
class Objective:
    """loss: scalar, mean over answers of their mean token loss. right: (questions,) bool, every
    token of the answer the most likely one given those before it; in the order the samples list
    their questions.
    """

    loss: Tensor
    right: Tensor


def answer_loss(
    model: CometModel, samples: Sequence[Sample], reading: Reading, checkpointed: bool = False
) -> Objective:
    """Read the texts of a batch chunk by chunk, then ask all their questions.

    checkpointed: keep only the memory between chunks for the backward pass, and compute each
    chunk a second time; activation memory then grows with the state and not with the text.
    """
    memory = _read(model, samples, reading, checkpointed)
    owners = [i for i, sample in enumerate(samples) for _ in sample.asked]
    memory = select(memory, torch.tensor(owners, device=model.device))
    sequences, targets = [], []
    for sample in samples:
        tail = sample.tokens[reading.length - reading.tail :]
        for asked in sample.asked:
            known = [*tail, *asked.question]
            sequences.append(torch.tensor([*known, *asked.answer[:-1]]))
            targets.append(torch.tensor([IGNORED] * (len(known) - 1) + asked.answer))
    pad = torch.nn.utils.rnn.pad_sequence
    token_ids = pad(sequences, batch_first=True).to(model.device)
    labels = pad(targets, batch_first=True, padding_value=IGNORED).to(model.device)
    hidden = model.answer_hidden(model.prefix(memory), token_ids)
    wanted = labels != IGNORED
    logits = model.backbone.logits(hidden[wanted]).float()
    return _score(logits, labels, wanted)


def _score(logits: Tensor, labels: Tensor, wanted: Tensor) -> Objective:
    rows = wanted.nonzero()[:, 0]
    losses = cross_entropy(logits, labels[wanted], reduction="none")
    counts = wanted.sum(1)
    per_answer = torch.zeros(len(labels), device=losses.device).index_add(0, rows, losses) / counts
    wrong = torch.zeros_like(counts).index_add(
        0, rows, (logits.argmax(-1) != labels[wanted]).to(counts.dtype)
    )
    return Objective(per_answer.mean(), wrong == 0)


def _read(
    model: CometModel, samples: Sequence[Sample], reading: Reading, checkpointed: bool
) -> Memory:
    texts = torch.tensor([s.tokens for s in samples], device=model.device)
    memory = model.empty_memory(len(samples))
    begin = 0
    for length in reading.chunks:
        chunk = texts[:, begin : begin + length]
        begin += length

        def step(memory: Memory, chunk: Tensor = chunk) -> Memory:
            return model.read_chunk(memory, chunk, reading.temporary_rows).memory

        memory = checkpoint(step, memory, use_reentrant=False) if checkpointed else step(memory)
    return memory
