"""Readers: whatever reads documents and answers questions about them, measured side by side.

A suite hands every reader the same exams, so all are asked the same. Knows nothing of how answers
are judged; `comet_core.evaluation.contestants` makes readers by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any, Protocol

import torch
from transformers import DynamicCache, PreTrainedModel

from comet_core.backbone import Backbone
from comet_core.checkpoint import LoadedModel
from comet_core.evaluation.forms import Form
from comet_core.generation import Sampling, answer
from comet_core.memory import MemoryState
from comet_core.prefixes import Prefix, must_fold_tail, open_state
from comet_core.prompt import PromptFormat
from comet_core.reader import empty_state, read_batch


@dataclass(frozen=True)
class Exam:
    """A document, as token ids, and the questions that are asked of it."""

    tokens: Sequence[int]
    questions: tuple[str, ...]


class Watcher(Protocol):
    """Who is told how far a reader is."""

    def reading(self, reader: str, read: int, tokens: int) -> None:
        """A reader has read so many of the `tokens` tokens before it."""

    def answered(self, reader: str) -> None:
        """A reader is through with one more question."""


class Reader(Protocol):
    """Reads documents and answers questions about them.

    about: what it is, in plain values, for the result.
    """

    name: str
    about: dict[str, Any]

    def answer(
        self, exams: Sequence[Exam], max_tokens: int, watcher: Watcher
    ) -> list[list[str | None]]:
        """The answers to each exam's questions, in order and of at most `max_tokens` tokens; None
        where the reader cannot hold the document.
        """


Answers = dict[str, str | None]
"""What each reader, by its name, answered to one question."""


def ask(
    readers: Sequence[Reader], exams: Sequence[Exam], max_tokens: int, watcher: Watcher
) -> list[list[Answers]]:
    """All readers' answers to each exam's questions, in order."""
    given = {r.name: r.answer(exams, max_tokens, watcher) for r in readers}
    return [
        [{name: of[i][j] for name, of in given.items()} for j in range(len(exam.questions))]
        for i, exam in enumerate(exams)
    ]


class MemoryReader:
    """CoMeT: reads documents side by side into memories, and answers from those."""

    def __init__(
        self, loaded: LoadedModel, name: str = "memory", about: str = "answers from its memory"
    ) -> None:
        self.name = name
        self.about: dict[str, Any] = {"what": about}
        self.model, self.prompt = loaded.model, loaded.prompt

    def answer(
        self, exams: Sequence[Exam], max_tokens: int, watcher: Watcher
    ) -> list[list[str | None]]:
        states = self._read([exam.tokens for exam in exams], watcher)
        return [
            list(self._say(state, exam.questions, max_tokens, watcher))
            for state, exam in zip(states, exams, strict=True)
        ]

    def _read(self, documents: Sequence[Sequence[int]], watcher: Watcher) -> list[MemoryState]:
        """What all documents begin with is read once."""
        alike = takewhile(lambda ids: len(set(ids)) == 1, zip(*documents, strict=False))
        shared, total = len(list(alike)), sum(map(len, documents))
        start = self._read_on([empty_state(self.model)], [documents[0][:shared]], total, watcher)
        rest = [document[shared:] for document in documents]
        return self._read_on(start * len(documents), rest, total, watcher)

    def _read_on(
        self,
        states: list[MemoryState],
        texts: Sequence[Sequence[int]],
        total: int,
        watcher: Watcher,
    ) -> list[MemoryState]:
        step = self.model.config.chunk_size
        for begin in range(0, max(map(len, texts)), step):
            states = read_batch(self.model, states, [t[begin : begin + step] for t in texts])
            watcher.reading(self.name, sum(s.tokens_read for s in states), total)
        return states

    def _say(
        self, state: MemoryState, questions: Sequence[str], max_tokens: int, watcher: Watcher
    ) -> Iterator[str]:
        @cache
        def opened(fold: bool) -> Prefix:
            return open_state(self.model, state, fold)

        for question in questions:
            asked = len(self.prompt.question(question))
            start = opened(must_fold_tail(self.model, state, asked))
            sampling = Sampling(max_tokens=max_tokens)
            yield "".join(answer(self.model, self.prompt, start, question, sampling=sampling))
            watcher.answered(self.name)


class NothingReader(MemoryReader):
    """The same model, asked without any document. It learnt to say then that this is not in the
    document, so it hardly guesses."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded, "nothing", "the same model, without any document")

    def answer(
        self, exams: Sequence[Exam], max_tokens: int, watcher: Watcher
    ) -> list[list[str | None]]:
        return super().answer([Exam((), exam.questions) for exam in exams], max_tokens, watcher)


class WindowReader:
    """A bare language model that has the document, or the end of it, in its window.

    form: how that is filled. last: it sees at most so many tokens from the end of a document, and
    no more than fit; all of it, or it does not answer, if None. instruction: what every question
    begins with. Reads one document at a time.
    """

    def __init__(
        self,
        name: str,
        about: dict[str, Any],
        backbone: PreTrainedModel,
        prompt: PromptFormat,
        form: Form,
        last: int | None = None,
        instruction: str = "",
    ) -> None:
        self.name = name
        self.backbone: Any = backbone
        self.prompt, self.form, self.last, self.instruction = prompt, form, last, instruction
        self.window = Backbone(backbone).max_rows
        self.about = {
            **about,
            "window": self.window,
            "last": last,
            "format": form.name,
            "instruction": instruction,
        }

    def answer(
        self, exams: Sequence[Exam], max_tokens: int, watcher: Watcher
    ) -> list[list[str | None]]:
        return [list(self._say(exam, max_tokens, watcher)) for exam in exams]

    @torch.inference_mode()
    def _say(self, exam: Exam, max_tokens: int, watcher: Watcher) -> Iterator[str | None]:
        blocks = [self.form.ask(self.instruction + q) for q in exam.questions]
        document = self._seen(exam.tokens, max(map(len, blocks), default=0) + max_tokens)
        before = self.form.fill(document)
        fits = [len(before) + len(block) + max_tokens <= self.window for block in blocks]
        held = DynamicCache()
        if before and any(fits):
            watcher.reading(self.name, 0, len(document))
            self._logits(before, held)
            watcher.reading(self.name, len(document), len(document))
        for block, fit in zip(blocks, fits, strict=True):
            yield self._write(block, held, max_tokens) if fit else None
            watcher.answered(self.name)
            written = held.get_seq_length() - len(before)
            if written > 0:
                held.crop(-written)

    def _seen(self, tokens: Sequence[int], behind: int) -> Sequence[int]:
        """What it sees of a document, if so many tokens stand `behind` it at most."""
        if self.last is None:
            return tokens
        around = len(self.form.opening) + len(self.form.gap)
        seen = max(0, min(self.last, self.window - around - behind))
        return tokens[max(0, len(tokens) - seen) :]

    def _write(self, block: list[int], held: DynamicCache, max_tokens: int) -> str:
        """The most likely answer to a question behind what the cache holds, which grows."""
        written: list[int] = []
        while len(written) < max_tokens:
            token = int(self._logits(written[-1:] or block, held).argmax())
            if token == self.prompt.end:
                break
            written.append(token)
        return self.prompt.decode(written)

    def _logits(self, tokens: list[int], held: DynamicCache) -> torch.Tensor:
        ids = torch.tensor([tokens], device=self.backbone.device)
        return self.backbone(ids, past_key_values=held, logits_to_keep=1).logits[0, -1]
