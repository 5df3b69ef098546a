"""Planted facts: what of a long text can still be said at its end, by length, depth and kind.

The paper's passkey experiment is one fact of kind "number". Every trial has its own text window,
facts and places; all follow from the seed, and all readers are asked the same.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from comet_core.config import CometConfig
from comet_core.errors import CometError
from comet_core.evaluation.intervals import Estimate, estimate
from comet_core.evaluation.readers import Exam, Reader, Watcher, ask
from comet_core.evaluation.score import contains, exact_match
from comet_core.prompt import PromptFormat
from comet_core.training.facts import Fact, make_facts
from comet_core.training.samples import ends_sentence

DEPTHS = 10
ANSWER_TOKENS = 24


class TextsTooShort(CometError):
    """There is no text to plant facts in, or a length does not even hold the facts."""


@dataclass(frozen=True)
class Text:
    """Books the model was not trained on, one or several joined, as token ids."""

    names: tuple[str, ...]
    tokens: Sequence[int]


@dataclass(frozen=True)
class Plan:
    """What is planted: `trials` documents of every length (in tokens), each with `facts` facts of
    the given kinds.
    """

    lengths: Sequence[int]
    kinds: Sequence[str]
    facts: int
    trials: int
    seed: int

    @property
    def questions(self) -> int:
        return len(self.lengths) * self.trials * self.facts


@dataclass(frozen=True)
class Planted:
    """A fact in a text. depth: the tenth of the text in which it lies, from 0. begin: index of its
    first token.
    """

    fact: Fact
    depth: int
    begin: int


@dataclass(frozen=True)
class Document:
    """A text with facts in it, in the order of the text. number: among those of its length. texts:
    the books it is made of; more than one where no book is as long.
    """

    length: int
    number: int
    texts: tuple[str, ...]
    tokens: list[int]
    facts: tuple[Planted, ...]


@dataclass(frozen=True)
class Said:
    """What a reader answered: right if it is the fact, contained if the fact's words are in it."""

    answer: str
    right: bool
    contained: bool


@dataclass(frozen=True)
class Trial:
    """One question, and what each reader said; None where the text did not fit the reader.

    in_memory: the fact had been read into the memory, at least its beginning, when it was asked
    for; otherwise it stood in the tail, word for word.
    """

    length: int
    document: int
    texts: tuple[str, ...]
    depth: int
    in_memory: bool
    kind: str
    question: str
    expected: str
    answers: dict[str, Said | None]


def plant_facts(prompt: PromptFormat, texts: Sequence[Text], plan: Plan) -> Iterator[Document]:
    """The documents of a plan, one after another; the same for the same seed.

    Books that are shorter than a length are not used for it, unless all are: then whole books are
    joined in a drawn order, over and over. Depths go round the tenths, then back to the end of a
    sentence. Raises TextsTooShort.
    """
    texts = [text for text in texts if text.tokens]
    if not texts:
        raise TextsTooShort("There is not a word in these texts; give longer ones.")
    for length in plan.lengths:
        long_enough = [text for text in texts if len(text.tokens) > length]
        rng = Random(f"{plan.seed}/{length}")
        for number in range(plan.trials):
            made = make_facts(rng, list(plan.kinds), plan.facts)
            statements = [prompt.text(" " + fact.statement) for fact in made]
            room = length - sum(map(len, statements))
            if room <= 0:
                raise TextsTooShort(
                    f"{plan.facts} facts do not fit in {length} tokens; ask for longer texts."
                )
            chosen = rng.choice(long_enough) if long_enough else _joined(rng, texts, length)
            book = chosen.tokens
            start = rng.randrange(len(book) - room + 1)
            tokens, facts = _planted(
                rng, list(book[start : start + room]), made, statements, number, prompt
            )
            yield Document(length, number, chosen.names, tokens, facts)


def _joined(rng: Random, texts: Sequence[Text], length: int) -> Text:
    """Whole books, one behind the other, that have more than `length` tokens together."""
    names: list[str] = []
    tokens: list[int] = []
    books = cycle(rng.sample(texts, len(texts)))
    while len(tokens) <= length:
        text = next(books)
        names += text.names
        tokens += text.tokens
    return Text(tuple(names), tokens)


def _planted(
    rng: Random,
    filler: list[int],
    made: Sequence[Fact],
    statements: Sequence[list[int]],
    number: int,
    prompt: PromptFormat,
) -> tuple[list[int], tuple[Planted, ...]]:
    """The filler with the statements in it, and where each fact is."""
    placed = []
    for i in range(len(made)):
        depth = (number + i * DEPTHS // len(made)) % DEPTHS
        spot = round((depth + rng.random()) / DEPTHS * len(filler))
        while spot and not ends_sentence(prompt, filler, spot):
            spot -= 1
        placed.append((spot, i))
    placed.sort()
    tokens: list[int] = []
    facts: list[Planted] = []
    begin = 0
    for spot, i in placed:
        tokens += filler[begin:spot]
        facts.append(Planted(made[i], spot * DEPTHS // (len(filler) + 1), len(tokens)))
        tokens += statements[i]
        begin = spot
    return tokens + filler[begin:], tuple(facts)


def ask_facts(
    readers: Sequence[Reader], documents: Sequence[Document], sizes: CometConfig, watcher: Watcher
) -> list[Trial]:
    """Have every reader read the documents, side by side, and asked for all their facts.

    sizes: of the memory that is measured.
    """
    exams = [Exam(d.tokens, tuple(p.fact.question for p in d.facts)) for d in documents]
    return [
        Trial(
            d.length, d.number, d.texts, p.depth,
            p.begin < sizes.chunks_of(len(d.tokens)) * sizes.chunk_size,
            p.fact.kind, p.fact.question, p.fact.answer,
            {name: _judged(said, p.fact.answer) for name, said in answers.items()},
        )
        for d, given in zip(documents, ask(readers, exams, ANSWER_TOKENS, watcher), strict=True)
        for p, answers in zip(d.facts, given, strict=True)
    ]  # fmt: skip


def _judged(said: str | None, expected: str) -> Said | None:
    if said is None:
        return None
    return Said(said, exact_match(said, [expected]), contains(said, expected))


@dataclass(frozen=True)
class Summary:
    """Shares of facts that one reader got exactly right; None where it was asked nothing.

    contained: those whose words are in the answer, whatever else it says, for readers that never
    learnt to answer briefly. in_memory: over facts that had been read into the memory. Depths are
    tenths, from 0.
    """

    all: Estimate | None
    contained: Estimate | None
    in_memory: Estimate | None
    by_length: dict[int, Estimate | None]
    by_depth: list[Estimate | None]
    by_kind: dict[str, Estimate | None]
    by_length_and_depth: dict[int, list[Estimate | None]]


def summarize(trials: Sequence[Trial]) -> dict[str, Summary]:
    """A summary for every reader, by name; of at least one trial."""
    return {name: _summary(name, trials) for name in trials[0].answers}


def _summary(name: str, trials: Sequence[Trial]) -> Summary:
    held = [(t, said) for t in trials if (said := t.answers[name]) is not None]

    def shares(**fields: object) -> Estimate | None:
        """Over the trials whose fields have these values."""
        chosen = [
            (t, said) for t, said in held if all(getattr(t, k) == v for k, v in fields.items())
        ]
        return estimate([said.right for _, said in chosen], [_document(t) for t, _ in chosen])

    lengths = sorted({t.length for t in trials})
    return Summary(
        all=shares(),
        contained=estimate([s.contained for _, s in held], [_document(t) for t, _ in held]),
        in_memory=shares(in_memory=True),
        by_length={n: shares(length=n) for n in lengths},
        by_depth=[shares(depth=d) for d in range(DEPTHS)],
        by_kind={kind: shares(kind=kind) for kind in sorted({t.kind for t in trials})},
        by_length_and_depth={
            n: [shares(length=n, depth=d) for d in range(DEPTHS)] for n in lengths
        },
    )


def _document(trial: Trial) -> Hashable:
    return trial.length, trial.document
