"""What the handlers of all pages share: whose library it is about, and how failures are told.

Every handler gets its library from here, by the name its request is signed in with: whatever ids
a browser sends are looked up in that library only.
"""

from __future__ import annotations

import functools
import html
import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gradio as gr

from app.desk import Desk
from app.errors import EmptyQuestion, UnknownDocument
from app.library import Library
from app.tables import Document
from app.uploads import QuestionTooLong
from comet_core.errors import CometError
from ui import text
from ui.answers import Answers

Handler = TypeVar("Handler", bound=Callable[..., Any])
log = logging.getLogger(__name__)

NOTE_S = 5.0  # seconds that a note of what was done stays


class NothingChosen(CometError):
    """A document was needed, and none was named."""


class SignInFirst(CometError):
    """A request that nobody is signed in for, where one must be."""


@dataclass(frozen=True)
class Service:
    """The application behind the pages; `accounts`: whether people sign in."""

    library: Library
    desk: Desk
    accounts: bool
    answers: Answers = field(default_factory=Answers)

    def owner(self, user: str | None) -> str:
        """Whose documents a user sees. Raises SignInFirst."""
        if not self.accounts:
            return ""
        if not user:
            raise SignInFirst(text.SIGN_IN_FIRST)
        return user

    def library_of(self, request: gr.Request) -> Library:
        """The library of who sent a request. Raises SignInFirst."""
        return self.library.as_owner(self.owner(request.username))

    def document(self, request: gr.Request, document_id: str | None) -> Document:
        """A document of who sent a request. Raises SignInFirst, NothingChosen or
        UnknownDocument."""
        if not document_id:
            raise NothingChosen(text.NOTHING_CHOSEN)
        for document in self.library_of(request).documents():
            if document.id == document_id:
                return document
        raise UnknownDocument(text.GONE)


def told(handler: Handler) -> Handler:
    """A handler, or a generator, whose failures are told in a sentence and change nothing shown."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generating(*args: Any, **kwargs: Any) -> Iterator[Any]:
            try:
                yield from handler(*args, **kwargs)
            except Exception as error:
                yield tell(error)

        return generating  # type: ignore[return-value]

    @functools.wraps(handler)
    def calling(*args: Any, **kwargs: Any) -> Any:
        try:
            return handler(*args, **kwargs)
        except Exception as error:
            return tell(error)

    return calling  # type: ignore[return-value]


def tell(error: Exception) -> Any:
    """Tell of a failure in a note on the page; returns what changes nothing else of it."""
    sentence = text.DEFECT
    if isinstance(error, CometError):
        sentence = str(error)
    else:
        log.exception("A page failed")
    gr.Warning(html.escape(sentence), title=text.NOT_DONE)
    return gr.skip()


def done(sentence: str) -> None:
    """Tell in a note on the page what was done."""
    gr.Success(html.escape(sentence), title=text.DONE, duration=NOTE_S)


def check_question(question: str | None, service: Service) -> None:
    """Raises EmptyQuestion or QuestionTooLong, before anything else is done."""
    if not question or not question.strip():
        raise EmptyQuestion(text.EMPTY_QUESTION)
    if len(question) > (limit := service.desk.limits.question_characters):
        raise QuestionTooLong(text.LONG_QUESTION.format(count=len(question), limit=limit))


def chosen(event: gr.EventData) -> str:
    """The id that a button of ours sent, or whatever came instead of one."""
    data = event._data
    return str(data.get("id", "")) if isinstance(data, dict) else ""
