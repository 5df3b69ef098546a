"""Documents with questions from JSONL files, as token ids.

Format: one document a line, {"id", "title", "sections": [text], "qas": [{"question", "answers",
"sections", "unanswerable"?}]}. Knows nothing of batches or of the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from pydantic import BaseModel, ValidationError, model_validator

from comet_core.errors import CometError
from comet_core.prompt import PromptFormat

LONG_SECTION, PIECE = 2000, 600  # characters: a section longer than one is cut to the other


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


class _Asked(BaseModel):
    question: str
    answers: list[str]
    sections: list[int]
    unanswerable: bool = False


class _Line(BaseModel):
    """A line of a data file."""

    id: str
    sections: list[str]
    qas: list[_Asked]

    @model_validator(mode="after")
    def _sections_exist(self) -> _Line:
        for asked in self.qas:
            for section in asked.sections:
                if not 0 <= section < len(self.sections):
                    raise ValueError(
                        f"a question names section {section}, and they go from 0 to "
                        f"{len(self.sections) - 1}"
                    )
        return self


def load_documents(paths: Iterable[Path]) -> Iterator[QADocument]:
    """Every document of the files, in order; raises DataNotFound naming what is missing, or the
    line that is broken.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, start=1):
                    yield _document(_parsed(line, f"line {number} of the data file {path}"))
        except (OSError, UnicodeDecodeError) as error:
            raise DataNotFound(f"The data file {path} cannot be read: {error}.") from error


def _parsed(line: str, name: str) -> _Line:
    try:
        return _Line.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DataNotFound(f"In {name}, {where} is wrong: {first['msg']}.") from error


def _document(line: _Line) -> QADocument:
    return QADocument(
        id=line.id,
        sections=tuple(line.sections),
        questions=tuple(
            Question(
                question=asked.question,
                answers=() if asked.unanswerable else tuple(asked.answers),
                sections=tuple(asked.sections),
            )
            for asked in line.qas
        ),
    )


@dataclass(frozen=True)
class TokenizedDocument:
    """A document as tokens: one list a section, the blank line behind it included. Long sections
    are in pieces, each a section of its own.
    """

    sections: tuple[list[int], ...]
    questions: tuple[Question, ...]

    @property
    def tokens(self) -> list[int]:
        return [token for section in self.sections for token in section]


def tokenize(document: QADocument, prompt: PromptFormat) -> TokenizedDocument:
    """The document's sections as token ids, so that a part of a long one can be asked about.

    Of a question about a section in pieces the pieces count that hold an accepted answer, or, where
    none does, all of them.
    """
    pieces = [_pieces(section + "\n\n") for section in document.sections]
    starts = [0, *accumulate(map(len, pieces))]
    flat = [piece for section in pieces for piece in section]

    def placed(question: Question) -> Question:
        answers = [answer.casefold() for answer in question.answers]
        held: list[int] = []
        for section in question.sections:
            whole = range(starts[section], starts[section + 1])
            held += [n for n in whole if any(a in flat[n].casefold() for a in answers)] or whole
        return replace(question, sections=tuple(held))

    return TokenizedDocument(
        tuple(prompt.text(piece) for piece in flat), tuple(map(placed, document.questions))
    )


def _pieces(section: str) -> list[str]:
    """A section, or, if it is long, groups of its sentences."""
    if len(section) <= LONG_SECTION:
        return [section]
    pieces = [""]
    for sentence in re.split(r"(?<=[.!?])(?=\s)", section):
        if len(pieces[-1]) + len(sentence) > PIECE and pieces[-1]:
            pieces.append("")
        pieces[-1] += sentence
    return pieces
