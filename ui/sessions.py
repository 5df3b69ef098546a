"""Who is signed in: random tokens in cookies, kept in memory; a restart signs everybody out.

Knows names and passwords only through `app.users`; nothing of pages or routes.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import datetime
from threading import Lock

from starlette.requests import HTTPConnection

from app.users import Users
from comet_core.errors import CometError
from ui import text

COOKIE = "comet_session"
IDLE_S = 7 * 24 * 3600.0  # a session that long unused is over
RECHECK_S = 10.0  # so soon a user who was removed is out
PER_USER = 20  # sessions; the oldest ends when there are more
TRIES, TRIES_S = 5, 60.0  # wrong passwords for one name from one address, within so many seconds


class WrongLogin(CometError):
    """A name and a password that do not belong together."""


class TooManyLogins(CometError):
    """Too many wrong passwords in a row."""


@dataclass
class _Session:
    user: str
    since: datetime | None
    used: float
    checked: float


class Sessions:
    """Signed in users by token. Safe to use from many threads."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._sessions: dict[str, _Session] = {}
        self._failures: dict[tuple[str, str], list[float]] = {}
        self._lock = Lock()

    def sign_in(self, name: str, password: str, address: str = "") -> str:
        """A new token. Raises WrongLogin or TooManyLogins; takes as long as a password hash."""
        if self._failed_lately(name, address) >= TRIES:
            raise TooManyLogins(text.TOO_MANY_LOGINS)
        if not self._users.verify(name, password):
            with self._lock:
                self._failures.setdefault((name, address), []).append(time.monotonic())
            raise WrongLogin(text.WRONG_LOGIN)
        since = self._users.since(name)
        token, now = secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._failures.pop((name, address), None)
            self._end_old(name, now)
            self._sessions[token] = _Session(name, since, now, now)
        return token

    def sign_out(self, token: str) -> None:
        """End a session, if there is such a one."""
        with self._lock:
            self._sessions.pop(token, None)

    def user(self, token: str | None) -> str | None:
        """The name of who has a token; None if nobody (any more) has."""
        now = time.monotonic()
        with self._lock:
            session = self._sessions.get(token or "")
            if session is None or now - session.used > IDLE_S:
                return None
            session.used = now
            unchecked = now - session.checked > RECHECK_S
        if unchecked:
            if session.since is None or self._users.since(session.user) != session.since:
                self.sign_out(token or "")
                return None
            session.checked = now
        return session.user

    def of(self, connection: HTTPConnection) -> str | None:
        """The name of who sent a request, by its cookie."""
        return self.user(connection.cookies.get(COOKIE))

    def _failed_lately(self, name: str, address: str) -> int:
        since = time.monotonic() - TRIES_S
        with self._lock:
            kept = {
                key: [moment for moment in moments if moment > since]
                for key, moments in self._failures.items()
            }
            self._failures = {key: moments for key, moments in kept.items() if moments}
            return len(self._failures.get((name, address), ()))

    def _end_old(self, name: str, now: float) -> None:
        over = [t for t, session in self._sessions.items() if now - session.used > IDLE_S]
        own = [t for t, session in self._sessions.items() if session.user == name]
        for token in {*over, *own[: max(0, len(own) - PER_USER + 1)]}:
            del self._sessions[token]
