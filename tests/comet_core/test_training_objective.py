"""What is learned from: answers from memory alone, as they are given later, and their gradients."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
import torch
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from training_tiny import tokenize_text

import comet_core.model
from comet_core.memory import LayerState, MemoryState
from comet_core.model import CometModel
from comet_core.prefixes import Prefix, open_state
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.training.objective import answer_loss
from comet_core.training.samples import Asked, FactSampler, Reading, passages

PROMPT = PromptFormat(make_tokenizer(CONTROL))
REFUSAL = PROMPT.answer(NOT_IN_DOCUMENT)


@pytest.fixture(autouse=True, scope="module")
def _blocks() -> Iterator[None]:
    """Chunks, and questions side by side, of several blocks of rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comet_core.model, "CPU_BLOCK", 7)
        yield


def check_losses(
    model: CometModel, state: MemoryState, asked: list[Asked], losses: torch.Tensor
) -> None:
    """That the losses are those of the answers given from a state, one by one: where memory and
    tail are asked apart, of the tail's refusals as well.
    """
    prefix = open_state(model, state)
    for a, loss in zip(asked, losses, strict=True):
        if prefix.beside is None or (a.answerable and a.age < 0):
            expected = loss_of(model, prefix, a.question, a.answer)
        elif a.recited:
            expected = loss_of(model, prefix.beside, a.question, a.answer)
        else:
            refused = loss_of(model, prefix, a.question, REFUSAL)
            told = loss_of(model, prefix.beside, a.question, a.answer)
            expected = (refused + told) / 2
        torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)


def loss_of(model: CometModel, start: Prefix, question: list[int], answer: list[int]):
    ids = torch.tensor([question + answer[:-1]])
    hidden = model.answer_hidden(start.cache(), ids, start=start.held)[0]
    logits = model.backbone.logits(hidden)[len(question) - 1 :]
    return torch.nn.functional.cross_entropy(logits, torch.tensor(answer))


def test_training_learns_a_fixed_batch() -> None:
    model = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([60, 60], tail=10, temporary_rows=8)
    filler = [tokenize_text(PROMPT, "It rained. " * 60)]
    samples = [
        FactSampler(PROMPT, filler).sample(Random(n), reading, ["number"], 1, 1) for n in range(4)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        result = answer_loss(model, samples, reading, REFUSAL)
        losses.append(result.loss.item())
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("frozen_tail", [False, True])
@pytest.mark.parametrize("tail_tokens", [0, 30])
def test_training_asks_as_answering_does(tail_tokens: int, frozen_tail: bool) -> None:
    sizes = {"chunk_size": 64, "temporary_rows": 30, "tail_tokens": tail_tokens}
    model = make_model(vocabulary=len(PROMPT.tokenizer), **sizes)
    chunks = [64, 64]
    reading = Reading(chunks, tail=max(50, tail_tokens), temporary_rows=30)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    sample = sampler.sample(Random(1), reading, ["name"], 3, 3)
    of_memory, of_tail, of_neither = sample.asked
    sample.asked[:] = [
        replace(of_memory, age=1),
        replace(of_tail, age=-1),
        replace(of_neither, answer=REFUSAL, age=-1, answerable=False),
    ]
    sample.asked.extend(passages(Random(1), sample.tokens, reading, 3))
    losses = answer_loss(model, [sample], reading, REFUSAL, frozen_tail=frozen_tail).losses
    read, tail = sample.tokens[: sum(chunks)], tuple(sample.tokens[sum(chunks) :])
    memory = model.empty_memory()
    for chunk in torch.tensor([read]).split(chunks, dim=1):
        memory = model.read_chunk(memory, chunk).memory
    check_losses(model, MemoryState(memory, tail), sample.asked, losses)


@pytest.mark.parametrize("tail", [0, 50])
def test_asked_together_all_fifos_are_one(tail: int) -> None:
    model = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([64, 40], tail, temporary_rows=30)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    samples = [sampler.sample(Random(n), reading, ["name"], 2, 2, part="read") for n in range(3)]
    result = answer_loss(model, samples, reading, REFUSAL, together=True)
    apart = answer_loss(model, samples, reading, REFUSAL)
    assert not torch.isclose(result.losses[:4], apart.losses[:4]).any()  # of the first two texts

    memories = []
    for sample in samples:
        memory = model.empty_memory()
        for chunk in torch.tensor([sample.tokens[:104]]).split([64, 40], dim=1):
            memory = model.read_chunk(memory, chunk, temporary_rows=30).memory
        memories.append(memory)
    one = tuple(
        LayerState(layers[-1].global_state, torch.cat([layer.temporary for layer in layers], 1))
        for layers in zip(*memories, strict=True)
    )
    assert one[0].temporary.shape[1] == 3 * 26
    state = MemoryState(one, tuple(samples[-1].tokens[104:]))
    check_losses(model, state, [a for s in samples for a in s.asked], result.losses)


def test_asked_of_the_global_memory_alone_no_fifo_tells() -> None:
    model = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([64, 40], tail=0, temporary_rows=30)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    sample = sampler.sample(Random(1), reading, ["name"], 2, 2, part="read")
    result = answer_loss(model, [sample], reading, REFUSAL, global_alone=True)

    memory = model.empty_memory()
    for chunk in torch.tensor([sample.tokens]).split([64, 40], dim=1):
        memory = model.read_chunk(memory, chunk, temporary_rows=30).memory
    alone = tuple(LayerState(m.global_state, m.temporary[:, :0]) for m in memory)
    check_losses(model, MemoryState(alone), sample.asked, result.losses)
    assert not torch.isclose(
        result.losses, answer_loss(model, [sample], reading, REFUSAL).losses
    ).any()


def test_checkpointed_gradients_are_the_same() -> None:
    model = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([64, 40, 64], tail=5, temporary_rows=8)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    samples = [sampler.sample(Random(n), reading, ["name"], 1, 1) for n in range(2)]
    gradients = []
    for checkpointed in (False, True):
        model.zero_grad()
        answer_loss(model, samples, reading, REFUSAL, checkpointed).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("chunks", [[64, 40], []], ids=["memory", "no memory"])
def test_a_frozen_tail_has_gradients_only_through_the_memory(chunks: list[int]) -> None:
    model = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading(chunks, tail=50, temporary_rows=30)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    samples = [sampler.sample(Random(n), reading, ["name"], 1, 1) for n in range(2)]
    losses, gradients = [], []
    for frozen in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):  # which keeps copies of weights
            losses.append(answer_loss(model, samples, reading, REFUSAL, frozen_tail=frozen).loss)
        losses[-1].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(losses[1], losses[0], atol=1e-4, rtol=1e-4)
    asked = "language_model.model.layers.0.self_attn.q_proj.weight"
    assert all(g[asked].abs().sum() > 0 for g in gradients)
    for name in ("memories.0.temporary_memory.norm.weight", "readout_embedding"):
        assert all((g[name] is not None) == bool(chunks) for g in gradients)
    assert any((g != gradients[1][name]).any() for name, g in gradients[0].items() if g is not None)


def test_gradients_go_through_the_last_chunks_alone() -> None:
    model = make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([64, 40, 64], tail=5, temporary_rows=30)
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    samples = [sampler.sample(Random(n), reading, ["name"], 1, 1) for n in range(2)]
    losses, gradients = {}, {}
    for chunks in (None, 9, 3, 2, 0):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):  # which keeps copies of weights
            losses[chunks] = answer_loss(
                model, samples, reading, REFUSAL, gradient_chunks=chunks
            ).loss
        losses[chunks].backward()
        gradients[chunks] = {name: p.grad for name, p in model.named_parameters()}
    whole = gradients[None]
    for chunks, found in gradients.items():
        torch.testing.assert_close(losses[chunks], losses[None], atol=1e-4, rtol=1e-4)
        same = all(
            torch.allclose(g, found[name], atol=1e-6)
            for name, g in whole.items()
            if g is not None and found[name] is not None
        )
        assert same == (chunks in (None, 9, 3))
    read = "readout_embedding"  # of what chunks read, and of nothing else
    assert gradients[0][read] is None and gradients[2][read].abs().sum() > 0
