"""SCROLLS: its files, its metrics and its averaging."""

import json
from pathlib import Path

import numpy as np
import pytest
from comet_core_evaluation import Scripted, Silent

from comet_core.evaluation import scrolls
from comet_core.evaluation.intervals import wilson
from comet_core.evaluation.readers import Reader
from comet_core.evaluation.scrolls import TASKS, UnknownTask, ask_papers, load_papers, task_of
from comet_core.training.data import DataNotFound

OPTIONS = " (A) red\n (B) blue\n\n (C) green\n (D) grey"


def write(path: Path, *records: tuple[str, str, str]) -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = [
        json.dumps({"id": i, "pid": f"{i}_{n}", "input": text, "output": output})
        for n, (i, text, output) in enumerate(records)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run(readers: list[Reader], path: Path) -> list[scrolls.Trial]:
    task = task_of(path)
    papers = [(n, p, list(range(n + 3))) for n, p in enumerate(load_papers(path, task))]
    return ask_papers(readers, task, papers, Silent())


def test_a_file_is_of_the_task_it_or_its_folder_is_named_after() -> None:
    assert task_of(Path("data/gov_report/validation.jsonl")).metric == "rouge"
    assert task_of(Path("Qasper.jsonl")).metric == "f1"
    with pytest.raises(UnknownTask, match="narrative_qa"):
        task_of(Path("data/validation.jsonl"))


def test_lines_of_one_id_are_one_question_and_of_one_text_one_document(tmp_path: Path) -> None:
    path = write(
        tmp_path / "qasper" / "validation.jsonl",
        ("a", "Which model?\n\nWe use BERT.\n\nIt is large.", "BERT"),
        ("b", "How large?\n\nWe use BERT.\n\nIt is large.", "large"),
        ("a", "Which model?\n\nWe use BERT.\n\nIt is large.", "the BERT model"),
        ("c", "Which model?\n\nWe use T5.", "T5"),
    )
    first, second = load_papers(path, TASKS["qasper"])
    assert first.text == "We use BERT.\n\nIt is large."
    assert first.ids == ("a", "b") and first.questions == ("Which model?", "How large?")
    assert first.accepted == (("BERT", "the BERT model"), ("large",))
    assert second.ids == ("c",)
    assert [p.ids for p in load_papers(path, TASKS["qasper"], limit=1)] == [("a",)]


def test_the_options_of_quality_belong_to_the_question() -> None:
    text = f"Which colour?\n\n{OPTIONS}\n\n\nThe sea was grey.\n\nIt rained."
    question, document = scrolls.split_input(text, TASKS["quality"])
    assert question == f"Which colour?\n\n{OPTIONS}"
    assert document == "The sea was grey.\n\nIt rained."
    assert scrolls.split_input("A report.\n\nIts end.", TASKS["gov_report"]) == (
        scrolls.SUMMARIZE,
        "A report.\n\nIts end.",
    )


@pytest.mark.parametrize(
    "text", ["{", '{"id": "a"}', '{"id":"a","input":"q\\n\\nd","output":null}']
)
def test_what_cannot_be_judged_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "qasper.jsonl"
    path.write_text(text)
    with pytest.raises(DataNotFound, match=r"qasper\.jsonl"):
        load_papers(path, TASKS["qasper"])
    with pytest.raises(DataNotFound, match=r"none\.jsonl"):
        load_papers(tmp_path / "none.jsonl", TASKS["qasper"])


def test_a_perfect_reader_scores_a_hundred_in_all_seven_tasks(tmp_path: Path) -> None:
    answers: dict[str, str | None] = {scrolls.SUMMARIZE: "the dog barked in the night"}
    paths = []
    for name, task in TASKS.items():
        if task.question:
            records = [(f"{name}{n}", f"Text {n}.", "the dog barked in the night") for n in (1, 2)]
        else:
            question = f"Question {name}" + (f"\n{OPTIONS}" if name == "quality" else "")
            answers[question] = f"a grey day of {name}"
            records = [
                (f"{name}{n}", f"{question}\n\nText {n}.", answers[question]) for n in (1, 2)
            ]
        paths.append(write(tmp_path / name / "validation.jsonl", *records))
    reader, silent = Scripted("perfect", answers), Scripted("silent", {})
    trials = [trial for path in paths for trial in run([reader, silent], path)]
    found = scrolls.summarize(trials)
    assert found["perfect"].mean == 100 and found["perfect"].complete
    assert found["silent"].mean == 0
    assert list(found["perfect"].tasks) == list(TASKS)
    assert not scrolls.summarize(trials, limited=True)["perfect"].complete
    rouge = found["perfect"].tasks["qmsum"]
    assert rouge and rouge.method == "wilson over documents"
    assert (rouge.low, rouge.high) == tuple(round(100 * end, 2) for end in wilson(1.0, 2))
    score = found["perfect"].tasks["quality"]
    assert score and score.method == "wilson"
    score = found["perfect"].tasks["qasper"]
    assert score and score.method == "wilson over documents"
    trials[0].answers["perfect"] = None
    assert not scrolls.summarize(trials)["perfect"].complete


def test_a_summary_is_scored_by_the_geometric_mean_of_mean_rouge(tmp_path: Path) -> None:
    path = write(
        tmp_path / "qmsum" / "validation.jsonl",
        ("a", "What of the cat?\n\nText one.", "the cat sat on the mat"),
        ("b", "What of the dog?\n\nText two.", "a dog barked"),
    )
    reader = Scripted("r", {"What of the cat?": "the cat on the mat", "What of the dog?": "a dog"})
    score = scrolls.summarize(run([reader], path))["r"].tasks["qmsum"]
    ones, twos, longest = np.mean([[10 / 11, 2 / 3, 10 / 11], [4 / 5, 2 / 3, 4 / 5]], axis=0)
    assert score and score.parts == pytest.approx(
        {"rouge1": 100 * ones, "rouge2": 100 * twos, "rougeL": 100 * longest}, abs=0.01
    )
    assert score.score == pytest.approx(100 * (ones * twos * longest) ** (1 / 3), abs=0.01)
    assert score.method == "bootstrap or wilson" and score.low <= score.score <= score.high
    assert not scrolls.summarize(run([reader], path))["r"].complete


def test_the_best_accepted_answer_counts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "narrative_qa" / "v.jsonl",
        ("a", "Who?\n\nText.", "a man"),
        ("a", "Who?\n\nText.", "the grey heron"),
    )
    (score,) = scrolls.summarize(run([Scripted("r", {"Who?": "grey heron"})], path))[
        "r"
    ].tasks.values()
    assert score and score.score == 100 and score.asked == 1


def test_a_reader_that_could_hold_nothing_has_no_score(tmp_path: Path) -> None:
    path = write(tmp_path / "qasper" / "v.jsonl", ("a", "Who?\n\nText.", "he"))
    found = scrolls.summarize(run([Scripted("r", {"Who?": None})], path))["r"]
    assert found.tasks == {"qasper": None} and found.mean is None
