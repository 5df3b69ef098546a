"""How a document, a question and a conversation become tokens: one format for training and
answering.

    document: its text, nothing around it
    a turn:   \n\n<|im_start|>user\nQUESTION<|im_end|>\n<|im_start|>assistant\nANSWER<|im_end|>

Backbones without the ChatML tokens get `Question: ...`, `Answer: ...` on lines of their own and
their end-of-text token. Text of documents, questions and answers is data: it is tokenized so that
nothing in it can become a control token. Nothing here knows of models or memories.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from threading import Lock
from typing import cast

from transformers import PreTrainedTokenizerBase

CHATML_START, CHATML_END = "<|im_start|>", "<|im_end|>"
NOT_IN_DOCUMENT = "That is not in the document."


class PromptFormat:
    """The tokens of documents and conversations for one tokenizer. Safe to use from many
    threads.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._lock = Lock()

    @cached_property
    def _added(self) -> re.Pattern[str] | None:
        """Finds where the text of an added token starts, overlapping occurrences included."""
        added = [t.content for t in self.tokenizer.added_tokens_decoder.values() if t.content]
        if not added:
            return None
        return re.compile(f"(?={'|'.join(map(re.escape, added))})")

    @cached_property
    def is_chatml(self) -> bool:
        vocabulary = self.tokenizer.get_vocab()
        return CHATML_START in vocabulary and CHATML_END in vocabulary

    @cached_property
    def end(self) -> int:
        """The token that ends an answer."""
        if self.is_chatml:
            return cast(int, self.tokenizer.convert_tokens_to_ids(CHATML_END))
        return cast(int, self.tokenizer.eos_token_id)

    @cached_property
    def full_stop(self) -> int:
        """The token of a full stop behind a word."""
        return self.text("Yes.")[-1]

    def text(self, text: str) -> list[int]:
        """Plain text as token ids, none of them a control token."""
        starts = [m.start() + 1 for m in self._added.finditer(text)] if self._added else []
        ids: list[int] = []
        for begin, stop in zip([0, *starts], [*starts, len(text)], strict=True):
            ids += self._encode(text[begin:stop], is_data=True)
        return ids

    def document(self, pieces: Iterable[str]) -> Iterator[int]:
        """A stream of text pieces as a stream of token ids; each piece is tokenized by itself."""
        for piece in pieces:
            yield from self.text(piece)

    def question(self, question: str) -> list[int]:
        """The tokens that ask, up to where the answer starts."""
        if self.is_chatml:
            return [
                *self._control(f"\n\n{CHATML_START}user\n"),
                *self.text(question.strip()),
                *self._control(f"{CHATML_END}\n{CHATML_START}assistant\n"),
            ]
        return [
            *self.text("\n\nQuestion: "),
            *self.text(question.strip()),
            *self.text("\nAnswer:"),
        ]

    def answer(self, answer: str) -> list[int]:
        """The tokens of a whole answer, its end token included."""
        text = answer.strip() if self.is_chatml else " " + answer.strip()
        return [*self.text(text), self.end]

    def decode(self, token_ids: list[int]) -> str:
        """Token ids of an answer as text; control tokens are left out, and NULs, which not every
        database takes."""
        with self._lock:
            text = cast(str, self.tokenizer.decode(token_ids, skip_special_tokens=True))
        return text.replace("\0", "")

    def _control(self, text: str) -> list[int]:
        return self._encode(text, is_data=False)

    def _encode(self, text: str, is_data: bool) -> list[int]:
        # The tokenizer keeps the flag as a state of its own, which another thread would turn.
        with self._lock:
            encoded = self.tokenizer(text, add_special_tokens=False, split_special_tokens=is_data)
        return cast(list[int], encoded["input_ids"])
