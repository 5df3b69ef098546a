"""Questions people asked about real documents, answered from what was read of them.

Beside answerable questions stand some that the document does not answer: those the data marks, and
otherwise questions about another document. All readers are asked the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from random import Random

from comet_core.config import CometConfig
from comet_core.evaluation.intervals import Estimate, Ratio, estimate, ratio
from comet_core.evaluation.readers import Exam, Reader, Watcher, ask
from comet_core.evaluation.score import contains, declines, exact_match, f1, normalized, rouge
from comet_core.prompt import PromptFormat
from comet_core.training.data import QADocument, Question

LONG_WORDS = 5
"""Answers of more words than these are long: ROUGE-L says more of them than equality."""


@dataclass(frozen=True)
class Plan:
    """What is asked: of every document's first `max_tokens` tokens, in whole sections, so many
    questions that these answer and so many that the document does not. sizes: what distances are
    counted with. before: token ids of a text that is read before each document.
    """

    questions: int
    unanswerable: int
    max_tokens: int
    sizes: CometConfig
    seed: int
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class Item:
    """A question with its accepted answers (none: unanswerable).

    distance: whole chunks read after the one with the end of the section that holds the answer; -1
    if that is in the tail, which is not in the memory yet; None where the data does not tell.
    """

    question: str
    accepted: tuple[str, ...]
    distance: int | None = None


@dataclass(frozen=True)
class Paper:
    """What is read of a document, as token ids, with what is read before it, and what is asked of
    it. chunks: how many of these are read into the memory; none where all is tail."""

    document: str
    tokens: list[int]
    chunks: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Said:
    """What a reader answered. contained: the words of an accepted answer stand in it. declined: it
    said that this is not in the document. rouge_l: None where the package rouge-score is not
    installed."""

    answer: str
    f1: float
    exact: bool
    contained: bool
    rouge_l: float | None
    declined: bool


@dataclass(frozen=True)
class Trial:
    """One question, and what each reader said; None where the document did not fit the reader."""

    document: str
    tokens: int
    question: str
    accepted: tuple[str, ...]
    distance: int | None
    answers: dict[str, Said | None]


def choose_questions(
    prompt: PromptFormat, documents: Sequence[QADocument], plan: Plan
) -> list[Paper]:
    """What is read and asked of each document that answers a question; it follows from the seed."""
    before = normalized(prompt.decode(list(plan.before)))
    papers = (_paper(prompt, document, documents, plan, before) for document in documents)
    return [paper for paper in papers if paper is not None]


def _paper(
    prompt: PromptFormat,
    document: QADocument,
    others: Sequence[QADocument],
    plan: Plan,
    before: str,
) -> Paper | None:
    tokens = [*plan.before]
    ends: list[int] = []
    for section in document.sections:
        piece = prompt.text(section + "\n\n")
        if len(tokens) + len(piece) > len(plan.before) + plan.max_tokens:
            break
        tokens += piece
        ends.append(len(tokens))
    held = [q for q in document.questions if q.answers and max(q.sections, default=0) < len(ends)]
    if not held:
        return None
    chosen = Random(f"{plan.seed}/{document.id}").sample(held, min(plan.questions, len(held)))
    rng = Random(f"{plan.seed}/{document.id}/unanswerable")
    return Paper(
        document.id,
        tokens,
        plan.sizes.chunks_of(len(tokens)),
        (
            *(Item(q.question, q.answers, _distance(q, ends, plan.sizes)) for q in chosen),
            *(Item(q, ()) for q in _unanswerable(rng, document, others, plan.unanswerable, before)),
        ),
    )


def _distance(question: Question, ends: Sequence[int], sizes: CometConfig) -> int | None:
    """Chunks between a question's section and the question; a document of one section, which says
    nothing of where the answer is, has none.
    """
    if not question.sections or len(ends) == 1:
        return None
    last_chunk = sizes.chunks_of(ends[-1]) - 1
    return max(-1, last_chunk - (ends[max(question.sections)] - 1) // sizes.chunk_size)


def _unanswerable(
    rng: Random, document: QADocument, others: Sequence[QADocument], count: int, before: str
) -> list[str]:
    """Up to `count` questions that a document does not answer: those marked, then those about other
    documents of which no accepted answer occurs in this one, or in what is read before it.
    """
    marked = [q.question for q in document.questions if not q.answers]
    chosen = rng.sample(marked, min(count, len(marked)))
    foreign = [q for o in others if o.id != document.id for q in o.questions if q.answers]
    text = f" {before} {normalized(' '.join(document.sections))} "
    own = {q.question for q in document.questions}
    for question in rng.sample(foreign, len(foreign)):
        if len(chosen) == count:
            break
        answers = [normalized(answer) for answer in question.answers]
        occurs = any(not answer or f" {answer} " in text for answer in answers)
        if not occurs and question.question not in own and question.question not in chosen:
            chosen.append(question.question)
    return chosen


def ask_questions(
    readers: Sequence[Reader], papers: Sequence[Paper], max_tokens: int, watcher: Watcher
) -> list[Trial]:
    """Have every reader read the papers, side by side, and asked all their questions."""
    exams = [Exam(p.tokens, tuple(item.question for item in p.items)) for p in papers]
    return [
        Trial(
            p.document, len(p.tokens), item.question, item.accepted, item.distance,
            {name: _judged(said, item.accepted) for name, said in answers.items()},
        )
        for p, given in zip(papers, ask(readers, exams, max_tokens, watcher), strict=True)
        for item, answers in zip(p.items, given, strict=True)
    ]  # fmt: skip


def _judged(said: str | None, accepted: Sequence[str]) -> Said | None:
    if said is None:
        return None
    has_rouge = bool(accepted) and find_spec("rouge_score") is not None
    return Said(
        answer=said,
        f1=round(f1(said, accepted), 4),
        exact=exact_match(said, accepted),
        contained=any(contains(said, a) for a in accepted if normalized(a)),
        rouge_l=round(rouge(said, accepted)["rougeL"], 4) if has_rouge else None,
        declined=declines(said),
    )


@dataclass(frozen=True)
class Summary:
    """How one reader answered; None where there is nothing to say.

    f1, exact, contained: over answerable questions; the last is for readers that never learnt to
    answer briefly. rouge_l_long: over those whose every accepted answer is
    longer than `LONG_WORDS` words. f1_by_distance: by chunks between answer and question.
    not_in_document: the share of unanswerable questions of which it says so; wrongly_not: that of
    answerable ones. against: its F1 as a multiple of every other reader's, over the questions that
    both could hold.
    """

    f1: Estimate | None
    exact: Estimate | None
    contained: Estimate | None
    rouge_l_long: Estimate | None
    f1_by_distance: dict[str, Estimate | None]
    not_in_document: Estimate | None
    wrongly_not: Estimate | None
    against: dict[str, Ratio | None]


def summarize(trials: Sequence[Trial]) -> dict[str, Summary]:
    """A summary for every reader, by name; of at least one trial."""
    return {name: _summary(name, trials) for name in trials[0].answers}


def _summary(name: str, trials: Sequence[Trial]) -> Summary:
    held = [(t, said) for t in trials if (said := t.answers[name]) is not None]
    answerable = [(t, said) for t, said in held if t.accepted]
    buckets: dict[str, list[tuple[Trial, float]]] = {}
    for distance in sorted({t.distance for t, _ in answerable if t.distance is not None}):
        scored = [(t, said.f1) for t, said in answerable if t.distance == distance]
        buckets.setdefault(bucket(distance), []).extend(scored)
    return Summary(
        f1=_mean([(t, said.f1) for t, said in answerable]),
        exact=_mean([(t, said.exact) for t, said in answerable]),
        contained=_mean([(t, said.contained) for t, said in answerable]),
        rouge_l_long=_mean(
            [
                (t, said.rouge_l)
                for t, said in answerable
                if said.rouge_l is not None and all(len(a.split()) > LONG_WORDS for a in t.accepted)
            ]
        ),
        f1_by_distance={label: _mean(scored) for label, scored in buckets.items()},
        not_in_document=_mean([(t, said.declined) for t, said in held if not t.accepted]),
        wrongly_not=_mean([(t, said.declined) for t, said in answerable]),
        against={
            other: _ratio(name, other, trials) for other in trials[0].answers if other != name
        },
    )


def bucket(distance: int) -> str:
    """The name of the distances that one is counted with: "tail", "0", "1", "2-3", "4-7", ..."""
    if distance < 0:
        return "tail"
    low = 1 << (distance.bit_length() - 1) if distance else 0
    return f"{low}" if low < 2 else f"{low}-{2 * low - 1}"


def _mean(scored: Sequence[tuple[Trial, float]]) -> Estimate | None:
    return estimate([score for _, score in scored], [t.document for t, _ in scored])


def _ratio(name: str, other: str, trials: Sequence[Trial]) -> Ratio | None:
    both = [
        (t, (mine.f1, theirs.f1))
        for t in trials
        if t.accepted
        and (mine := t.answers[name]) is not None
        and (theirs := t.answers[other]) is not None
    ]
    return ratio([pair for _, pair in both], [t.document for t, _ in both])
