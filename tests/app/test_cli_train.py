"""Training, evaluating and importing from the command line, with tiny models."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.app.command_line import Run

ROOT = Path(__file__).parents[2]
RECIPE = """
questions = ["train.jsonl"]
lora_rank = 2
[sizes]
chunk_size = 32
stride = 4
global_rows = 4
temporary_rows = 8
adapter_rank = 2
[[stages]]
name = "passages"
chunk_sizes = [64]
chunks = [1, 2]
questions = 0
passages = 1
step_tokens = 256
max_steps = 1
[[stages]]
name = "facts"
chunk_sizes = [64]
chunks = [1, 2]
step_tokens = 256
max_steps = 2
"""
MAIN = "from app.cli import main; main()"
TEXT = "It rained on the town. Anna slept in the house by the sea. " * 60


@pytest.fixture
def data(tmp_path: Path) -> Path:
    qas = [{"question": "Where did Anna sleep?", "answers": ["in the house"], "sections": [0]}]
    record = {"id": "a", "title": "A", "sections": [TEXT], "qas": qas}
    (tmp_path / "train.jsonl").write_text(json.dumps(record) + "\n")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "book.txt").write_text(TEXT * 3)
    return tmp_path


def test_train_goes_on_and_its_weights_can_be_measured(run: Run, data: Path, tiny_model: Path):
    train = [
        "train", "--recipe", data / "recipe.toml", "--data", data, "--run", data / "run",
        "--backbone", tiny_model,
    ]  # fmt: skip
    stopped = run(*train, "--max-minutes", "0")
    assert stopped.code == 0, stopped.err
    assert "Step 1, stopped; the same command goes on" in stopped.err
    finished = run(*train)
    assert "Step 3, finished" in finished.err
    assert "loss" in finished.err and "tokens/s" in finished.err
    assert len((data / "run" / "metrics.jsonl").read_text().splitlines()) == 3
    assert "at most 0:0" in finished.err  # two steps are left
    if importlib.util.find_spec("matplotlib"):
        assert (data / "run" / "metrics.png").read_bytes().startswith(b"\x89PNG")

    dry = run(*train, "--dry-run")
    assert dry.code == 0 and "passages" in dry.out and "GB in all" in dry.out

    train[train.index(data / "run")] = data / "top"
    topped = run(*train, "--ceiling-of", data / "run")
    assert topped.code == 1  # the tiny model's window is smaller than its texts
    assert "choose fewer or smaller chunks" in topped.err

    out = data / "results" / "facts.json"
    measured = run(
        "--model", data / "run", "evaluate", "facts", data / "book.txt", "--out", out,
        "--length", "200", "--trials", "3", "--kind", "number", "--kind", "name",
    )  # fmt: skip
    assert measured.code == 0, measured.err
    assert "Facts exactly right" in measured.out
    result = json.loads(out.read_text())
    assert result["suite"] == "facts" and result["summary"]["memory"]["all"]["asked"] == 3
    assert len(result["trials"]) == 3 and result["setting"]["lengths"] == [200]

    out = data / "results" / "qa.json"
    measured = run("--model", data / "run", "evaluate", "qa", data / "train.jsonl", "--out", out)
    assert measured.code == 0, measured.err
    assert json.loads(out.read_text())["trials"][0]["question"] == "Where did Anna sleep?"


def test_an_interrupt_keeps_every_step(data: Path, tiny_model: Path) -> None:
    recipe = (data / "recipe.toml").read_text().replace("max_steps = 2", "max_steps = 100000")
    (data / "recipe.toml").write_text(recipe)
    metrics = data / "run" / "metrics.jsonl"
    command = [
        sys.executable, "-c", MAIN, "--home", data / "home", "train", "--data", data,
        "--recipe", data / "recipe.toml", "--run", data / "run", "--backbone", tiny_model,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as training:
        while not (metrics.exists() and metrics.read_text().count("\n") > 2):
            assert training.poll() is None
            time.sleep(0.01)
        training.send_signal(signal.SIGINT)
        _, told = training.communicate()
    steps = metrics.read_text().count("\n")
    assert training.returncode == 130
    assert "Stopping after this step" in told
    assert f"Step {steps}, stopped; the same command goes on" in told and "Traceback" not in told
    with safe_open(data / "run" / "checkpoint.safetensors", "pt") as checkpoint:
        assert json.loads(checkpoint.metadata()["progress"])["step"] == steps


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--recipe", "none.toml", "--data", ".", "--run", "r"], "none.toml"),
        (["evaluate", "qa", "none.jsonl", "--out", "o.json"], "none.jsonl"),
        (["evaluate", "facts", "none.txt", "--out", "o.json"], "none.txt"),
        (["model", "import", "."], "config.json"),
    ],
)
def test_what_is_not_there_is_named_in_one_line(run: Run, tiny_model, words, message) -> None:
    done = run("--model", tiny_model, *words)
    assert done.code == 1
    assert done.err.count("\n") == 1 and done.err.startswith("Error: ")
    assert message in done.err


def test_a_published_checkpoint_is_imported(run: Run, shared: Path, tmp_path: Path) -> None:
    done = run(
        "model", "import", shared / "reference" / "qwen3_tiny", "--target", tmp_path / "imported"
    )
    assert done.code == 0, done.err
    assert (tmp_path / "imported" / "comet.safetensors").exists()
    assert "--model" in done.err
