"""Answers of one model, many at a time: memories kept ready, steps taken in turn, details told.

Shared by all who ask this model. Knows nothing of documents or conversations: a `Source` says where
a memory comes from, and whoever wants to keep an answer is told when it has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from app.dialogue import Dialogue
from app.settings import Settings
from app.sources import Source
from app.turns import Turns

if TYPE_CHECKING:
    from comet_core.checkpoint import LoadedModel
    from comet_core.generation import Answer, Sampling
    from comet_core.prefixes import PrefixCache

CACHE_BYTES = 2 << 30
"""Memories, with their keys and values, that are kept ready at most: of the default model those of
three or four long books.
"""

Keep = Callable[[str, dict[str, Any]], None]
"""Is given the text and the details of an answer that has ended."""


class Answerer:
    """The model of the settings, and the memories it has at hand. Safe to use from many threads.

    turns: whose turn it is to have the model compute.
    """

    def __init__(self, settings: Settings) -> None:
        self.turns = Turns()
        self._settings = settings
        self._lock = Lock()
        self._ready: tuple[LoadedModel, PrefixCache] | None = None

    @property
    def model(self) -> LoadedModel:
        """The model, loaded at the first use. Raises what `load_model` raises."""
        return self._loaded()[0]

    def reply(
        self, source: Source, dialogue: Dialogue, sampling: Sampling, keep: Keep | None = None
    ) -> Reply:
        """Answer the dialogue's question; the memory stays as it is.

        Raises what loading the model and the memory raises, before the first piece.
        """
        from comet_core.generation import Answer, asked_blocks

        loaded, cache = self._loaded()
        asked = asked_blocks(loaded.prompt, dialogue.question, dialogue.history)
        begun = time.monotonic()
        with self.turns.answering():
            state = cache.state(source.key, source.load)
            length = sum(map(len, asked))
            start = cache.start(loaded.model, source.key, state, length, self.turns.answer)
        record = _Record(begun, source.tokens, start.memory_rows, time.monotonic() - begun)
        answer = Answer(loaded.model, loaded.prompt, start, asked, sampling, self.turns.answer)
        return Reply(answer, self.turns, record, keep)

    def drop(self, key: str) -> None:
        """Keep the memory of a source's key at hand no longer."""
        if self._ready is not None:
            self._ready[1].drop(key)

    def _loaded(self) -> tuple[LoadedModel, PrefixCache]:
        with self._lock:
            if self._ready is None:
                from comet_core.checkpoint import load_model
                from comet_core.prefixes import PrefixCache

                loaded = load_model(
                    self._settings.model,
                    cache=self._settings.model_cache,
                    device=self._settings.device,
                    dtype=self._settings.dtype,
                )
                self._ready = loaded, PrefixCache(CACHE_BYTES)
            return self._ready


@dataclass
class _Record:
    """What is known of an answer beside its text; times in seconds."""

    begun: float
    tokens_read: int
    memory_tokens: int
    resumed: float
    first_piece: float | None = None
    whole: float | None = None
    stopped: bool = False

    def now(self) -> float:
        return time.monotonic() - self.begun

    def end(self, stopped: bool) -> None:
        self.whole, self.stopped = self.now(), stopped

    def details(self, answer: Answer) -> dict[str, Any]:
        return {
            "tokens_read": self.tokens_read,
            "memory_tokens": self.memory_tokens,
            "resumed_seconds": self.resumed,
            "first_piece_seconds": self.first_piece,
            "seconds": self.whole,
            "chances": [[piece, chance] for piece, chance in answer.chances],
            "remembered": answer.remembered,
            "stopped": self.stopped,
        }


class Reply(Iterator[str]):
    """An answer that is being written in turn with others: iterating gives its text in pieces.

    Closing ends it, from whatever thread; so does letting go of it.
    """

    def __init__(
        self, answer: Answer, turns: Turns, record: _Record, keep: Keep | None = None
    ) -> None:
        self._answer = answer
        self._record = record
        self._closed = False
        self._lock = Lock()
        # Must not refer to this object: then letting go of it ends the answer at once.
        self._pieces = _written(answer, turns, record, keep)

    def __next__(self) -> str:
        with self._lock:
            if self._closed:
                raise StopIteration
            return next(self._pieces)

    def close(self) -> None:
        """Write no further. Waits for a step that is under way in another thread."""
        self._closed = True
        with self._lock:
            self._pieces.close()
            if self._record.whole is None:  # not even begun
                self._record.end(stopped=True)

    @property
    def details(self) -> dict[str, Any]:
        """What is known so far, plain values, complete once the answer has ended.

        tokens_read, memory_tokens: of the document, and what remains of them for the question.
        resumed_seconds, first_piece_seconds, seconds: from asking until the memory was opened, text
        came, the answer had ended; the latter two None before. chances: of each token written the
        text and the probability the model gave it. remembered: as in
        `comet_core.generation.Answer`. stopped: whether it was closed before its end.
        """
        return self._record.details(self._answer)

    @property
    def input_tokens(self) -> int:
        """Tokens of question and history."""
        return self._answer.input_tokens

    @property
    def output_tokens(self) -> int:
        """Tokens written so far."""
        return self._answer.output_tokens

    @property
    def finish(self) -> str | None:
        """As in `comet_core.generation.Answer`."""
        return self._answer.finish


def _written(
    answer: Answer, turns: Turns, record: _Record, keep: Keep | None
) -> Generator[str, None, None]:
    """The pieces of an answer, which is kept once it has ended; stopped, if there is some of it."""
    text = ""
    try:
        with turns.answering():
            for piece in answer:
                record.first_piece = record.first_piece or record.now()
                text += piece
                yield piece
    except (GeneratorExit, KeyboardInterrupt):
        answer.close()
        record.end(stopped=True)
        if keep and text:
            keep(text, record.details(answer))
        raise
    record.end(stopped=False)
    if keep:
        keep(text, record.details(answer))
