"""How a window is filled: what stands around a document and a question, as token ids.

Documents and questions are data: nothing in them can become a control token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from comet_core.prompt import PromptFormat

CONTENT = "@@content@@"


@dataclass(frozen=True)
class Form:
    """opening, document, gap, and the tokens `ask` makes of a question, up to where the answer
    starts. name: for the result.
    """

    name: str
    ask: Callable[[str], list[int]]
    opening: tuple[int, ...] = ()
    gap: tuple[int, ...] = ()

    def fill(self, document: Sequence[int]) -> list[int]:
        """What stands before a question; without a document there is no gap to it."""
        return [*self.opening, *document, *self.gap] if document else list(self.opening)


def training_form(prompt: PromptFormat) -> Form:
    """The format of training: the document, and behind it a turn with the question."""
    return Form("the format of training", prompt.question)


def chat_form(prompt: PromptFormat) -> Form:
    """Document and question in one turn of the tokenizer's chat template; the format of training,
    where it has none.
    """
    if not prompt.tokenizer.chat_template:
        return training_form(prompt)
    rendered: Any = prompt.tokenizer.apply_chat_template(
        [{"role": "user", "content": CONTENT}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,  # of the templates that know it: an answer is a few tokens
    )
    before, _, after = rendered.partition(CONTENT)
    opening, closing = (_control(prompt, text) for text in (before, after))
    return Form(
        "its own chat template",
        lambda question: [*prompt.text(question.strip()), *closing],
        tuple(opening),
        tuple(prompt.text("\n\n")),
    )


def _control(prompt: PromptFormat, text: str) -> list[int]:
    """A piece of a template, in which control tokens are meant."""
    ids: list[int] = prompt.tokenizer(text, add_special_tokens=False, split_special_tokens=False)[
        "input_ids"
    ]
    return ids
