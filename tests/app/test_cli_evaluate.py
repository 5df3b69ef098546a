"""Measuring from the command line, with a tiny model on a small book and a small data file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from app import cli_evaluate
from app.cli import app
from app.cli_evaluate import Kind, ReaderName
from comet_core.checkpoint import Weights, load_backbone, save_weights
from comet_core.config import CometConfig
from comet_core.errors import CannotWrite, CometError
from comet_core.evaluation import contestants
from comet_core.evaluation.intervals import METHODS
from comet_core.evaluation.score import ExtraMissing
from comet_core.lora import add_lora
from comet_core.training.facts import MAKERS

PNG = b"\x89PNG\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A book, a data file of two documents, and a SCROLLS file."""
    rain = "It rained on the town. Anna slept in the house by the sea. "
    (tmp_path / "book.txt").write_text(rain * 40)
    (tmp_path / "short.txt").write_text("We slept in May. " * 40)
    records = [
        {
            "id": name,
            "title": name,
            "sections": [rain * 3, f"{name} was cold. " * 10],
            "qas": [
                {"question": f"Where did Anna sleep in {name}?", "answers": ["in the house"],
                 "sections": [0]},
                {"question": f"What was {name}?", "answers": [f"very {name} cold"],
                 "sections": [1]},
            ],
        }
        for name in ("January", "February")
    ]  # fmt: skip
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    (tmp_path / "qasper").mkdir()
    line = {"id": "a", "pid": "a_0", "input": f"Who slept?\n\n{rain * 3}", "output": "Anna"}
    (tmp_path / "qasper" / "validation.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path


@pytest.fixture
def evaluate(tiny_model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Run a suite in that folder; returns its JSON."""
    monkeypatch.chdir(folder)

    def run(*words: str | Path) -> dict[str, Any]:
        options = ["--home", "home", "--model", str(tiny_model), "--device", "cpu"]
        arguments = [*options, "--dtype", "float32", "evaluate", *map(str, words)]
        app(arguments, standalone_mode=False)
        out = Path(arguments[arguments.index("--out") + 1])
        result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        assert result["finished"] and not out.with_suffix(".partial.json").exists()
        assert re.fullmatch("comet1-[0-9a-f]{64}", result["fingerprint"])
        assert {"python", "torch", "transformers"} <= set(result["versions"])
        assert result["intervals"] == {"level": 0.95, "methods": METHODS}
        return result

    return run


def lora(path: Path, directory: Path) -> Path:
    backbone = load_backbone(directory, torch.float32)
    add_lora(backbone, 2)
    weights = {f"language_model.{k}": v for k, v in backbone.state_dict().items() if "lora_" in k}
    save_weights(path, Weights(weights, CometConfig(), 2, str(directory.resolve())))
    return path


def test_names_on_the_command_line_are_those_of_the_core() -> None:
    assert [kind.value for kind in Kind] == list(MAKERS)
    assert [name.value for name in ReaderName] == [*contestants.NAMES, "all"]


def test_facts_by_all_readers(evaluate, tiny_model: Path, folder: Path, capsys) -> None:
    ceiling = lora(folder / "lora.safetensors", tiny_model)
    result = evaluate(
        "facts", "book.txt", "short.txt", "--out", "results/facts.json", "--length", "120",
        "--length", "2500", "--trials", "2", "--facts", "2", "--kind", "number", "--kind", "name",
        "--reader", "all", "--ceiling", ceiling, "--plot",
    )  # fmt: skip
    names = list(contestants.NAMES)
    assert [reader["name"] for reader in result["readers"]] == names
    assert len(result["trials"]) == 2 * 2 * 2
    for trial in result["trials"]:
        assert list(trial["answers"]) == names
        fits = trial["length"] == 120
        assert (trial["answers"]["window"] is not None) == fits, "the window holds 256 tokens"
    assert result["setting"]["lengths"] == [120, 2500]
    assert result["setting"]["joined_lengths"] == [2500]
    assert {tuple(sorted(set(t["texts"]))) for t in result["trials"] if t["length"] == 2500} == {
        ("book.txt", "short.txt")
    }
    summary = result["summary"]["memory"]
    assert summary["all"]["asked"] == 8 and summary["all"]["documents"] == 4
    assert result["summary"]["window"]["all"]["asked"] == 4
    assert result["summary"]["window"]["by_length"]["2500"] is None
    assert result["summary"]["last"]["all"]["asked"] == 8, "as much as fits is seen of any length"
    assert summary["in_memory"]["asked"] == sum(t["in_memory"] for t in result["trials"]) > 0
    assert (folder / "results" / "facts.png").read_bytes().startswith(PNG)
    shown = capsys.readouterr()
    assert "Facts exactly right" in shown.out
    assert all(name in shown.out for name in names)
    assert "Drawn" in shown.err


def test_facts_follow_from_the_seed(evaluate) -> None:
    words = ["facts", "book.txt", "--length", "120", "--trials", "3", "--reader", "nothing"]
    first, again, other = (
        evaluate(*words, "--seed", seed, "--out", "f.json")["trials"] for seed in "112"
    )
    assert first == again
    asked, others = ([t["question"] for t in trials] for trials in (first, other))
    assert asked != others


def test_qa_of_two_documents(evaluate, capsys) -> None:
    result = evaluate("qa", "train.jsonl", "--out", "qa.json", "--unanswerable", "2")
    (name,) = result["summary"]
    assert name.endswith("/train")
    summary = result["summary"][name]
    assert set(summary) == {"memory", "nothing"}
    assert summary["memory"]["f1"]["asked"] == 4
    assert summary["memory"]["not_in_document"]["asked"] == 2, "February was very cold only there"
    assert "nothing" in summary["memory"]["against"]
    assert "contained" in summary["memory"]
    (data,) = result["setting"]["data"].values()
    assert data["chunks"] == [length // 16 for length in data["lengths"]] and min(data["chunks"])
    assert data["all_tail"] == 0 and result["setting"]["seed"] == 1
    assert {trial["data"] for trial in result["trials"]} == {name}
    assert len(result["trials"]) == 6
    shown = capsys.readouterr()
    assert "not in the document" in shown.out and "F1 by chunks" in shown.out
    assert "F1 as a multiple" in shown.out and "Warning" not in shown.err


def test_qa_behind_a_book(evaluate) -> None:
    words = ["qa", "train.jsonl", "--out", "qa.json", "--reader", "memory"]
    alone = evaluate(*words)["setting"]
    behind = evaluate(*words, "--before", "book.txt", "--before", "short.txt")["setting"]
    assert alone["before"] == []
    assert [book["name"] for book in behind["before"]] == ["book.txt", "short.txt"]
    read = sum(book["tokens"] for book in behind["before"])
    (one,), (other,) = alone["data"].values(), behind["data"].values()
    assert other["lengths"] == [read + length for length in one["lengths"]]
    assert min(other["chunks"]) > max(one["chunks"])


def test_documents_that_are_all_tail_are_warned_of(evaluate, folder: Path, capsys) -> None:
    (folder / "tiny.jsonl").write_text(
        '{"id": "a", "title": "a", "sections": ["Rain."],'
        ' "qas": [{"question": "What?", "answers": ["Rain"], "sections": [0]}]}\n'
    )
    words = ["--out", "o.json", "--reader", "nothing"]
    (data,) = evaluate("qa", "tiny.jsonl", *words)["setting"]["data"].values()
    assert (data["chunks"], data["all_tail"]) == ([0], 1)
    assert capsys.readouterr().err.count("Warning: All documents are short enough") == 1
    evaluate("qa", "tiny.jsonl", "train.jsonl", *words)
    assert "Warning" not in capsys.readouterr().err
    words = ["--out", "o.json", "--trials", "1"]
    evaluate("ablation", "tiny.jsonl", *words)
    assert "Warning: All documents" in capsys.readouterr().err
    evaluate("ablation", "book.txt", "tiny.jsonl", *words, "--length", "120")
    assert "Warning" not in capsys.readouterr().err


def test_documents_that_are_left_out_are_counted(evaluate, folder: Path, capsys) -> None:
    record = json.loads((folder / "train.jsonl").read_text().splitlines()[0])
    long = {**record, "id": "long", "sections": [record["sections"][0] * 9, "It rained."]}
    (folder / "two.jsonl").write_text(f"{json.dumps(record)}\n{json.dumps(long)}\n")
    words = ["--out", "o.json", "--reader", "nothing", "--max-tokens", "200"]
    (data,) = evaluate("qa", "two.jsonl", *words)["setting"]["data"].values()
    assert data["documents"] == 1
    assert "1 of 2 documents are left out" in " ".join(capsys.readouterr().err.split())


def test_ablation_of_facts_and_questions(evaluate, folder: Path) -> None:
    result = evaluate(
        "ablation", "book.txt", "train.jsonl", "--out", "ablation.json", "--length", "120",
        "--trials", "2", "--questions", "1", "--plot",
    )  # fmt: skip
    names = ["memory", "no global", "no temporary", "no memory", "gate 0", "gate 0.5", "gate 1"]
    assert [reader["name"] for reader in result["readers"]] == names
    assert set(result["summary"]) == set(result["trials"]) == {"facts", "qa"}
    assert list(result["summary"]["facts"]) == names
    assert all(list(trial["answers"]) == names for trial in result["trials"]["qa"])
    assert (folder / "ablation.png").read_bytes().startswith(PNG)


def test_gates_over_a_book(evaluate, folder: Path, capsys) -> None:
    result = evaluate("gates", "book.txt", "--out", "gates.json", "--max-tokens", "100", "--plot")
    (found,) = result["summary"].values()
    assert found["chunks"] == 6 and len(found["layers"]) == 2
    assert [trial["chunk"] for trial in result["trials"]] == [1, 2, 3, 4, 5]
    assert all(len(trial["mean_gate_by_layer"]) == 2 for trial in result["trials"])
    assert (folder / "gates.png").read_bytes().startswith(PNG)
    assert "median" in capsys.readouterr().out
    again = evaluate("gates", "book.txt", "book.txt", "--out", "g.json", "--max-tokens", "100")
    assert list(again["summary"].values()) == [found]  # the same text is the same row


def test_scrolls_from_a_local_file(evaluate, capsys) -> None:
    result = evaluate("scrolls", "qasper/validation.jsonl", "--out", "scrolls.json")
    assert set(result["summary"]) == {"memory", "nothing"}
    assert result["summary"]["memory"]["tasks"]["qasper"]["metric"] == "f1"
    assert not result["summary"]["memory"]["complete"]
    assert result["trials"][0]["question"] == "Who slept?"
    shown = capsys.readouterr().out
    assert "qasper" in shown and " of 1" in shown


def test_an_interrupted_evaluation_keeps_what_it_found(
    evaluate, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "f.json").write_text("the results of before")
    display = cli_evaluate.runs.Display
    answers = iter(range(3))

    def answered(self, reader: str) -> None:
        if next(answers, None) is None:
            raise RuntimeError("the power is cut")

    monkeypatch.setattr(display, "answered", answered)
    with pytest.raises(RuntimeError):
        evaluate(
            "facts", "book.txt", "--out", "f.json", "--length", "120", "--trials", "8",
            "--batch", "1", "--reader", "nothing",
        )  # fmt: skip
    kept = json.loads((folder / "f.partial.json").read_text())
    assert len(kept["trials"]) == 3 and not kept["finished"]
    assert (folder / "f.json").read_text() == "the results of before"


def test_facts_go_on_where_they_were_interrupted(
    evaluate, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    words = [
        "facts", "book.txt", "--length", "120", "--length", "200", "--trials", "4", "--facts", "2",
        "--batch", "3", "--reader", "nothing", "--kind", "number", "--kind", "name",
    ]  # fmt: skip
    whole = evaluate(*words, "--out", "whole.json")
    answered = cli_evaluate.runs.Display.answered

    def interrupted(count: int) -> None:
        """Let `count` questions be answered, then cut the power."""
        answers = iter(range(count))

        def counted(self, reader: str) -> None:
            if next(answers, None) is None:
                raise RuntimeError("the power is cut")
            answered(self, reader)

        with monkeypatch.context() as patch, pytest.raises(RuntimeError):
            patch.setattr(cli_evaluate.runs.Display, "answered", counted)
            evaluate(*words, "--out", "f.json")

    interrupted(8)
    interrupted(3)
    assert len(json.loads((folder / "f.partial.json").read_text())["trials"]) == 6
    capsys.readouterr()
    assert evaluate(*words, "--out", "f.json") == whole
    assert "Goes on from f.partial.json: 6 trials" in capsys.readouterr().err
    interrupted(7)
    evaluate(*words, "--out", "f.json", "--seed", "2")
    assert "Goes on" not in capsys.readouterr().err, "another seed is another evaluation"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["facts", "book.txt", "--out", "o.json", "--reader", "ceiling"], "--ceiling"),
        (["facts", "book.txt", "--out", "o.json", "--ceiling", "none"], "none holds no adapters"),
        (["facts", "book.txt", "--out", "o.json", "--length", "20", "--facts", "9"], "do not fit"),
        (["gates", "book.txt", "--out", "o.json", "--max-tokens", "20"], "give a longer one"),
        (["scrolls", "train.jsonl", "--out", "o.json"], "does not say its task"),
        (["qa", "train.jsonl", "--out", "o.json", "--max-tokens", "3"], "no question"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(evaluate, words: list[str], message: str) -> None:
    with pytest.raises(CometError, match=message):
        evaluate(*words)


def test_results_that_cannot_be_written_are_noticed_before_anything_is_read(
    evaluate, folder: Path
) -> None:
    for out in ("book.txt/facts.json", "qasper"):
        with pytest.raises(CannotWrite, match="--out"):
            evaluate("facts", "book.txt", "--out", out)


def test_a_plot_without_matplotlib_is_refused_before_anything_is_read(
    evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comet_core.evaluation.score.find_spec", lambda _: None)
    with pytest.raises(ExtraMissing, match=r"comet-reader\[evaluate\]"):
        evaluate("facts", "book.txt", "--out", "o.json", "--plot")
