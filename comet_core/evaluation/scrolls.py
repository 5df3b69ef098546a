"""The seven tasks of SCROLLS (arXiv 2201.03533) from local files, judged as SCROLLS judges them.

A file is JSONL with `id`, `pid`, `input` and `output` a line; lines of one `id` are one question
with several accepted outputs. Where a task asks questions, the input is the question, a blank line,
and the document. A summary's score is the geometric mean of the mean ROUGE-1, ROUGE-2 and ROUGE-L;
the others are mean F1 or exact match; the score of all is the mean over the tasks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from comet_core.errors import CometError
from comet_core.evaluation.intervals import estimate, spread
from comet_core.evaluation.readers import Exam, Reader, Watcher, ask
from comet_core.evaluation.score import ROUGE, exact_match, f1, rouge
from comet_core.training.data import DataNotFound

Metric = Literal["rouge", "f1", "exact match"]


class UnknownTask(CometError):
    """The path of a file does not say of which SCROLLS task it is."""


@dataclass(frozen=True)
class Task:
    """metric: how it is judged. answer_tokens: the longest answer. question: what is asked where
    the file has no questions; None where it has.
    """

    name: str
    metric: Metric
    answer_tokens: int
    question: str | None = None


SUMMARIZE = "Write a summary of the text."
TASKS = {
    task.name: task
    for task in (
        Task("gov_report", "rouge", 1024, SUMMARIZE),
        Task("summ_screen_fd", "rouge", 512, SUMMARIZE),
        Task("qmsum", "rouge", 512),
        Task("narrative_qa", "f1", 128),
        Task("qasper", "f1", 128),
        Task("quality", "exact match", 128),
        Task("contract_nli", "exact match", 8),
    )
}


@dataclass(frozen=True)
class Paper:
    """A document and what is asked of it: ids, questions and accepted answers, in one order."""

    text: str
    ids: tuple[str, ...]
    questions: tuple[str, ...]
    accepted: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Said:
    """What a reader answered, and its scores by the names of the task's metrics."""

    answer: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Trial:
    """One question of a task, about document number `document`; None for a reader that the document
    did not fit."""

    task: str
    id: str
    document: int
    tokens: int
    question: str
    accepted: tuple[str, ...]
    answers: dict[str, Said | None]


def task_of(path: Path) -> Task:
    """The task a file is of, by its own name or its folder's; raises UnknownTask."""
    for name in (path.stem, path.parent.name):
        if name.lower() in TASKS:
            return TASKS[name.lower()]
    raise UnknownTask(
        f"{path} does not say its task; name the file or its folder one of: {', '.join(TASKS)}."
    )


def load_papers(path: Path, task: Task, limit: int | None = None) -> list[Paper]:
    """The documents of a file with their questions, in order; of the first `limit` ids.

    Raises DataNotFound, naming what is missing or broken.
    """
    outputs: dict[str, list[str]] = {}
    inputs: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                inputs.setdefault(record["id"], record["input"])
                outputs.setdefault(record["id"], []).append(_output(record))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataNotFound(f"The data file {path} cannot be used: {error}.") from error
    asked: dict[str, list[tuple[str, str]]] = {}
    for identifier in list(inputs)[:limit]:
        question, text = split_input(inputs[identifier], task)
        asked.setdefault(text, []).append((identifier, question))
    return [
        Paper(
            text,
            tuple(identifier for identifier, _ in pairs),
            tuple(question for _, question in pairs),
            tuple(tuple(outputs[identifier]) for identifier, _ in pairs),
        )
        for text, pairs in asked.items()
    ]


def _output(record: dict) -> str:
    if not isinstance(record["output"], str):
        raise ValueError("a line has no output to judge by (as in the test files of SCROLLS)")
    return record["output"]


def split_input(text: str, task: Task) -> tuple[str, str]:
    """An input as question and document. The question of QuALITY has its options with it, the last
    of which is (D).
    """
    if task.question is not None:
        return task.question, text
    options = text.find("(D)") if task.name == "quality" else 0
    split = text.find("\n\n", max(0, options))
    return (text[:split].strip(), text[split:].strip()) if split >= 0 else (text.strip(), "")


def ask_papers(
    readers: Sequence[Reader],
    task: Task,
    papers: Sequence[tuple[int, Paper, Sequence[int]]],
    watcher: Watcher,
) -> list[Trial]:
    """Have every reader read papers, side by side, and asked all their questions.

    papers: each with its number and its document's token ids.
    """
    exams = [Exam(tokens, paper.questions) for _, paper, tokens in papers]
    given = ask(readers, exams, task.answer_tokens, watcher)
    return [
        Trial(
            task.name, identifier, number, len(tokens), question, accepted,
            {name: _judged(said, accepted, task.metric) for name, said in answers.items()},
        )
        for (number, paper, tokens), of_paper in zip(papers, given, strict=True)
        for identifier, question, accepted, answers in zip(
            paper.ids, paper.questions, paper.accepted, of_paper, strict=True
        )
    ]  # fmt: skip


def _judged(said: str | None, accepted: Sequence[str], metric: Metric) -> Said | None:
    if said is None:
        return None
    if metric == "rouge":
        scores = rouge(said, accepted)
    elif metric == "f1":
        scores = {"f1": f1(said, accepted)}
    else:
        scores = {"exact match": float(exact_match(said, accepted))}
    return Said(said, {name: round(score, 6) for name, score in scores.items()})


@dataclass(frozen=True)
class TaskScore:
    """A reader's score in one task, 0 to 100 as SCROLLS reports it, with its 95 % interval.

    parts: the mean of each metric it is made of. asked, documents: questions, and documents they
    were about.
    """

    metric: Metric
    score: float
    low: float
    high: float
    parts: dict[str, float]
    asked: int
    documents: int
    method: str


@dataclass(frozen=True)
class Summary:
    """A reader's scores by task (None: held none of its documents), and their mean; complete: over
    all questions of all seven tasks, as the published figure is."""

    tasks: dict[str, TaskScore | None]
    mean: float | None
    complete: bool


def summarize(trials: Sequence[Trial], limited: bool = False) -> dict[str, Summary]:
    """A summary for every reader, by name; of at least one trial. limited: not all questions of the
    files were asked.
    """
    return {name: _summary(name, trials, limited) for name in trials[0].answers}


def _summary(name: str, trials: Sequence[Trial], limited: bool) -> Summary:
    tasks = {
        task: _score(name, [t for t in trials if t.task == task])
        for task in TASKS
        if any(t.task == task for t in trials)
    }
    scores = [score.score for score in tasks.values() if score is not None]
    return Summary(
        tasks,
        round(sum(scores) / len(scores), 2) if scores else None,
        not limited
        and len(tasks) == len(TASKS)
        and all(t.answers[name] is not None for t in trials),
    )


def _score(name: str, trials: Sequence[Trial]) -> TaskScore | None:
    held = [(t, said) for t in trials if (said := t.answers[name]) is not None]
    metric = TASKS[trials[0].task].metric
    keys = ROUGE if metric == "rouge" else (metric,)
    rows = [[said.scores[key] for key in keys] for _, said in held]
    documents = [t.document for t, _ in held]
    binary = metric == "exact match"
    found = estimate([bool(row[0]) if binary else row[0] for row in rows], documents)
    if found is None:
        return None
    means = np.array(rows).mean(axis=0)
    score, low, high, method = found.mean, found.low, found.high, found.method
    if metric == "rouge":
        score = float(geometric_mean(means))
        if found.documents > 1:
            method, (low, high) = spread(score, rows, documents, geometric_mean)
    return TaskScore(
        metric=metric,
        score=round(score * 100, 2),
        low=round(low * 100, 2),
        high=round(high * 100, 2),
        parts={key: round(float(mean) * 100, 2) for key, mean in zip(keys, means, strict=True)},
        asked=found.asked,
        documents=found.documents,
        method=method,
    )


def geometric_mean(means: NDArray) -> NDArray:
    """Over the last axis."""
    return np.prod(means, axis=-1) ** (1 / means.shape[-1])
