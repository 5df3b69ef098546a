"""Training samples: a text to read in chunks and the questions asked of it afterwards.

A *reading* is what one batch has in common, so that its documents go through the model together:
the length of every chunk, the tail left unread, and the limit of the FIFO. Knows nothing of the
model.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import itemgetter
from random import Random
from typing import Literal

from comet_core.errors import CometError
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.training.data import Question, TokenizedDocument
from comet_core.training.distractors import paragraphs
from comet_core.training.facts import Fact, make_facts

PASSAGE, CUE = 64, 8  # tokens of a passage, and those of them that ask for the rest
TRIES = 20  # at drawing what a text does not answer, or a fact that fits in it
ABBREVIATED = {"mr", "mrs", "ms", "dr", "st", "no", "esq", "messrs", "rev", "col", "capt", "prof"}
EMPTY_WORDS = {"the", "of", "in", "to", "who", "did", "was", "s"}
WORD_TOKENS = 6  # at least those of the longest of these


Part = Literal["text", "read", "old", "new", "tail"]
"""Of a text: all of it, what chunks have taken up, the older half of that, the newest chunk of it,
or what none has."""
CHUNKS_PARTS: tuple[Part, ...] = ("read", "old", "new")
"""Those that need chunks: what has been read into a memory."""


class TextTooShort(CometError):
    """A text has no room for a fact."""


@dataclass(frozen=True)
class Asked:
    """A question and its answer as token ids, and how far back the fact lies.

    age: whole chunks between the one that holds the fact and the question; -1 where unknown or in
    the tail. answerable: whether the text has the answer; if not, that is the answer. recited: a
    passage of the text is asked for by its first tokens; that is never judged.
    """

    question: list[int]
    answer: list[int]
    age: int = -1
    answerable: bool = True
    recited: bool = False


@dataclass(frozen=True)
class Sample:
    """Token ids of a text and what is asked of it."""

    tokens: list[int]
    asked: list[Asked]


@dataclass(frozen=True)
class Reading:
    """Token counts of the chunks read, of the tail, and the rows the FIFO may hold."""

    chunks: list[int]
    tail: int
    temporary_rows: int

    @property
    def length(self) -> int:
        return sum(self.chunks) + self.tail

    def part(self, part: Part) -> tuple[int, int]:
        """First token of a part, and the one behind it."""
        read = sum(self.chunks)
        return {
            "text": (0, self.length),
            "read": (0, read),
            "old": (0, read // 2),
            "new": (read - self.chunks[-1] if self.chunks else 0, read),
            "tail": (read, self.length),
        }[part]

    def age(self, position: int) -> int:
        """Chunks read after the one that holds token `position`; -1 in the tail."""
        ends = list(accumulate(self.chunks))
        return len(ends) - 1 - bisect_right(ends, position)


def without_earlier_tails(samples: Sequence[Sample]) -> list[Sample]:
    """The samples of a step whose texts are asked together: only the last text's tail is held then,
    so what the others' tails tell is not asked, nor, of those, what is unanswerable.
    """
    *earlier, last = samples
    return [replace(s, asked=[a for a in s.asked if a.age >= 0]) for s in earlier] + [last]


def passages(
    rng: Random, tokens: Sequence[int], reading: Reading, count: int, part: Part = "text"
) -> list[Asked]:
    """Passages of one part of a text, asked for by their first tokens: `count`, or as many as that
    is long, and none of what is not longer than a cue.
    """
    begin, stop = reading.part(part)
    length = min(PASSAGE, stop - begin)
    if length <= CUE:
        return []
    count = min(count, -(-(stop - begin) // length))
    starts = [rng.randint(begin, stop - length) for _ in range(count)]
    return [
        Asked(
            question=list(tokens[start : start + CUE]),
            answer=list(tokens[start + CUE : start + length]),
            age=reading.age(start + length - 1),
            recited=True,
        )
        for start in starts
    ]


def ends_sentence(prompt: PromptFormat, tokens: list[int], spot: int) -> bool:
    """Whether a sentence ends before token `spot` of a text: behind a full stop that is not of an
    abbreviation, an initial or a number's digit.
    """
    if spot == 0 or tokens[spot - 1] != prompt.full_stop:
        return False
    before = prompt.decode(tokens[max(0, spot - 1 - WORD_TOKENS) : spot - 1])
    word = re.split(r"\W", before)[-1]
    return len(word) > 1 and word.casefold() not in ABBREVIATED


def _unanswerable(prompt: PromptFormat, question: str) -> Asked:
    return Asked(prompt.question(question), prompt.answer(NOT_IN_DOCUMENT), answerable=False)


class FactSampler:
    """Facts planted between the sentences of real text."""

    def __init__(self, prompt: PromptFormat, texts: Sequence[TokenizedDocument]) -> None:
        self.prompt = prompt
        self.texts = [text.tokens for text in texts]

    def sample(
        self,
        rng: Random,
        reading: Reading,
        kinds: list[str],
        facts: int,
        questions: int,
        unanswerable: float = 0.0,
        part: Part = "text",
        distractors: int = 0,
    ) -> Sample:
        """One text of exactly `reading.length` tokens with `facts` facts in one part of it; at most
        `questions` asked, the share `unanswerable` of them about facts that were not planted.
        `distractors` sentences that nobody asks for stand anywhere in the text, up to four beside
        each other. Of no facts one is asked for, which the text does not answer. Fewer facts and
        distractors where so many do not fit; raises TextTooShort where no fact does.
        """
        begin, stop = reading.part(part)
        made, planted = self._facts(rng, kinds, facts, stop - begin)
        others = self._distractors(rng, distractors, stop - begin - sum(map(len, planted)))
        told = sum(map(len, planted + others))
        filler = self.filler(rng, reading.length - told)
        spots = sorted(self._spot(rng, filler, begin, stop - told) for _ in planted)
        places = [
            *((spot, fact, True) for spot, fact in zip(spots, planted, strict=True)),
            *((self._spot(rng, filler, 0, len(filler)), other, False) for other in others),
        ]
        tokens: list[int] = []
        positions: list[int] = []
        done = 0
        for spot, sentence, is_fact in sorted(places, key=itemgetter(0)):
            tokens += filler[done:spot]
            if is_fact:
                positions.append(len(tokens) + len(sentence) - 1)
            tokens += sentence
            done = spot
        tokens += filler[done:]
        if not made:
            (foreign,) = make_facts(rng, kinds, 1)
            return Sample(tokens, [_unanswerable(self.prompt, foreign.question)])
        chosen = rng.sample(range(len(made)), min(questions, len(made)))
        asked = [
            Asked(
                self.prompt.question(made[i].question),
                self.prompt.answer(made[i].answer),
                reading.age(positions[i]),
            )
            for i in chosen
        ]
        if unanswerable:
            asked = [
                self._unplanted(rng, made) if rng.random() < unanswerable else a for a in asked
            ]
        return Sample(tokens, asked)

    def _facts(
        self, rng: Random, kinds: list[str], facts: int, room: int
    ) -> tuple[list[Fact], list[list[int]]]:
        """Facts, and the tokens that tell them, which fit in `room` tokens."""
        if facts == 0:
            return [], []
        for count in [*range(facts, 1, -1), *[1] * TRIES]:
            made = make_facts(rng, kinds, count)
            planted = [self.prompt.text(" " + fact.statement) for fact in made]
            if sum(map(len, planted)) <= room:
                return made, planted
        raise TextTooShort(f"No fact fits in {room} tokens of a text; choose larger chunk_sizes.")

    def _distractors(self, rng: Random, count: int, room: int) -> list[list[int]]:
        """Tokens of paragraphs that nobody asks for, of `count` sentences together, or as many of
        them as fit in `room` tokens.
        """
        made = [self.prompt.text(" " + paragraph) for paragraph in paragraphs(rng, count)]
        return [
            tokens
            for tokens, end in zip(made, accumulate(map(len, made)), strict=True)
            if end <= room
        ]

    def _unplanted(self, rng: Random, planted: Sequence[Fact]) -> Asked:
        """A question that no planted fact answers, about something like one of them: of some facts
        drawn of its kind, the one whose subject has most words in common with its own (the same of
        another, or another of the same).
        """
        known, like = {fact.about for fact in planted}, rng.choice(planted)
        drawn = [f for f in make_facts(rng, [like.kind], TRIES) if f.about not in known]
        nearest = max(drawn, key=lambda fact: len(_words(fact) & _words(like)))
        return _unanswerable(self.prompt, nearest.question)

    def filler(self, rng: Random, length: int) -> list[int]:
        """`length` tokens of running text, from as many texts as it takes."""
        tokens: list[int] = []
        while len(tokens) < length:
            text = rng.choice(self.texts)
            start = rng.randrange(max(1, len(text) - (length - len(tokens))))
            tokens += text[start : start + length - len(tokens)]
        return tokens

    def _spot(self, rng: Random, filler: list[int], begin: int, stop: int) -> int:
        """A place between two sentences near a uniformly chosen position from `begin` to `stop`."""
        spot = rng.randint(begin, stop)
        for near in range(spot, max(begin, spot - 40), -1):
            if ends_sentence(self.prompt, filler, near):
                return near
        return spot


class QuestionSampler:
    """Questions people asked of real documents."""

    def __init__(self, prompt: PromptFormat, documents: Sequence[TokenizedDocument]) -> None:
        self.prompt = prompt
        self.documents = [d for d in documents if d.questions]

    def sample(
        self,
        rng: Random,
        reading: Reading,
        questions: int,
        unanswerable: float = 0.0,
        part: Part = "text",
    ) -> Sample | None:
        """Consecutive sections cut to `reading.length` tokens, and questions that those in one part
        of it answer; the share `unanswerable` of these gives way to questions that the text does
        not answer.

        None where the document chosen is too short or has no question within that part.
        """
        document = rng.choice(self.documents)
        starts = [0, *accumulate(map(len, document.sections))]
        if starts[-1] < reading.length:
            return None
        first = rng.choice([i for i, s in enumerate(starts) if starts[-1] - s >= reading.length])
        begin = starts[first]
        earliest, latest = (begin + edge for edge in reading.part(part))
        held = [
            q
            for q in document.questions
            if q.answers
            and q.sections
            and starts[min(q.sections)] >= earliest
            and starts[max(q.sections) + 1] <= latest
        ]
        if not held:
            return None
        tokens = document.tokens[begin : begin + reading.length]
        asked = [
            Asked(
                self.prompt.question(q.question),
                self.prompt.answer(rng.choice(q.answers)),
                reading.age(starts[max(q.sections) + 1] - begin - 1),
            )
            for q in rng.sample(held, min(questions, len(held)))
        ]
        if unanswerable:
            text, whole = (self.prompt.decode(t).casefold() for t in (tokens, document.tokens))
            end = begin + reading.length
            answered = {q.question for q in held}
            elsewhere = [
                q
                for q in document.questions
                if q.question not in answered and _elsewhere(q, starts, begin, end, whole)
            ]
            asked = [
                self._foreign(rng, document, elsewhere, text) or a
                if rng.random() < unanswerable
                else a
                for a in asked
            ]
        return Sample(tokens, asked)

    def _foreign(
        self,
        rng: Random,
        document: TokenizedDocument,
        elsewhere: Sequence[Question],
        text: str,
    ) -> Asked | None:
        """A question that the text, a part of `document`, does not answer: one marked so in the
        data or answered `elsewhere` in the document, or another document's, if none of its answers
        occurs in the text.

        None where none was found.
        """
        for _ in range(TRIES):
            if elsewhere and rng.random() < 0.5:
                question, unfit = rng.choice(elsewhere), False
            else:
                other = rng.choice(self.documents)
                question = rng.choice(other.questions)
                unfit = other is document or not question.answers
            if not unfit and not _occurs(question, text):
                return _unanswerable(self.prompt, question.question)
        return None


def _words(fact: Fact) -> set[str]:
    """The words that say what a fact is about."""
    return set(re.findall(r"\w+", " ".join(fact.about).casefold())) - EMPTY_WORDS


def _elsewhere(question: Question, starts: Sequence[int], begin: int, end: int, whole: str) -> bool:
    """Whether, as far as the data says, no section between tokens `begin` and `end` answers a
    question. Where others do, an answer has to stand in the document word for word (`whole`: its
    text in lower case): one in words of its own might be given by any section. starts: the first
    token of every section, and the one behind all.
    """
    spans = [(starts[n], starts[n + 1]) for n in question.sections]
    outside = [stop <= begin or start >= end for start, stop in spans]
    return not question.answers or (bool(outside) and all(outside) and _occurs(question, whole))


def _occurs(question: Question, text: str) -> bool:
    """Whether an answer stands in a text in lower case."""
    return any(answer.casefold() in text for answer in question.answers)
