"""Whose turn it is on one model: answers get a token each in turn, and go before reading.

First come, first served. A reading gives way while answers are under way, but for so long only:
then it has its place in the line for one chunk, so that it never starves. Knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from threading import Condition

PATIENCE_S = 2.0
"""Seconds for which a reading that wants to read a chunk gives way to answers."""


@dataclass(eq=False)
class _Ticket:
    """A place in the line; while it gives way, answers that came later go first."""

    gives_way: bool


class Turns:
    """A line in front of one model. Safe to use from many threads.

    Whoever has the turn must not ask for another one before it is over, nor wait for a lock that is
    held by somebody in the line.
    """

    def __init__(self, patience: float = PATIENCE_S) -> None:
        self._patience = patience
        self._changed = Condition()
        self._line: list[_Ticket] = []  # in order of asking
        self._taken = False
        self._answers = 0  # under way

    @property
    def waiting(self) -> int:
        """How many are in the line."""
        with self._changed:
            return len(self._line)

    @property
    def answers(self) -> int:
        """How many answers are under way, those that wait for a memory to be opened included."""
        with self._changed:
            return self._answers

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Around a whole answer: reading gives way also between its steps."""
        with self._changed:
            self._answers += 1
        try:
            yield
        finally:
            with self._changed:
                self._answers -= 1
                self._changed.notify_all()

    def answer(self) -> AbstractContextManager[None]:
        """Around each step of an answer: the turn, in the order of asking."""
        return self._turn(_Ticket(gives_way=False))

    def read(self) -> AbstractContextManager[None]:
        """Around each chunk that is read: the turn, when no answer wants it or patience is over."""
        return self._turn(_Ticket(gives_way=True))

    @contextmanager
    def _turn(self, ticket: _Ticket) -> Iterator[None]:
        with self._changed:
            self._line.append(ticket)
            try:
                self._wait(ticket)
                self._taken = True
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()  # who is next, if the wait was interrupted
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()

    def _wait(self, ticket: _Ticket) -> None:
        def is_next() -> bool:
            return self._next() is ticket

        if ticket.gives_way:
            self._changed.wait_for(is_next, self._patience)
            ticket.gives_way = False
        self._changed.wait_for(is_next)

    def _next(self) -> _Ticket | None:
        """Whose turn it is to take the turn; None while it is taken, or nobody may."""
        if self._taken:
            return None
        answers = self._answers > 0 or any(not ticket.gives_way for ticket in self._line)
        return next((t for t in self._line if not (t.gives_way and answers)), None)
