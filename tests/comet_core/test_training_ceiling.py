"""What a memory is compared with: the same samples, with the whole text in the window."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from torch.nn.functional import cross_entropy
from training_tiny import RECIPE, write_data

from comet_core.checkpoint import assign, load_backbone, load_weights
from comet_core.evaluation.contestants import load_tuned
from comet_core.lora import add_lora
from comet_core.model import CometModel
from comet_core.prompt import PromptFormat
from comet_core.training.checkpoint import OtherRun
from comet_core.training.data import QADocument, tokenize
from comet_core.training.loop import LORA_FILE, Trainer
from comet_core.training.objective import Objective, answer_loss, window_loss
from comet_core.training.recipe import BadRecipe, load_recipe
from comet_core.training.run import open_run
from comet_core.training.samples import FactSampler, Reading, Sample

PROMPT = PromptFormat(make_tokenizer(CONTROL))
READING = Reading([60, 33, 64], tail=11, temporary_rows=20)


@pytest.fixture(scope="module")
def model() -> CometModel:
    return make_model(vocabulary=len(PROMPT.tokenizer), chunk_size=64)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    sampler = FactSampler(PROMPT, [tokenize(QADocument("x", ("It rained. " * 60,), ()), PROMPT)])
    return [sampler.sample(Random(n), READING, ["name"], n + 1, 2, 0.3) for n in range(3)]


def one_by_one(
    samples: list[Sample], logits_of: Callable[[Sample, list[int]], torch.Tensor]
) -> tuple[float, list[bool]]:
    """Loss and right answers, each question by itself; logits_of gives those of the last tokens."""
    losses, right = [], []
    for sample in samples:
        for asked in sample.asked:
            logits = logits_of(sample, [*asked.question, *asked.answer[:-1]])[-len(asked.answer) :]
            answer = torch.tensor(asked.answer)
            losses.append(cross_entropy(logits, answer).item())
            right.append(bool((logits.argmax(-1) == answer).all()))
    return sum(losses) / len(losses), right


def same(found: Objective, expected: tuple[float, list[bool]]) -> None:
    assert found.loss.item() == pytest.approx(expected[0], rel=1e-4)
    assert found.right.tolist() == expected[1]


def test_a_ceiling_is_asked_with_the_whole_text_in_its_window(model, samples) -> None:
    def logits(sample: Sample, tokens: list[int]) -> torch.Tensor:
        return model.language_model(torch.tensor([sample.tokens + tokens])).logits[0]

    same(window_loss(model, samples), one_by_one(samples, logits))


def test_a_memory_is_asked_behind_the_tail(model, samples) -> None:
    def logits(sample: Sample, tokens: list[int]) -> torch.Tensor:
        memory, begin = model.empty_memory(), 0
        for length in READING.chunks:
            chunk = torch.tensor([sample.tokens[begin : begin + length]])
            memory = model.read_chunk(memory, chunk, READING.temporary_rows).memory
            begin += length
        last = torch.tensor([sample.tokens[begin:] + tokens])
        return model.backbone.logits(model.answer_hidden(model.prefix(memory), last))[0]

    same(answer_loss(model, samples, READING, []), one_by_one(samples, logits))


@pytest.fixture
def open_trainer(tmp_path: Path, tiny_model: Path) -> Callable[..., Trainer]:
    write_data(tmp_path / "data")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = replace(load_recipe(tmp_path / "recipe.toml"), backbone=str(tiny_model))
    recipe = replace(recipe, stages=[replace(s, chunks=(1, 2)) for s in recipe.stages])
    config = json.loads((tiny_model / "config.json").read_text())
    longer = tmp_path / "longer"  # the tiny model, with a window that holds the texts
    longer.mkdir()
    for file in tiny_model.iterdir():
        (longer / file.name).write_bytes(file.read_bytes())
    (longer / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 1024}))

    def open_(name: str, of: str | None = None, backbone: Path = longer) -> Trainer:
        return open_run(
            recipe=replace(recipe, backbone=str(backbone)),
            data=tmp_path / "data",
            directory=tmp_path / name,
            cache=tmp_path,
            ceiling_of=tmp_path / of if of else None,
            device="cpu",
            dtype="float32",
        )

    return open_


def test_a_ceiling_takes_the_steps_of_its_run(open_trainer, tmp_path: Path) -> None:
    memory = list(open_trainer("memory").run())
    first = open_trainer("ceiling", of="memory")
    assert first.steps_left == len(memory) == 8
    steps = [next(first.run())]
    first.save()
    ceiling = open_trainer("ceiling", of="memory")
    assert ceiling.steps_left == 7
    steps += ceiling.run()
    assert ceiling.finished and ceiling.steps_left == 0

    def drawn(r):
        return r.step, r.stage, r.task, r.tokens, {a: n for a, (_, n) in r.ages.items()}

    assert list(map(drawn, steps)) == list(map(drawn, memory))
    assert [s.loss for s in steps] != [s.loss for s in memory]

    path = ceiling.weights
    weights = load_weights(path)
    assert path == tmp_path / "ceiling" / LORA_FILE
    assert weights.lora_rank == 2 and weights.backbone == str(tmp_path / "longer")
    assert all(n.startswith("language_model.") and "lora_" in n for n in weights.tensors)
    bare = load_backbone(tmp_path / "longer", torch.float32)
    tuned = load_tuned(path, str(tmp_path / "longer"), tmp_path / "longer")
    ids = torch.arange(20)[None]
    moved = (tuned(ids).logits - bare(ids).logits).abs().max()
    trained = load_backbone(tmp_path / "longer", torch.float32)
    adapted = add_lora(trained, 2)
    assign(CometModel(trained, weights.config), weights.tensors)
    torch.testing.assert_close(adapted(ids).logits, tuned(ids).logits, atol=1e-3, rtol=1e-3)
    assert moved > 0.1


def test_a_run_is_not_gone_on_with_as_another(open_trainer) -> None:
    with pytest.raises(BadRecipe, match="is not of a run of this recipe"):
        open_trainer("ceiling", of="nothing")
    trainer = open_trainer("memory")
    list(trainer.run(max_minutes=0))
    later = open_trainer("later").metrics
    later.write_text(trainer.metrics.read_text().replace('"step": 0', '"step": 480'))
    with pytest.raises(BadRecipe, match="from the first on"):
        open_trainer("ceiling", of="later")
    with pytest.raises(OtherRun, match="another --run"):
        open_trainer("memory", of="memory")


def test_texts_must_fit_in_the_window_of_a_ceiling(open_trainer, tiny_model: Path) -> None:
    list(open_trainer("memory").run(max_minutes=0))
    with pytest.raises(BadRecipe, match="window of 256 tokens"):
        open_trainer("ceiling", of="memory", backbone=tiny_model)
