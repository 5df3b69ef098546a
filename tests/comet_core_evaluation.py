"""What tests of the evaluation have in common: a tiny model, a watcher, and scripted readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from comet_core_tiny import CONTROL, make_model, make_tokenizer

from comet_core.checkpoint import LoadedModel, ModelSpec
from comet_core.evaluation.readers import Exam, Watcher
from comet_core.prompt import PromptFormat


def make_loaded() -> LoadedModel:
    """A random model with a tokenizer of bytes and chunks of 50."""
    prompt = PromptFormat(make_tokenizer(CONTROL))
    model = make_model(vocabulary=len(prompt.tokenizer), chunk_size=50, temporary_rows=12)
    spec = ModelSpec("tiny", "comet1-0", model.config, False, 0, "cpu", "float32", "test")
    return LoadedModel(spec, model, prompt)


class Silent:
    """A watcher that counts the answers it is told of."""

    def __init__(self) -> None:
        self.count = 0

    def reading(self, reader: str, read: int, tokens: int) -> None:
        assert 0 <= read <= tokens

    def answered(self, reader: str) -> None:
        self.count += 1


class Scripted:
    """A reader that knows its answers by the question, and keeps what it was given."""

    def __init__(self, name: str, answers: Mapping[str, str | None]) -> None:
        self.name, self.answers = name, answers
        self.about: dict[str, Any] = {}
        self.seen: list[Exam] = []

    def answer(
        self, exams: Sequence[Exam], max_tokens: int, watcher: Watcher
    ) -> list[list[str | None]]:
        self.seen += exams
        return [[self.answers.get(q, "") for q in exam.questions] for exam in exams]
