"""Answering: resume from a state, read the question, write the answer token by token.

The state of the document is never changed: a conversation is a fork of it. The tail, or the window
of it that answers, and the question are the answering chunk; what outgrows a chunk is read into the
fork's own memory, as text is. Where the tail is not sure, the memory is asked as well, and answers
where it hardly would refuse. Knows nothing of where states or conversations are kept.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from comet_core.memory import Memory, MemoryState
from comet_core.model import CometModel
from comet_core.prefixes import (
    Prefix,
    fold_tail,
    must_fold,
    must_fold_tail,
    of_window,
    open_chunk,
    open_state,
)
from comet_core.prompt import NOT_IN_DOCUMENT, PromptFormat
from comet_core.reader import ChunkTurn

SURE = 0.003
"""A tail answers alone where its chance of a refusal is at most this."""

REMEMBERED = 0.03
"""A memory that is asked beside a tail, or an earlier volume beside it, answers only where its
chance of a refusal is below this: of what it does not hold it would make something up."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; temperature 0 takes the most likely one.

    Raises ValueError, naming the value received, for what cannot be.
    """

    max_tokens: int = field(default=128, metadata={"help": "longest answer, in tokens"})
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {self.max_tokens}")
        if self.temperature < 0:
            raise ValueError(f"temperature must not be negative, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")


class Turn(NamedTuple):
    """A question and the answer that was given."""

    question: str
    answer: str


class Written(NamedTuple):
    """A token of an answer, the probability at temperature 1 that the model gave it, and where it
    comes from, as in `Prefix.remembered`.
    """

    token: int
    chance: float
    remembered: bool | None


class Answer(Iterator[str]):
    """An answer that is being written: iterating gives its text in pieces, closing ends it.

    input_tokens: those of question and history. output_tokens: those written so far. chances: the
    text that each of these completed, empty where a character needs more, and its probability at
    temperature 1. finish: "stop" if it came to its end, "length" if it was cut at the longest; None
    before. remembered: whether it comes from the memory, and not from the tail; None where it may
    come from either, where it is a refusal, and before it has begun. `turn` is entered for each
    computation, of a chunk at most, or of an eighth of one in every window.
    """

    def __init__(
        self,
        model: CometModel,
        prompt: PromptFormat,
        start: MemoryState | Prefix,
        asked: Sequence[Sequence[int]],
        sampling: Sampling,
        turn: ChunkTurn = nullcontext,
    ) -> None:
        self.input_tokens = sum(map(len, asked))
        self.output_tokens = 0
        self.chances: list[tuple[str, float]] = []
        self.finish: str | None = None
        self.remembered: bool | None = None
        self._refusal = prompt.answer(NOT_IN_DOCUMENT)[:-1]
        written = generate(model, start, asked, prompt.end, sampling, turn, self._refusal)
        text = self._text(prompt, written, sampling.max_tokens)
        self._pieces = self._ended(_until(sampling.stop, text))

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """Write no further."""
        self._pieces.close()

    def _text(
        self, prompt: PromptFormat, written: Iterator[Written], longest: int
    ) -> Iterator[str]:
        """Text as it grows; a character whose bytes are not all there yet waits for the rest. The
        space that an answer may begin with belongs to the format, which adds one where it has one.
        """
        ids: list[int] = []
        shown = ""
        for token, chance, remembered in written:
            ids.append(token)
            self.remembered = None if ids == self._refusal else remembered
            text = prompt.decode(ids).lstrip()
            piece = ""
            if text.startswith(shown) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                piece, shown = text[len(shown) :], text
            self.output_tokens += 1
            self.chances.append((piece, chance))
            yield piece
        if self.output_tokens == longest:
            self.finish = "length"
        rest = prompt.decode(ids).lstrip()
        if len(rest) > len(shown) and rest.startswith(shown):
            piece = rest[len(shown) :]
            self.chances[-1] = (piece, self.chances[-1][1])
            yield piece

    def _ended(self, pieces: Iterator[str]) -> Generator[str, None, None]:
        yield from filter(None, pieces)
        self.finish = self.finish or "stop"


def answer(
    model: CometModel,
    prompt: PromptFormat,
    start: MemoryState | Prefix,
    question: str,
    history: Sequence[tuple[str, str]] = (),
    sampling: Sampling = Sampling(),
) -> Answer:
    """Stream the answer to `question` as pieces of text; they join to the whole answer.

    start: the state of a document, or an opened prefix of it (`comet_core.prefixes`), from which
    the answer is the same. history: earlier questions with their answers, read in the format of
    training.
    """
    return Answer(model, prompt, start, asked_blocks(prompt, question, history), sampling)


def asked_blocks(
    prompt: PromptFormat, question: str, history: Sequence[tuple[str, str]] = ()
) -> list[list[int]]:
    """The tokens of a conversation up to where the answer to `question` starts, a block a turn."""
    turns = [[*prompt.question(asked), *prompt.answer(answered)] for asked, answered in history]
    return [*turns, prompt.question(question)]


@torch.inference_mode()
def generate(
    model: CometModel,
    start: MemoryState | Prefix,
    asked: Sequence[Sequence[int]],
    end: int,
    sampling: Sampling,
    turn: ChunkTurn = nullcontext,
    refusal: Sequence[int] = (),
) -> Iterator[Written]:
    """The tokens of the answer to the last block of `asked`, the end token left out.

    refusal: the answer that it is not in the document, without its end; none: nothing is compared.
    Of the windows of a tail or a memory the one answers that is least likely to begin with its
    first token. Where that is likelier than `SURE`, what is `beside` is asked as well, the memory
    of a tail and the earlier volumes of a memory, and answers if it is less likely there, and
    unlikely (`REMEMBERED`). A refusal is told only if it is likelier than all else.
    """
    if isinstance(start, MemoryState):
        fold = must_fold_tail(model, start, sum(map(len, asked)))
        start = open_state(model, start, fold, turn)
    fork, logits = _ask(start, asked, turn, refusal)
    while start.beside is not None and (doubt := float(_refusal_chance(logits, refusal))) > SURE:
        start = start.beside
        also = _ask(start, asked, turn, refusal)
        if _refusal_chance(also[1], refusal) < min(doubt, REMEMBERED):
            fork, logits = also
    choose = _Chooser(sampling, start.model.device)
    allowed = _without_unlikely_refusal(logits, refusal)
    for written in range(1, sampling.max_tokens + 1):
        token = choose(allowed)
        if token == end:
            return
        yield Written(token, float(logits.float().softmax(-1)[token]), fork.remembered)
        if written < sampling.max_tokens:
            allowed = logits = fork.step(token)


def _ask(
    start: Prefix, asked: Sequence[Sequence[int]], turn: ChunkTurn, refusal: Sequence[int]
) -> tuple[Fork, Tensor]:
    """A fork of a prefix that has read `asked`, in the window that answers, and the logits
    (vocabulary,) of what follows.
    """
    fork = Fork(_narrowed(start, asked, turn, refusal), turn)
    for block in asked:
        logits = fork.read(block)
    return fork, fork.settle(logits, refusal)


def _narrowed(
    start: Prefix, asked: Sequence[Sequence[int]], turn: ChunkTurn, refusal: Sequence[int]
) -> Prefix:
    """The one window in which all of a longer conversation is read, chosen by its end: to read it
    in every window would take ever more time.
    """
    model, tokens = start.model, list(chain.from_iterable(asked))
    longest = max(1, model.config.chunk_size // 8)
    if start.windows == 1 or len(tokens) <= longest:
        return start
    ids = torch.tensor([tokens[-longest:]], device=model.device).expand(start.windows, -1)
    with turn():
        hidden = model.answer_hidden(start.cache(), ids, start=start.held)
        logits = model.backbone.logits(hidden[:, -1])
    return start.window(_least_refused(logits, refusal))


def _refusal_chance(logits: Tensor, refusal: Sequence[int]) -> Tensor:
    """The chance (...) that an answer begins as a refusal, of logits (..., vocabulary); 0 if there
    is none to compare with.
    """
    chances = logits.float().softmax(-1)
    return chances[..., refusal[0]] if refusal else torch.zeros_like(chances[..., 0])


def _least_refused(logits: Tensor, refusal: Sequence[int]) -> int:
    """The window whose answer is least likely to begin as a refusal, the newest of several; of
    logits (windows, vocabulary).
    """
    return len(logits) - 1 - int(_refusal_chance(logits, refusal).flip(0).argmin())


def _without_unlikely_refusal(logits: Tensor, refusal: Sequence[int]) -> Tensor:
    """Logits (vocabulary,) of an answer's first token, without that of a refusal if it is less
    likely than all others together, even where each of these is less likely still.
    """
    if not refusal or _refusal_chance(logits, refusal) > 0.5:
        return logits
    return logits.index_fill(0, torch.tensor(refusal[:1], device=logits.device), -torch.inf)


class Fork:
    """A prefix that is being read on from without changing it: one conversation's own memory.

    Text that follows goes through an answering chunk with a key/value cache; when the chunk is full
    it is read into the fork's memory, and the next one starts. `turn` is entered for each
    computation, of a chunk at most.
    """

    def __init__(self, start: Prefix, turn: ChunkTurn = nullcontext) -> None:
        self.model = start.model
        self.turn = turn
        self.remembered = start.remembered
        self.memory: Memory = start.memory
        self.texts = start.texts  # of every window
        self.chunk: list[int] = list(start.texts[-1])  # of any window, until one is chosen
        self.cache: DynamicCache | None = start.cache()

    def read(self, block: Sequence[int]) -> Tensor:
        """Read a turn, of one token or more; returns the logits of what follows it, (vocabulary,)
        of every window.

        A turn that does not fit behind what the chunk holds, with room for an answer, starts a
        chunk of its own: it is not cut in two unless it is longer than a chunk.
        """
        size = self.model.config.chunk_size
        if must_fold(self.model, len(self.chunk), len(block), self.memory[0].rows):
            self._fold()
        while len(block) > size:
            self.chunk, block = [*self.chunk, *block[:size]], block[size:]
            self._fold()
        return self._read(block)

    def settle(self, logits: Tensor, refusal: Sequence[int]) -> Tensor:
        """Go on from the window that answers; `logits` (windows, vocabulary) -> (vocabulary,)."""
        if self.cache is None or len(self.texts) == 1:
            return logits[0]
        window = _least_refused(logits, refusal)
        self.memory = of_window(self.memory, window)
        self.texts = self.texts[window : window + 1]
        self.chunk[: len(self.texts[0])] = self.texts[0]
        self.cache.batch_select_indices(torch.tensor([window], device=self.model.device))
        return logits[window]

    def step(self, token: int) -> Tensor:
        """Read one token of an answer; returns the logits (vocabulary,) of what follows it."""
        if len(self.chunk) == self.model.answering_size(self.memory[0].rows):
            self._fold()
        return self.settle(self._read([token]), ())

    def _read(self, tokens: Sequence[int]) -> Tensor:
        cache = self._open() if self.cache is None else self.cache
        ids = torch.tensor([tokens], device=self.model.device).expand(len(self.texts), -1)
        with self.turn():
            hidden = self.model.answer_hidden(cache, ids, start=len(self.chunk))
            logits = self.model.backbone.logits(hidden[:, -1])
        self.chunk += tokens
        return logits

    def _fold(self) -> None:
        """Read what this chunk holds into the memory, but for as long a tail as then has room; the
        next one is opened when it is needed.
        """
        config = self.model.config
        room = self.model.answering_size(config.global_rows + config.temporary_rows)
        kept = min(config.tail_tokens, room - config.chunk_size - config.chunk_size // 4)
        self.memory, tail = fold_tail(self.model, self.memory, self.chunk, kept, self.turn)
        self.chunk, self.cache = list(tail), None

    def _open(self) -> DynamicCache:
        """Start an answering chunk with all that is held."""
        opened = open_chunk(self.model, self.memory, self.chunk, self.turn)
        self.texts, self.cache = opened.texts, opened.cache()
        return self.cache


class _Chooser:
    """The next token from logits, greedily or by seeded nucleus sampling."""

    def __init__(self, sampling: Sampling, device: torch.device) -> None:
        self.sampling = sampling
        self.random = torch.Generator(device)
        if sampling.seed is not None:
            self.random.manual_seed(sampling.seed)
        else:
            self.random.seed()

    def __call__(self, logits: Tensor) -> int:
        if self.sampling.temperature == 0:
            return int(logits.argmax())
        chances, tokens = (
            (logits.float() / self.sampling.temperature).softmax(-1).sort(descending=True)
        )
        beyond = chances.cumsum(0) - chances >= self.sampling.top_p
        chances = chances.masked_fill(beyond, 0.0)
        return int(tokens[torch.multinomial(chances, 1, generator=self.random)])


def _until(stops: Sequence[str], pieces: Iterator[str]) -> Iterator[str]:
    """The pieces up to the stop text that is complete first, which is not shown, even in parts."""
    if not stops:
        yield from pieces
        return
    held = ""
    longest = max(map(len, stops))
    for piece in pieces:
        held += piece
        ends = [(held.index(stop) + len(stop), -len(stop)) for stop in stops if stop in held]
        if ends:
            end, length = min(ends)
            yield held[: end + length]
            return
        safe = len(held) - longest + 1
        if safe > 0:
            yield held[:safe]
            held = held[safe:]
    yield held
