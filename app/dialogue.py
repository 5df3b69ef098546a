"""Chat messages, in whatever order they come, as the turns of a conversation and its last question.

The form of the messages that chat frameworks and web APIs have; how turns become tokens is the
model's matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from app.errors import EmptyQuestion
from comet_core.errors import CometError
from ingest.clean import clean_text

ASSISTANT = "assistant"
"""The role of who answers; all other roles (user, system, tool) ask, or tell."""


class NoQuestion(CometError):
    """The messages do not end with a question."""


class NotText(CometError):
    """A message has a picture, a sound or a file, which the model cannot read."""


@dataclass(frozen=True)
class Dialogue:
    """Earlier questions with their answers, and the question to answer now."""

    history: tuple[tuple[str, str], ...]
    question: str


def as_dialogue(messages: Iterable[tuple[str, str]]) -> Dialogue:
    """Messages (role, text) as turns: the model knows nothing but question and answer.

    Messages of one side in a row are one, so that what a system message says belongs to the
    question that follows. Empty messages are left out. Raises EmptyQuestion or
    NoQuestion.
    """
    said = [(role == ASSISTANT, clean_text(text).strip()) for role, text in messages]
    sides = [
        (answers, "\n\n".join(text for _, text in group))
        for answers, group in groupby((s for s in said if s[1]), key=lambda s: s[0])
    ]
    if not sides:
        raise EmptyQuestion("The question is empty; say what you want to know.")
    if sides[-1][0]:
        raise NoQuestion("The last message must be a question of the user.")
    if sides[0][0]:
        sides.insert(0, (False, ""))  # a conversation that the assistant began
    texts = [text for _, text in sides]
    return Dialogue(tuple(zip(texts[:-1:2], texts[1::2], strict=True)), texts[-1])
