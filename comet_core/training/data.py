"""Documents with questions from JSONL files, as token ids.

Format: one document a line, {"id", "title", "sections": [text], "qas": [{"question", "answers",
"sections", "unanswerable"?}]}. Knows nothing of batches or of the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from comet_core.errors import CometError
from comet_core.prompt import PromptFormat


class DataNotFound(CometError):
    """A data file named by a recipe or an evaluation is not there or cannot be read."""


@dataclass(frozen=True)
class Question:
    """A question, its accepted answers (none: unanswerable) and the sections that hold them."""

    question: str
    answers: tuple[str, ...]
    sections: tuple[int, ...]


@dataclass(frozen=True)
class QADocument:
    id: str
    sections: tuple[str, ...]
    questions: tuple[Question, ...]


def load_documents(paths: Iterable[Path]) -> Iterator[QADocument]:
    """Every document of the files, in order; raises DataNotFound naming what is missing or
    broken.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    yield _document(json.loads(line))
        except (OSError, ValueError, KeyError) as error:
            raise DataNotFound(f"The data file {path} cannot be used: {error}.") from error


def _document(record: dict) -> QADocument:
    return QADocument(
        id=record["id"],
        sections=tuple(record["sections"]),
        questions=tuple(
            Question(
                question=qa["question"],
                answers=() if qa.get("unanswerable") else tuple(qa["answers"]),
                sections=tuple(qa["sections"]),
            )
            for qa in record["qas"]
        ),
    )


@dataclass(frozen=True)
class TokenizedDocument:
    """A document as tokens: one list a section, the blank line behind it included."""

    sections: tuple[list[int], ...]
    questions: tuple[Question, ...]

    @property
    def tokens(self) -> list[int]:
        return [token for section in self.sections for token in section]


def tokenize(document: QADocument, prompt: PromptFormat) -> TokenizedDocument:
    """The document's sections as token ids."""
    return TokenizedDocument(
        tuple(prompt.text(section + "\n\n") for section in document.sections), document.questions
    )
