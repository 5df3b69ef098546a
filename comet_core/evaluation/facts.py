"""Planted facts: what of a long text can still be said at its end, by length and depth.

The paper's passkey experiment is one fact of kind "number". Every trial has its own text window,
fact and place; all follow from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from comet_core.checkpoint import LoadedModel
from comet_core.errors import CometError
from comet_core.evaluation.score import Share, exact_match, share
from comet_core.generation import Sampling, answer
from comet_core.reader import empty_state, read_batch
from comet_core.training.facts import Fact, make_facts

DEPTHS = 10


class TextsTooShort(CometError):
    """No text is long enough to plant facts in at a length that was asked for."""


Key = TypeVar("Key", int, str)


@dataclass(frozen=True)
class Trial:
    """One question asked: of how many tokens, and in which tenth of them the fact lay, from 0."""

    length: int
    depth: int
    kind: str
    question: str
    expected: str
    answer: str
    right: bool


def plant_facts(
    loaded: LoadedModel,
    texts: Sequence[Sequence[int]],
    lengths: Sequence[int],
    kinds: Sequence[str],
    facts: int,
    trials: int,
    seed: int,
    batch: int = 8,
) -> Iterator[Trial]:
    """Read `trials` texts of every length with `facts` planted facts each, and ask for every fact.

    texts: token ids of texts the model was not trained on; those shorter than a length are not used
    for it. Depths go round the tenths, then back to the end of a sentence. Raises TextsTooShort.
    """
    for length in lengths:
        long_enough = [text for text in texts if len(text) > length]
        if not long_enough:
            raise TextsTooShort(f"None of the texts has {length} tokens; give longer ones.")
        rng = Random(f"{seed}/{length}")
        for begin in range(0, trials, batch):
            made = [
                _planted(loaded, rng, long_enough, length, kinds, facts, number)
                for number in range(begin, min(begin + batch, trials))
            ]
            states = read_batch(
                loaded.model, [empty_state(loaded.model) for _ in made], [t for t, _ in made]
            )
            for state, (_, planted) in zip(states, made, strict=True):
                for fact, depth in planted:
                    said = "".join(
                        answer(
                            loaded.model,
                            loaded.prompt,
                            state,
                            fact.question,
                            sampling=Sampling(max_tokens=24),
                        )
                    )
                    right = exact_match(said, [fact.answer])
                    yield Trial(length, depth, fact.kind, fact.question, fact.answer, said, right)


def _planted(
    loaded: LoadedModel,
    rng: Random,
    texts: Sequence[Sequence[int]],
    length: int,
    kinds: Sequence[str],
    count: int,
    number: int,
) -> tuple[list[int], list[tuple[Fact, int]]]:
    """`length` tokens with facts in them, and each fact's depth in tenths."""
    made = make_facts(rng, list(kinds), count)
    statements = [loaded.prompt.text(" " + fact.statement) for fact in made]
    room = length - sum(map(len, statements))
    text = rng.choice(texts)
    start = rng.randrange(len(text) - room + 1)
    filler = list(text[start : start + room])
    stop = loaded.prompt.text("Yes.")[-1]
    placed = []
    for i, statement in enumerate(statements):
        depth = (number + i * DEPTHS // count) % DEPTHS
        spot = round((depth + rng.random()) / DEPTHS * room)
        while spot and filler[spot - 1] != stop:
            spot -= 1
        placed.append((spot, i, spot * DEPTHS // (room + 1), statement))
    tokens: list[int] = []
    begin = 0
    for spot, _, _, statement in sorted(placed):
        tokens += filler[begin:spot] + statement
        begin = spot
    return tokens + filler[begin:], [(made[i], depth) for _, i, depth, _ in sorted(placed)]


@dataclass(frozen=True)
class Summary:
    """Shares of facts that were exactly right; by length and depth None where nothing was asked."""

    all: Share
    by_length: dict[int, Share]
    by_kind: dict[str, Share]
    by_length_and_depth: dict[int, list[Share | None]]


def summarize(trials: Sequence[Trial]) -> Summary:
    """Shares over all trials (at least one), by length, by kind, and by length and depth."""

    def shares(chosen: Sequence[Trial]) -> Share | None:
        return share(sum(t.right for t in chosen), len(chosen)) if chosen else None

    def by(keys: Sequence[Key], key: Callable[[Trial], Key]) -> dict[Key, Share]:
        return {k: s for k in keys if (s := shares([t for t in trials if key(t) == k]))}

    lengths = sorted({t.length for t in trials})
    return Summary(
        all=share(sum(t.right for t in trials), len(trials)),
        by_length=by(lengths, lambda t: t.length),
        by_kind=by(sorted({t.kind for t in trials}), lambda t: t.kind),
        by_length_and_depth={
            n: [shares([t for t in trials if (t.length, t.depth) == (n, d)]) for d in range(DEPTHS)]
            for n in lengths
        },
    )
