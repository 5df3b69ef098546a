"""Users and their passwords, of which only argon2id hashes are stored.

A name is the owner of documents and conversations, so it means one person exactly: small letters,
digits and a few signs, compared as it is written. Knows nothing of sessions or web pages.
"""

from __future__ import annotations

import re
import unicodedata
from base64 import b64encode
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from app.database import Database
from app.tables import Document, User
from comet_core.errors import CometError

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
SHORTEST, LONGEST = 8, 1000
"""Characters of a password."""


class BadUserName(CometError):
    """A name that no user can have."""


class UserExists(CometError):
    """The name is taken."""


class UnknownUser(CometError):
    """There is no user of that name."""


class WeakPassword(CometError):
    """A password that is too easily guessed, or too long to be one."""


class Users:
    """The users of a database. Safe to use from many threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hasher = PasswordHasher()
        # Of no password: an unknown name is told by its wrong password, which takes as long.
        self._nobody = (
            f"$argon2id$v=19$m={self._hasher.memory_cost},t={self._hasher.time_cost},"
            f"p={self._hasher.parallelism}${_zeros(self._hasher.salt_len)}"
            f"${_zeros(self._hasher.hash_len)}"
        )

    def add(self, name: str, password: str) -> None:
        """Raises BadUserName, UserExists or WeakPassword."""
        if not NAME.fullmatch(name):
            raise BadUserName(
                "A user's name has small letters, digits and . _ @ - only, up to 64, and begins "
                "with a letter or a digit."
            )
        password_hash = self._hash(name, password)
        try:
            with self._database.writing() as session:
                session.add(User(name=name, password_hash=password_hash))
        except IntegrityError:
            raise UserExists(f'There is a user "{name}" already.') from None

    def verify(self, name: str, password: str) -> bool:
        """Whether it is the user's password; no sooner for a name that there is not."""
        known = self._hash_of(name)
        given = _bytes(password[: LONGEST + 1])
        try:
            self._hasher.verify(known or self._nobody, given)
        except (VerificationError, InvalidHashError):
            return False
        if known is None:
            return False
        if self._hasher.check_needs_rehash(known):
            self._store(name, self._hasher.hash(given))
        return True

    def set_password(self, name: str, password: str) -> None:
        """Raises UnknownUser or WeakPassword."""
        self._check(name)
        self._store(name, self._hash(name, password))

    def remove(self, name: str) -> None:
        """Remove a user with all documents and what was said about them. Raises UnknownUser."""
        self._check(name)
        with self._database.writing() as session:
            session.execute(delete(Document).where(Document.owner == name))
            session.execute(delete(User).where(User.name == name))

    def exists(self, name: str) -> bool:
        """Whether there is a user of that name."""
        return self._hash_of(name) is not None

    def since(self, name: str) -> datetime | None:
        """When the user of that name was added; None if there is none. A name that was removed and
        given again is another user.
        """
        with self._database.reading() as session:
            return session.scalar(select(User.created_at).where(User.name == name))

    def names(self) -> list[str]:
        """In order of the alphabet."""
        with self._database.reading() as session:
            return list(session.scalars(select(User.name).order_by(User.name)))

    def _hash(self, name: str, password: str) -> str:
        """Raises WeakPassword."""
        if not SHORTEST <= len(password) <= LONGEST or password.casefold() == name:
            raise WeakPassword(
                f"A password has at least {SHORTEST} characters, {LONGEST} at most, and is not the "
                "name."
            )
        return self._hasher.hash(_bytes(password))

    def _hash_of(self, name: str) -> str | None:
        if not NAME.fullmatch(name):
            return None
        with self._database.reading() as session:
            return session.scalar(select(User.password_hash).where(User.name == name))

    def _check(self, name: str) -> None:
        if not self.exists(name):
            raise UnknownUser(f'There is no user "{name}".')

    def _store(self, name: str, password_hash: str) -> None:
        with self._database.writing() as session:
            session.execute(
                update(User).where(User.name == name).values(password_hash=password_hash)
            )


def _bytes(password: str) -> bytes:
    """The same for the same letters, whatever keyboard they came from."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


def _zeros(count: int) -> str:
    return b64encode(bytes(count)).decode().rstrip("=")
