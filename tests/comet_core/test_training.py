"""Training on tiny random models: it learns, and a run that was stopped goes on as if never so."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import torch
from comet_core_tiny import CONTROL, make_model, make_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from training_tiny import RECIPE, write_data

from comet_core.checkpoint import WEIGHTS_FILE, load_model, load_weights
from comet_core.config import CometConfig
from comet_core.errors import CometError
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.training.data import DataNotFound, TokenizedDocument, load_documents, tokenize
from comet_core.training.facts import MAKERS, make_facts
from comet_core.training.loop import Trainer
from comet_core.training.objective import answer_loss
from comet_core.training.recipe import BadRecipe, Stage, load_recipe
from comet_core.training.run import open_run
from comet_core.training.samples import FactSampler, QuestionSampler, Reading, TextTooShort

PROMPT = PromptFormat(make_tokenizer(CONTROL))
SIZES = CometConfig(chunk_size=64, stride=4, global_rows=4, temporary_rows=16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture
def start_run(tmp_path: Path, data: Path, tiny_model: Path) -> Callable[[str], Trainer]:
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def start(name: str) -> Trainer:
        return open_run(
            recipe=replace(load_recipe(tmp_path / "recipe.toml"), backbone=str(tiny_model)),
            data=data,
            directory=tmp_path / name,
            cache=tmp_path,
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
            losses.append(answer_loss(model, samples, reading, frozen_tail=frozen).loss)
        losses[-1].backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    torch.testing.assert_close(losses[1], losses[0], atol=1e-4, rtol=1e-4)
    asked = "language_model.model.layers.0.self_attn.q_proj.weight"
    assert all(g[asked].abs().sum() > 0 for g in gradients)
    for name in ("memories.0.temporary_memory.norm.weight", "readout_embedding"):
        assert all((g[name] is not None) == bool(chunks) for g in gradients)
    assert any((g != gradients[1][name]).any() for name, g in gradients[0].items() if g is not None)


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


@pytest.fixture
def documents(data: Path) -> list[TokenizedDocument]:
    return [tokenize(d, PROMPT) for d in load_documents([data / "some/train.jsonl"])]


def test_questions_are_those_of_the_window(documents: list[TokenizedDocument]) -> None:
    sampler = QuestionSampler(PROMPT, documents)
    reading = Reading([300], 20, 8)
    found = [s for n in range(30) if (s := sampler.sample(Random(n), reading, 3))]
    assert found
    for sample in found:
        text = PROMPT.decode(sample.tokens)
        assert len(sample.tokens) == reading.length
        for asked in sample.asked:
            number = PROMPT.decode(asked.answer)
            whole = (f"person {number} is", f"has {number} bridges")  # sections, all three times
            assert 3 in map(text.count, whole)


def test_what_a_text_does_not_answer_is_asked(documents: list[TokenizedDocument]) -> None:
    reading = Reading([300], 20, 8)
    known = {q.question: q for document in documents for q in document.questions}
    sampler = QuestionSampler(PROMPT, documents)
    drawn = [s for n in range(60) if (s := sampler.sample(Random(n), reading, 3, 0.5))]
    asked = [(s, a) for s in drawn for a in s.asked]
    foreign = [(s, a) for s, a in asked if not a.answerable]
    assert 0.3 < len(foreign) / len(asked) < 0.7
    questions = set()
    for sample, absent in foreign:
        assert PROMPT.decode(absent.answer) == NOT_IN_DOCUMENT
        assert absent.answer[-1] == PROMPT.end
        question = PROMPT.decode(absent.question).split("user\n")[1].split("assistant")[0].strip()
        questions.add(question)
        text = PROMPT.decode(sample.tokens)
        assert not any(answer in text for answer in known[question].answers)
    assert "Mayor?" in questions and len(questions) > 3


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 4))
def test_facts_that_were_not_planted_are_asked_for(seed: int, facts: int) -> None:
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 90)])
    reading = Reading([400, 300], 0, 8)
    sample = sampler.sample(Random(seed), reading, sorted(MAKERS), facts, 4, unanswerable=1.0)
    planted = sampler.sample(Random(seed), reading, sorted(MAKERS), facts, 4)
    assert sample.tokens == planted.tokens  # the text is the same: only the questions are not
    assert len(sample.asked) == len(planted.asked)
    about = {tuple(a.question) for a in planted.asked}
    for asked in sample.asked:
        assert not asked.answerable and asked.answer == PROMPT.answer(NOT_IN_DOCUMENT)
        assert tuple(asked.question) not in about


def test_wordings_of_one_question_are_about_one_thing() -> None:
    """Two facts about the same are told by `about`, whatever the words."""
    by_about: dict[tuple[str, str], set[str]] = {}
    for fact in make_facts(Random(1), ["number"], 4000):
        by_about.setdefault(fact.about, set()).add(fact.question)
        assert all(word.lower() in fact.question.lower() for word in fact.about)
    assert max(map(len, by_about.values())) > 1


def test_existing_recipes_draw_what_they_drew(documents: list[TokenizedDocument]) -> None:
    """Runs of recipes from before `unanswerable` go on with the same samples."""
    stage = Stage("s", [32, 64], (2, 5), (0.2, 1.0), facts=(1, 3), questions=2)
    digest = hashlib.sha256()
    for n in range(20):
        rng = Random(f"1/{n}")
        reading = stage.reading(rng, SIZES, max_rows=8192)
        facts = FactSampler(PROMPT, documents).sample(rng, reading, stage.kinds, 2, 2)
        asked = QuestionSampler(PROMPT, documents).sample(rng, reading, 2)
        digest.update(repr((reading, facts.tokens, asked and asked.tokens)).encode())
        for a in [*facts.asked, *(asked.asked if asked else [])]:
            digest.update(repr((a.question, a.answer, a.age)).encode())
    assert digest.hexdigest()[:16] == "09003d4d1621ddd3"


def test_the_fifo_is_never_longer_than_the_backbone_allows() -> None:
    stage = Stage("s", chunk_sizes=[32, 64], chunks=(1, 40), temporary_share=(0.0, 1.0))
    rows = set()
    for n in range(300):
        reading = stage.reading(Random(n), SIZES, max_rows=128)
        chunk = max(reading.chunks)
        assert 2 * 4 + reading.temporary_rows + chunk + -(-chunk // 4) <= 128
        rows.add(reading.temporary_rows)
    assert max(rows) == 128 - 2 * 4 - 32 - 8


def test_stage_readings_stay_within_the_stage() -> None:
    stage = Stage("s", chunk_sizes=[32, 64], chunks=(2, 5), temporary_share=(0.25, 0.5))
    for n in range(200):
        reading = stage.reading(Random(n), SIZES, max_rows=8192)
        assert 2 <= len(reading.chunks) <= 5
        assert all(16 <= length <= 64 for length in reading.chunks)
        share = reading.temporary_rows * 4 / sum(reading.chunks)
        assert 0.24 <= share <= 0.51 or reading.temporary_rows in (8, 16)  # a whole chunk


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 6))
def test_facts_of_the_tail_stand_in_the_tail(seed: int, facts: int) -> None:
    stage = Stage("s", [512], (0, 2), asked_of="tail")
    reading = stage.reading(Random(seed), SIZES, max_rows=8192)
    assert 128 <= reading.tail < 512
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 400)])
    after = reading.length - reading.tail
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 9, part="tail")
    assert len(sample.tokens) == reading.length
    head, tail = PROMPT.decode(sample.tokens[:after]), PROMPT.decode(sample.tokens[after:])
    for asked in sample.asked:
        answer = PROMPT.decode(asked.answer)
        assert answer in tail and answer not in head
        assert asked.age == -1


@given(seed=st.integers(0, 10_000), facts=st.integers(1, 6))
def test_facts_of_what_was_read_stand_before_the_tail(seed: int, facts: int) -> None:
    stage = Stage("s", [512], (1, 2), asked_of="read", tail=(20, 700))
    reading = stage.reading(Random(seed), SIZES, max_rows=8192)
    assert 20 <= reading.tail <= 700
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. We slept. " * 400)])
    sample = sampler.sample(Random(seed), reading, ["number"], facts, 9, part="read")
    assert len(sample.tokens) == reading.length
    tail = PROMPT.decode(sample.tokens[sum(reading.chunks) :])
    for asked in sample.asked:
        assert PROMPT.decode(asked.answer) not in tail
        assert 0 <= asked.age < len(reading.chunks)


def test_a_text_without_room_for_a_fact_is_told() -> None:
    sampler = FactSampler(PROMPT, [tokenize_text(PROMPT, "It rained. " * 60)])
    with pytest.raises(TextTooShort, match=r"No fact fits in 8 tokens .* larger chunk_sizes"):
        sampler.sample(Random(1), Reading([64], 8, 8), ["date"], 5, 5, part="tail")


def test_questions_of_the_tail_are_answered_there(documents: list[TokenizedDocument]) -> None:
    sampler = QuestionSampler(PROMPT, documents)
    reading = Reading([140], 250, 8)
    drawn = [s for n in range(90) if (s := sampler.sample(Random(n), reading, 3, part="tail"))]
    assert drawn
    for sample in drawn:
        for asked in sample.asked:
            whole = PROMPT.decode(sample.tokens[140:])
            number = PROMPT.decode(asked.answer)
            assert 3 in map(whole.count, (f"person {number} is", f"has {number} bridges"))


def test_an_earlier_stage_stays_in_the_mix(start_run, tmp_path: Path) -> None:
    recipe = RECIPE.replace('name = "second"', 'name = "second"\nmixed_with = {first = 0.5}')
    (tmp_path / "recipe.toml").write_text(recipe.replace("max_steps = 4", "max_steps = 12"))
    reports = list(start_run("mixed").run())
    assert {r.task for r in reports[:12]} == {"facts", "questions"}
    assert {r.task for r in reports[12:]} == {"facts", "mixed"}
    assert all(report.chunks >= 2 for report in reports[12:] if report.task == "facts")
    assert any(report.chunks == 1 for report in reports[12:])
    before = [r.score for r in reports if r.step >= 12]
    for last, report, score in zip(before, reports[13:], before[1:], strict=False):
        assert report.task == "facts" or score == last  # its answers are not judged


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
        (RECIPE.replace("chunks = [1, 2]", "chunks = [0, 2]"), "only a tail is left"),
        (RECIPE.replace("chunks = [1, 2]", "chunks = [1, 2]\ntail = [0, 2]"), "one token, got 0"),
        (RECIPE.replace('name = "first"', 'name = "first"\nkinds = ["nmber"]'), "got nmber"),
        (
            RECIPE.replace('name = "first"', 'name = "first"\nmixed_with = {second = 0.5}'),
            "no stage before",
        ),
        (RECIPE.replace('"second"', '"first"'), "two stages have the same name"),
        (RECIPE.replace("qa_share = 0.5", "unanswerable = 5"), "unanswerable is a share"),
        (RECIPE.replace("qa_share = 0.5\nmax_steps = 4", "qa_share = 1"), "needs max_steps"),
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


def test_what_is_marked_unanswerable_has_no_answers(tmp_path: Path) -> None:
    qa = {"question": "Mayor?", "answers": ["Olaf"], "sections": [0], "unanswerable": True}
    record = {"id": "a", "title": "A", "sections": ["Olaf was."], "qas": [qa]}
    (tmp_path / "plausible.jsonl").write_text(json.dumps(record) + "\n")
    [document] = load_documents([tmp_path / "plausible.jsonl"])
    assert document.questions[0].answers == ()
