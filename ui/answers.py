"""The answers that are being written: so that each can be stopped by who asked, and nobody asks
for all of them at once. Knows nothing of pages or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock

from comet_core.errors import CometError
from ui import text

PER_OWNER = 4  # answers written at a time
WAIT_S = 60.0  # for an answer to end that was stopped: it writes a token, or reads a chunk, at most


class TooManyQuestions(CometError):
    """Somebody asks more questions at a time than is fair to the others."""


@dataclass(frozen=True, eq=False)
class Running:
    """An answer; `stopped` is set to end it, `left` too if nobody looks at it any more."""

    key: tuple[str, str]
    stopped: Event = field(default_factory=Event)
    left: Event = field(default_factory=Event)
    ended: Event = field(default_factory=Event)


class Answers:
    """Answers under way by owner and browser session. Safe to use from many threads."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], Running] = {}
        self._lock = Lock()

    @contextmanager
    def writing(self, owner: str, session: str) -> Iterator[Running]:
        """For the time of an answer; one that the session still had ends first.

        Raises TooManyQuestions.
        """
        self.leave(owner, session)
        running = Running((owner, session))
        with self._lock:
            if sum(key[0] == owner for key in self._running) >= PER_OWNER:
                raise TooManyQuestions(text.TOO_MANY_QUESTIONS)
            self._running[running.key] = running
        try:
            yield running
        finally:
            with self._lock:
                if self._running.get(running.key) is running:
                    del self._running[running.key]
            running.ended.set()

    def is_writing(self, owner: str, session: str) -> bool:
        """Whether the session has an answer under way."""
        return (owner, session) in self._running

    def stop(self, owner: str, session: str) -> None:
        """Let the session's answer end after the token that is being written."""
        if running := self._running.get((owner, session)):
            running.stopped.set()

    def leave(self, owner: str, session: str) -> None:
        """The same when something else is to be shown; returns when it has ended."""
        if running := self._running.get((owner, session)):
            running.left.set()
            running.stopped.set()
            running.ended.wait(WAIT_S)
