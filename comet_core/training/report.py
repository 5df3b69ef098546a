"""What a training step did, as it is shown and as it is written to metrics.jsonl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from comet_core.training.samples import Asked


@dataclass(frozen=True)
class StepReport:
    """One step.

    loss: of answers to questions; recited: of passages; None where none were asked for.
    right: share of this step's answers entirely right, or None; score: of the last judged ones
    about facts.
    ages: [right, asked] by age in chunks; unanswerable: the same of what the text does not answer.
    tokens: text, questions and answers.
    """

    step: int
    stage_number: int
    stage: str
    task: str
    loss: float | None
    recited: float | None
    right: float | None
    score: float
    ages: dict[int, list[int]]
    unanswerable: list[int]
    chunk_size: int
    chunks: int
    temporary_rows: int
    tokens: int
    seconds: float


def tallies(
    asked: Sequence[Asked], right: Sequence[bool]
) -> tuple[dict[int, list[int]], list[int]]:
    """[right, asked] for every age in chunks, and for what the texts do not answer."""
    ages: dict[int, list[int]] = {}
    unanswerable = [0, 0]
    for question, ok in zip(asked, right, strict=True):
        tally = ages.setdefault(question.age, [0, 0]) if question.answerable else unanswerable
        tally[0] += ok
        tally[1] += 1
    return ages, unanswerable
