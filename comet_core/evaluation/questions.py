"""Questions people asked about real documents, answered from memory alone.

Beside the memory's own score stands that of the same model with no document at all: what can be
guessed. A reader that does not beat it has read nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from comet_core.checkpoint import LoadedModel
from comet_core.evaluation.score import Share, exact_match, f1, share
from comet_core.generation import Sampling, answer
from comet_core.memory import MemoryState
from comet_core.reader import empty_state, read
from comet_core.training.data import QADocument, Question


@dataclass(frozen=True)
class Asked:
    """One question: what was said from memory and what with no document, each with its F1."""

    document: str
    tokens: int
    question: str
    accepted: tuple[str, ...]
    answer: str
    f1: float
    exact: bool
    guess: str
    guess_f1: float


def ask_questions(
    loaded: LoadedModel,
    documents: Sequence[QADocument],
    per_document: int,
    max_tokens: int,
    seed: int,
) -> Iterator[Asked]:
    """Read each document up to `max_tokens` tokens and ask questions that those sections answer."""
    nothing = empty_state(loaded.model)
    for document in documents:
        rng = Random(f"{seed}/{document.id}")
        tokens: list[int] = []
        sections = 0
        for section in document.sections:
            piece = loaded.prompt.text(section + "\n\n")
            if len(tokens) + len(piece) > max_tokens:
                break
            tokens += piece
            sections += 1
        held = [
            q for q in document.questions if q.answers and max(q.sections, default=0) < sections
        ]
        if not held:
            continue
        *_, state = read(loaded.model, nothing, tokens)
        for question in rng.sample(held, min(per_document, len(held))):
            said, guess = (_say(loaded, s, question) for s in (state, nothing))
            yield Asked(
                document=document.id,
                tokens=len(tokens),
                question=question.question,
                accepted=question.answers,
                answer=said,
                f1=round(f1(said, question.answers), 4),
                exact=exact_match(said, question.answers),
                guess=guess,
                guess_f1=round(f1(guess, question.answers), 4),
            )


def _say(loaded: LoadedModel, state: MemoryState, question: Question) -> str:
    pieces = answer(
        loaded.model, loaded.prompt, state, question.question, sampling=Sampling(max_tokens=32)
    )
    return "".join(pieces)


@dataclass(frozen=True)
class Summary:
    """Mean F1 and exact match; floor_f1: mean F1 of the answers given with no document."""

    questions: int
    f1: float
    exact: Share
    floor_f1: float


def summarize(asked: Sequence[Asked]) -> Summary:
    """The summary of at least one question."""
    return Summary(
        questions=len(asked),
        f1=round(sum(a.f1 for a in asked) / len(asked), 4),
        exact=share(sum(a.exact for a in asked), len(asked)),
        floor_f1=round(sum(a.guess_f1 for a in asked) / len(asked), 4),
    )
