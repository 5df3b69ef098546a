"""Training on tiny random models: it learns, and a run that was stopped goes on as if never so."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_tiny import RECIPE, write_data
from transformers import GPT2Config

from comet_core.checkpoint import WEIGHTS_FILE, load_model, load_weights
from comet_core.errors import CannotWrite, CometError, UnsupportedBackbone
from comet_core.training import distractors, loop
from comet_core.training.checkpoint import OtherRun, trainable
from comet_core.training.data import DataNotFound, load_documents
from comet_core.training.loop import Diverged, StepTooLarge, Trainer
from comet_core.training.objective import Objective, answer_loss
from comet_core.training.recipe import BadRecipe, load_recipe
from comet_core.training.run import estimate_run, open_run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


@pytest.fixture
def start_run(tmp_path: Path, data: Path, tiny_model: Path) -> Callable[..., Trainer]:
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def opened(name: str, start: Path | None = None) -> Trainer:
        return open_run(
            recipe=replace(load_recipe(tmp_path / "recipe.toml"), backbone=str(tiny_model)),
            data=data,
            directory=tmp_path / name,
            cache=tmp_path,
            start=start,
            device="cpu",
            dtype="float32",
        )

    return opened


def test_a_stopped_run_goes_on_to_the_same_bits(start_run, tmp_path: Path) -> None:
    whole = list(start_run("whole").run())
    assert [r.stage for r in whole] == ["first"] * 4 + ["second"] * 4
    assert {r.task for r in whole} == {"facts", "questions"}
    assert [r.recited is None for r in whole] == [True] * 4 + [False] * 4
    for report in whole:  # passages are no answers
        tallies = [*report.ages.values(), report.unanswerable]
        right, asked = map(sum, zip(*tallies, strict=True))
        assert report.right == right / asked and asked <= 5

    parts = []
    while len(parts) < 8:  # one step at a time, each in a trainer of its own
        parts += start_run("parts").run(max_minutes=0)
        with start_run("parts").metrics.open("a") as metrics:  # killed after its checkpoint
            metrics.write(json.dumps({"step": len(parts)}) + "\n")
    for a, b in zip(whole, parts, strict=True):
        assert (a.step, a.stage, a.loss, a.ages) == (b.step, b.stage, b.loss, b.ages)
    weights = [load_weights(start_run(name).weights) for name in ("whole", "parts")]
    assert weights[0].tensors.keys() == weights[1].tensors.keys()
    for name, tensor in weights[0].tensors.items():
        assert torch.equal(tensor, weights[1].tensors[name])
    lines = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(8))


def test_a_run_is_a_model_from_its_first_checkpoint_on(
    start_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start_run("run")
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0)
    steps = trainer.run()
    for _ in range(2):  # the first has its checkpoint then
        next(steps)
    assert trainer.weights.name == WEIGHTS_FILE
    early = load_weights(trainer.weights)
    list(steps)
    late = load_weights(trainer.weights)
    assert any(not torch.equal(t, late.tensors[name]) for name, t in early.tensors.items())

    loaded = load_model(str(tmp_path / "run"), cache=tmp_path, device="cpu", dtype="float32")
    assert loaded.spec.trained
    ids = torch.randint(100, (1, 64))
    trainer.model.eval()
    with torch.no_grad():
        expected = trainer.model.read_chunk(trainer.model.empty_memory(), ids).memory
        found = loaded.model.read_chunk(loaded.model.empty_memory(), ids).memory
    for a, b in zip(expected, found, strict=True):  # exported in bf16
        torch.testing.assert_close(a.temporary, b.temporary, atol=0.05, rtol=0.05)


def test_a_run_is_answered_with_the_mean_of_its_steps(start_run, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE.replace("seed = 3", "seed = 3\nema_decay = 0.75"))
    mean: dict[str, torch.Tensor] = {}
    while True:  # one step at a time, each in a trainer of its own
        trainer = start_run("mean")
        if trainer.finished:
            break
        next(trainer.run())
        now = {name: p.detach().clone() for name, p in trainable(trainer.model).items()}
        mean = {name: mean[name].lerp(p, 0.25) for name, p in now.items()} if mean else now
        trainer.save()
    saved = load_weights(trainer.weights).tensors
    assert any(not torch.equal(p.bfloat16(), mean[name].bfloat16()) for name, p in now.items())
    for name, tensor in mean.items():
        torch.testing.assert_close(saved[name].float(), tensor, atol=1e-4, rtol=0.01)


def test_a_share_of_steps_is_asked_together(
    start_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "together = 0.5\npassages = 6\n"
    recipe = RECIPE.replace("passages = 2\n", own).replace("step_tokens = 256", "step_tokens = 600")
    (tmp_path / "recipe.toml").write_text(recipe.replace("max_steps = 4", "max_steps = 40"))
    asked: list[bool] = []
    tails_asked: list[tuple[bool, bool]] = []

    def observed(*given: Any, **named: Any) -> Objective:
        *earlier, last = ([a.age for a in sample.asked] for sample in given[1])
        tails_asked.append((any(-1 in ages for ages in earlier), -1 in last))
        asked.append(named["together"])
        return answer_loss(*given, **named)

    monkeypatch.setattr(loop, "answer_loss", observed)
    reports = list(start_run("together").run())
    second = [together for r, together in zip(reports, asked, strict=True) if r.stage == "second"]
    assert not any(asked[: -len(second)]) and 0 < sum(second) < len(second) == 40
    for together in (True, False):  # together, the tail of the last text alone is there
        found = [
            tails for tails, joint in zip(tails_asked, asked, strict=True) if joint == together
        ]
        earlier, last = map(any, zip(*found, strict=True))
        assert last and earlier == (not together)


def test_a_stage_is_asked_of_the_global_memory_alone(
    start_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPE.replace("qa_share = 0.5", "global_alone = true")
    (tmp_path / "recipe.toml").write_text(recipe)
    alone: list[bool] = []

    def observed(*given: Any, **named: Any) -> Objective:
        alone.append(named["global_alone"])
        return answer_loss(*given, **named)

    monkeypatch.setattr(loop, "answer_loss", observed)
    reports = list(start_run("alone").run())
    assert alone == [report.stage == "first" for report in reports]
    assert set(alone) == {True, False}


def test_passages_may_be_all_that_is_asked_for(start_run, tmp_path: Path) -> None:
    recipe = RECIPE.replace("passages = 2", "passages = 2\nquestions = 0")
    (tmp_path / "recipe.toml").write_text(recipe)
    reports = [r for r in start_run("passages").run() if r.stage == "second"]
    assert len(reports) == 4
    for report in reports:
        assert report.recited is not None and report.loss is None and report.right is None
        assert report.ages == {} and report.unanswerable == [0, 0]


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


def test_a_stage_plants_its_distractors(
    start_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distractors, "distractor", lambda rng: "Zz.")
    recipe = RECIPE.replace('name = "second"', 'name = "second"\ndistractors = [2, 2]')
    (tmp_path / "recipe.toml").write_text(recipe)
    steps = start_run("distracted").steps
    for stage, count in zip(steps.recipe.stages, (0, 2), strict=True):
        for sample in steps.draw(stage, 1).samples:
            assert steps.facts.prompt.decode(sample.tokens).count(" Zz.") == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "sizes: Field required"),
        (RECIPE.replace('["some', "3 # "), "questions"),
        (RECIPE.replace("seed = 3", "ema_decay = 1.0"), "below 1, got 1.0"),
        (RECIPE.replace("chunk_size = 64", "chunk_size = 0"), "at least 1, got 0"),
        (RECIPE.split("[[stages]]")[0] + "x = [", "cannot be read"),
        (RECIPE.replace('name = "first"', ""), "name"),
        (RECIPE.replace("warmup_steps", "warmup"), "warmup"),
        (RECIPE.replace("chunks = [1, 2]", "chunks = [2, 1]"), "smallest and largest, got 2, 1"),
        (RECIPE.replace("chunks = [1, 2]", "chunks = [0, 2]"), "only a tail is left"),
        (RECIPE.replace("chunks = [1, 2]", "chunks = [1, 2]\ntail = [0, 2]"), "one token, got 0"),
        (RECIPE.replace("chunk_sizes = [64]", "chunk_sizes = [0]"), "at least 1, got 0"),
        (RECIPE.replace("chunk_sizes = [64]", "chunk_sizes = []"), "one of chunk_sizes"),
        (RECIPE.replace('name = "first"', 'name = "first"\njudged = 0'), "judged must be"),
        (RECIPE.replace('name = "first"', 'name = "first"\nquestions = -1'), "questions must not"),
        (RECIPE.replace("qa_share = 0.5", "questions = 0"), "asks something"),
        (
            RECIPE.replace("qa_share = 0.5\nmax_steps = 4", "questions = 0\npassages = 1"),
            "questions = 0 needs max_steps",
        ),
        (
            RECIPE.replace("chunk_sizes = [64]", "chunk_sizes = [20]").replace(
                "qa_share = 0.5", "questions = 0\npassages = 1"
            ),
            "of at least 32 tokens",
        ),
        (RECIPE.replace("warmup_steps = ", "warmup_steps = -"), "warmup_steps must be"),
        (RECIPE.replace('name = "first"', 'name = "first"\nkinds = ["nmber"]'), "got nmber"),
        (
            RECIPE.replace('name = "first"', 'name = "first"\nmixed_with = {second = 0.5}'),
            "no stage before",
        ),
        (RECIPE.replace('"second"', '"first"'), "two stages have the same name"),
        (RECIPE.replace("qa_share = 0.5", "unanswerable = 5"), "unanswerable is a share"),
        (RECIPE.replace("qa_share = 0.5\nmax_steps = 4", "qa_share = 1"), "needs max_steps"),
        (RECIPE.replace("qa_share = 0.5", "passages = -1"), "must not be negative"),
        (RECIPE.replace("qa_share = 0.5", "distractors = [-1, 2]"), "negative, got -1"),
        (RECIPE.replace("qa_share = 0.5", "distractors = [3, 1]"), "smallest and largest, got 3"),
        (RECIPE.replace("qa_share = 0.5", "together = 2"), "together is a share"),
        (RECIPE.replace("qa_share = 0.5", "together = 1"), "a FIFO holds all that was read"),
        (
            RECIPE.replace("qa_share = 0.5", "together = 1\nglobal_alone = true"),
            "not of global memory alone",
        ),
        (RECIPE.replace("[sizes]", "[sizes]\nwindow_rows = -8"), "window_rows must not"),
        (RECIPE.replace("[sizes]", "[sizes]\ntail_window = 8"), "set tail_tokens"),
        (RECIPE.replace("[sizes]", "[sizes]\nvolumes = 8"), "needs both"),
        (RECIPE.replace("[sizes]", "[sizes]\ntail_window = 999"), "tail_window must not exceed"),
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sections": None}, "sections is wrong"),
        ({"qas": [{"question": "Who?", "answers": "Olaf", "sections": [0]}]}, "qas.0.answers is"),
        ({"qas": [{"question": "Who?", "answers": ["Olaf"], "sections": [1]}]}, "section 1"),
        ({"qas": [{"question": "Who?", "sections": [0]}]}, "qas.0.answers is wrong: Field"),
        ([], "it is wrong"),
    ],
)
def test_a_broken_line_of_data_is_named(tmp_path: Path, change, message: str) -> None:
    record = {"id": "a", "title": "A", "sections": ["Olaf was."], "qas": []}
    broken = {**record, **change} if change else change
    (tmp_path / "some.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(broken)}\n")
    with pytest.raises(DataNotFound, match=r"line 2 of the data file .*some\.jsonl") as error:
        list(load_documents([tmp_path / "some.jsonl"]))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_data_that_a_recipe_cannot_use_is_refused_at_once(start_run, data: Path) -> None:
    file = data / "some" / "train.jsonl"
    books = [{**json.loads(line), "qas": []} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(book) + "\n" for book in books))
    with pytest.raises(BadRecipe, match="'first' asks people's questions"):
        start_run("run")
    file.write_text("")
    with pytest.raises(DataNotFound, match="no text"):
        start_run("run")


def test_what_cannot_be_trained_has_no_estimate(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    recipe = load_recipe(tmp_path / "recipe.toml")
    GPT2Config().save_pretrained(tmp_path / "gpt2")
    with pytest.raises(UnsupportedBackbone, match="gpt2"):
        estimate_run(replace(recipe, backbone=str(tmp_path / "gpt2")), tmp_path)
    fitting = replace(recipe, backbone=str(tiny_model))
    assert [stage.name for stage, *_ in estimate_run(fitting, tmp_path)] == ["first", "second"]
    stages = [recipe.stages[0], replace(recipe.stages[1], chunk_sizes=[300])]
    with pytest.raises(BadRecipe, match="'second' has chunks or tails that do not fit"):
        estimate_run(replace(fitting, stages=stages), tmp_path)
    many = replace(recipe.stages[1], together=1.0, asked_of="read", step_tokens=4000)
    with pytest.raises(BadRecipe, match="'second' do not fit together in the backbone's"):
        estimate_run(replace(fitting, stages=[recipe.stages[0], many]), tmp_path)


def full(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError


def test_a_step_that_cannot_be_taken_leaves_the_run_as_it_was(start_run, monkeypatch) -> None:
    trainer = start_run("run")
    list(trainer.run(max_minutes=0))
    saved = trainer.checkpoint.read_bytes()
    trainer.model.readout_embedding.data.fill_(float("nan"))
    with pytest.raises(Diverged, match="step 1 are not finite"):
        list(trainer.run())
    assert trainer.checkpoint.read_bytes() == saved

    monkeypatch.setattr(loop, "answer_loss", full)
    with pytest.raises(StepTooLarge, match="step_tokens of the stage 'first'"):
        list(start_run("run").run())
    assert trainer.checkpoint.read_bytes() == saved


def test_a_step_too_large_names_the_stage_it_was_drawn_as(
    start_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = RECIPE.replace('name = "second"', 'name = "second"\nmixed_with = {first = 0.99}')
    (tmp_path / "recipe.toml").write_text(mixed)
    steps = start_run("run").run()
    while next(steps).step < 3:  # the last of the first stage
        pass

    monkeypatch.setattr(loop, "answer_loss", full)
    with pytest.raises(StepTooLarge, match=r"Step 4 .* of the stage 'first'"):
        next(steps)


def test_a_run_starts_from_a_file_or_the_directory_it_is_in(start_run, tmp_path: Path) -> None:
    list(start_run("first").run(max_minutes=0))
    written = load_weights(tmp_path / "first" / WEIGHTS_FILE).tensors
    for number, start in enumerate([tmp_path / "first", tmp_path / "first" / WEIGHTS_FILE]):
        own = start_run(f"from-{number}", start=start).model.state_dict()
        assert all(torch.equal(own[name], tensor.float()) for name, tensor in written.items())


def test_a_run_goes_on_only_with_the_stages_it_has_done(start_run, tmp_path: Path) -> None:
    list(start_run("run").run())
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('"second"', '"other"'))
    with pytest.raises(OtherRun, match="other stages than the recipe begins with"):
        start_run("run")
    third = RECIPE.split("[[stages]]")[2].replace('"second"', '"third"')
    longer = f"{RECIPE}[[stages]]{third}"
    (tmp_path / "recipe.toml").write_text(longer)
    assert {report.stage for report in start_run("run").run()} == {"third"}


def test_where_a_run_cannot_be_written_is_said(start_run, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(CannotWrite, match="another --run"):
        start_run("run")


def test_what_is_marked_unanswerable_has_no_answers(tmp_path: Path) -> None:
    qa = {"question": "Mayor?", "answers": ["Olaf"], "sections": [0], "unanswerable": True}
    record = {"id": "a", "title": "A", "sections": ["Olaf was."], "qas": [qa]}
    (tmp_path / "plausible.jsonl").write_text(json.dumps(record) + "\n")
    [document] = load_documents([tmp_path / "plausible.jsonl"])
    assert document.questions[0].answers == ()
