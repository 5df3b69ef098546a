"""Training on tiny random models: it learns, and a run that was stopped goes on as if never so."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from comet_core.checkpoint import WEIGHTS_FILE, load_model, load_weights
from comet_core.errors import CometError
from comet_core.prompt import PromptFormat
from comet_core.training.data import DataNotFound, load_documents, tokenize
from comet_core.training.facts import MAKERS, make_facts
from comet_core.training.loop import Trainer
from comet_core.training.objective import answer_loss
from comet_core.training.recipe import BadRecipe, Stage, load_recipe
from comet_core.training.run import open_run
from comet_core.training.samples import FactSampler, QuestionSampler, Reading

RECIPE = """
questions = ["some/train.jsonl"]
lora_rank = 2
learning_rate = 0.01
memory_learning_rate = 0.01
warmup_steps = 2
seed = 3
[sizes]
chunk_size = 64
stride = 4
global_rows = 4
temporary_rows = 16
adapter_rank = 2
[[stages]]
name = "first"
chunk_sizes = [64]
chunks = [1, 2]
temporary_share = [0.2, 1.0]
step_tokens = 256
qa_share = 0.5
max_steps = 4
[[stages]]
name = "second"
chunk_sizes = [48, 64]
chunks = [2, 3]
step_tokens = 256
max_steps = 4
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "some"
    folder.mkdir(parents=True)
    sections = [f"The name of person {n} is Anna. She has {n} cats. " * 3 for n in range(5)]
    qas = [{"question": f"Cats of {n}?", "answers": [str(n)], "sections": [n]} for n in range(5)]
    record = {"id": "a", "title": "A", "sections": sections, "qas": qas}
    (folder / "train.jsonl").write_text(json.dumps(record) + "\n")
    return tmp_path / "data"


@pytest.fixture
def start_run(tmp_path: Path, data: Path, tiny_model: Path) -> Callable[[str], Trainer]:
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def start(name: str) -> Trainer:
        return open_run(
            recipe=tmp_path / "recipe.toml",
            data=data,
            directory=tmp_path / name,
            cache=tmp_path,
            backbone=str(tiny_model),
            device="cpu",
            dtype="float32",
        )

    return start


def test_a_stopped_run_goes_on_to_the_same_bits(start_run, tmp_path: Path) -> None:
    whole = list(start_run("whole").run())
    assert [r.stage for r in whole] == ["first"] * 4 + ["second"] * 4
    assert {r.task for r in whole} == {"facts", "questions"}

    parts = []
    while len(parts) < 8:  # one step at a time, each in a trainer of its own
        parts += start_run("parts").run(max_minutes=0)
        with start_run("parts").metrics.open("a") as metrics:  # killed after its checkpoint
            metrics.write(json.dumps({"step": len(parts)}) + "\n")
    for a, b in zip(whole, parts, strict=True):
        assert (a.step, a.stage, a.loss, a.ages) == (b.step, b.stage, b.loss, b.ages)
    weights = [load_weights(start_run(name).export()) for name in ("whole", "parts")]
    assert weights[0].tensors.keys() == weights[1].tensors.keys()
    for name, tensor in weights[0].tensors.items():
        assert torch.equal(tensor, weights[1].tensors[name])
    lines = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(8))


def test_exported_weights_load_and_are_those_trained(start_run, tmp_path: Path) -> None:
    trainer = start_run("run")
    list(trainer.run())
    path = trainer.export()
    assert path.name == WEIGHTS_FILE
    loaded = load_model(str(path.parent), cache=tmp_path, device="cpu", dtype="float32")
    assert loaded.spec.trained
    ids = torch.randint(100, (1, 64))
    trainer.model.eval()
    with torch.no_grad():
        expected = trainer.model.read_chunk(trainer.model.empty_memory(), ids).memory
        found = loaded.model.read_chunk(loaded.model.empty_memory(), ids).memory
    for a, b in zip(expected, found, strict=True):  # exported in bf16
        torch.testing.assert_close(a.temporary, b.temporary, atol=0.05, rtol=0.05)


def test_training_learns_a_fixed_batch() -> None:
    prompt = PromptFormat(make_tokenizer(CONTROL))
    model = make_model(vocabulary=len(prompt.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([60, 60], tail=10, temporary_rows=8)
    filler = [tokenize_text(prompt, "It rained. " * 60)]
    samples = [
        FactSampler(prompt, filler).sample(Random(n), reading, ["number"], 1, 1) for n in range(4)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        result = answer_loss(model, samples, reading)
        losses.append(result.loss.item())
        optimizer.zero_grad()
        result.loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_checkpointed_gradients_are_the_same() -> None:
    prompt = PromptFormat(make_tokenizer(CONTROL))
    model = make_model(vocabulary=len(prompt.tokenizer), chunk_size=64).requires_grad_(True)
    reading = Reading([64, 40, 64], tail=5, temporary_rows=8)
    sampler = FactSampler(prompt, [tokenize_text(prompt, "It rained. " * 60)])
    samples = [sampler.sample(Random(n), reading, ["name"], 1, 1) for n in range(2)]
    gradients = []
    for checkpointed in (False, True):
        model.zero_grad()
        answer_loss(model, samples, reading, checkpointed).loss.backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 20
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def tokenize_text(prompt: PromptFormat, text: str):
    from comet_core.training.data import QADocument

    return tokenize(QADocument("x", (text,), ()), prompt)


@given(seed=st.integers(0, 10_000), kinds=st.sets(st.sampled_from(sorted(MAKERS)), min_size=1))
def test_facts_say_what_their_questions_ask(seed: int, kinds: set[str]) -> None:
    facts = make_facts(Random(seed), sorted(kinds), 5)
    assert len({fact.question for fact in facts}) == 5
    for fact in facts:
        assert fact.kind in kinds
        assert fact.answer.lower() in fact.statement.lower()
        assert fact.question[-1] in "?."
        assert "{" not in fact.statement + fact.question


@given(
    seed=st.integers(0, 1000),
    chunks=st.lists(st.integers(40, 80), min_size=1, max_size=4),
    tail=st.integers(0, 30),
    facts=st.integers(1, 3),
)
def test_a_planted_text_has_its_length_and_its_facts(seed, chunks, tail, facts) -> None:
    prompt = PromptFormat(make_tokenizer(CONTROL))
    reading = Reading([*chunks, 200], tail, 8)
    sampler = FactSampler(prompt, [tokenize_text(prompt, "It rained. We slept. " * 90)])
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 2)
    assert len(sample.tokens) == reading.length
    text = prompt.decode(sample.tokens)
    assert 1 <= len(sample.asked) <= 2
    for asked in sample.asked:
        answer = prompt.decode(asked.answer)
        assert answer in text
        assert asked.age in {reading.age(i) for i in range(reading.length)}


def test_questions_are_those_of_the_window(data: Path) -> None:
    prompt = PromptFormat(make_tokenizer(CONTROL))
    documents = [tokenize(d, prompt) for d in load_documents([data / "some/train.jsonl"])]
    sampler = QuestionSampler(prompt, documents)
    reading = Reading([300], 20, 8)
    found = [s for n in range(30) if (s := sampler.sample(Random(n), reading, 3))]
    assert found
    for sample in found:
        text = prompt.decode(sample.tokens)
        assert len(sample.tokens) == reading.length
        for asked in sample.asked:
            number = prompt.decode(asked.answer)
            assert text.count(f"person {number} is") == 3  # the whole section is there


def test_stage_readings_stay_within_the_stage() -> None:
    stage = Stage("s", chunk_sizes=[32, 64], chunks=(2, 5), temporary_share=(0.25, 0.5))
    for n in range(200):
        reading = stage.reading(Random(n), stride=4)
        assert 2 <= len(reading.chunks) <= 5
        assert all(16 <= length <= 64 for length in reading.chunks)
        share = reading.temporary_rows * 4 / sum(reading.chunks)
        assert 0.24 <= share <= 0.51 or reading.temporary_rows in (8, 16)  # a whole chunk


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sizes: Field required"),
        (RECIPE.replace('["some', "3 # "), "questions"),
        (RECIPE.replace("chunk_size = 64", "chunk_size = 0"), "at least 1, got 0"),
        (RECIPE.split("[[stages]]")[0] + "x = [", "cannot be read"),
        (RECIPE.replace('name = "first"', ""), "name"),
        (RECIPE.replace("warmup_steps", "warmup"), "warmup"),
        (RECIPE.replace("chunks = [1, 2]", "chunks = [2, 1]"), "smallest and largest, got 2, 1"),
        (RECIPE.replace('name = "first"', 'name = "first"\nkinds = ["nmber"]'), "got nmber"),
    ],
)
def test_a_wrong_recipe_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(BadRecipe, match=message):
        load_recipe(tmp_path / "r.toml")


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"none\.jsonl"):
        list(load_documents([tmp_path / "none.jsonl"]))
    assert issubclass(DataNotFound, CometError)
