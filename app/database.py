"""Opening the database, bringing its tables up to date, and transactions.

SQLite by default (write-ahead log, foreign keys on); others, which are not tested, by their URL.
Knows nothing of what the tables mean.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc, make_url
from sqlalchemy.orm import Session

from app.errors import DatabaseError

BUSY_TIMEOUT_S = 30.0
MIGRATIONS = Path(__file__).with_name("migrations")

_migrating = Lock()  # Alembic keeps what it works on in globals


class Database:
    """An open database whose tables are up to date.

    Raises DatabaseError if it cannot be opened, is no database of Comet Reader, or was made by a
    newer version. `url` is the same however the path of a SQLite file was written.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        with self._explained("open"):
            self._engine = _connect(self.url)
        # A SQLite transaction that turns from reading to writing half way fails at once if another
        # one wrote meanwhile; one that says at its start that it will write waits its turn.
        self._writing_engine = self._engine.execution_options(sqlite_begin="IMMEDIATE")
        with self._explained("open"), self._writing_engine.begin() as connection:
            _migrate(connection)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database; what it loaded stays usable afterwards."""
        with (
            self._explained("read"),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that is one transaction: all of it is stored, or nothing."""
        with (
            self._explained("write to"),
            Session(self._writing_engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except (exc.IntegrityError, exc.ProgrammingError):
            raise  # a defect of ours, nothing the user can mend
        except exc.DBAPIError as error:
            reason = str(error.orig).strip().splitlines()[0] if error.orig else str(error)
            raise DatabaseError(
                f"Cannot {action} the database {self.url.render_as_string()}: {reason}"
            ) from error


def _parse(text: str) -> URL:
    try:
        url = make_url(text)
        file = _sqlite_file(url)
        return url.set(database=str(file)) if file is not None else url
    except (exc.ArgumentError, ValueError):  # the latter for a port that is no number, or a NUL
        shown = re.sub("//.*@", "//***@", text)  # no passwords
        raise DatabaseError(
            f"{shown!r} is not a database URL; one looks like sqlite:///books.db"
        ) from None


def _sqlite_file(url: URL) -> Path | None:
    """Where SQLite keeps a database; None if it is in memory, a URI of SQLite, or on a server."""
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name.startswith((":memory:", "file:")):
        return None
    return Path(name).resolve()


def _connect(url: URL) -> Engine:
    """An engine that has connected once: what is wrong with a URL may show only then."""
    try:
        engine = _create_engine(url)
        engine.connect().close()
        return engine
    except (ImportError, exc.NoSuchModuleError) as error:
        raise DatabaseError(
            f"{url.render_as_string()} needs a driver that is not installed: {error}"
        ) from error
    except (exc.ArgumentError, exc.ProgrammingError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DatabaseError(
            f"{url.render_as_string()} is not a database URL that can be used: {reason}"
        ) from error


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if (file := _sqlite_file(url)) is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(
                f"Cannot make the folder of the database {file}: {error.strerror}"
            ) from error
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    connection.execute("PRAGMA auto_vacuum=FULL")  # what is forgotten gives its disk space back
    # The mode belongs to the file. Who cannot set it because somebody else is just doing so, which
    # SQLite does not wait for, finds it set.
    with suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


def _migrate(connection: Connection) -> None:
    """Bring the tables up to date, inside the connection's transaction."""
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        with _migrating:
            command.upgrade(config, "head")
    except CommandError as error:
        raise DatabaseError(
            f"The database {connection.engine.url.render_as_string()} was made by a newer Comet "
            f"Reader; update this one ({error})"
        ) from error
