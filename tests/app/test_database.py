"""The database: migrations, what SQLite is told, transactions, and files that are no database."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import func, select

from app.database import MIGRATIONS, Database
from app.errors import DatabaseError
from app.tables import Base, Conversation, Document, Message


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def document(**fields: object) -> Document:
    values = {
        "content_hash": "0" * 64,
        "title": "A",
        "file_name": "a.txt",
        "pages": 1,
        "characters": 1,
        "tokens": 1,
        "status": "ready",
    }
    return Document(**(values | fields))


def count(database: Database) -> int | None:
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(Document))


def test_migrations_make_the_tables_of_the_models(tmp_path: Path) -> None:
    Database(url(tmp_path / "a.db")).close()
    with sqlalchemy.create_engine(url(tmp_path / "a.db")).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_sqlite_writes_ahead_and_enforces_foreign_keys(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "new" / "folder" / "a.db"))
    with database.reading() as session:
        pragmas = [
            session.scalar(sqlalchemy.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    assert pragmas == ["wal", 1, 30000]
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as session:
        session.add(Conversation(document_id="nobody"))


def test_what_was_stored_is_there_after_opening_again(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "a.db"))
    with database.writing() as session:
        session.add(document())
    database.close()
    database = Database(url(tmp_path / "a.db"))
    with database.reading() as session:
        (found,) = session.scalars(select(Document))
    assert found.created_at.tzinfo is not None
    assert found.skipped_pages == []


def test_a_failing_transaction_stores_nothing(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "a.db"))
    with pytest.raises(RuntimeError), database.writing() as session:
        session.add(document())
        session.flush()
        raise RuntimeError
    assert count(database) == 0


def test_the_same_bytes_are_one_document_for_each_owner(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "a.db"))
    with database.writing() as session:
        session.add_all([document(), document(owner="ada")])
    with pytest.raises(sqlalchemy.exc.IntegrityError), database.writing() as session:
        session.add(document(owner="ada"))
    assert count(database) == 2


def test_many_can_open_a_new_database_at_once(tmp_path: Path) -> None:
    def open_and_add(number: int) -> None:
        database = Database(url(tmp_path / "a.db"))
        with database.writing() as session:
            session.scalar(select(func.count()).select_from(Document))
            session.add(document(content_hash=str(number)))
        database.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(open_and_add, range(16)))
    assert count(Database(url(tmp_path / "a.db"))) == 16


def test_what_is_removed_gives_its_disk_space_back(tmp_path: Path) -> None:
    database = Database(url(tmp_path / "a.db"))
    with database.writing() as session:
        session.add(document(title="x" * 5_000_000))
    with database.writing() as session:
        session.execute(sqlalchemy.delete(Document))
    database.close()
    assert (tmp_path / "a.db").stat().st_size < 500_000


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Database(url(tmp_path / "a.db")).close()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(DatabaseError, match="newer Comet Reader"):
        Database(url(tmp_path / "a.db"))


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Not a database, but dear to somebody. " * 100)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match="file is not a database"):
        Database(url(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("bad_url", "message"),
    [
        ("books.db", "not a database URL"),
        ("nonsense://host/books", "driver that is not installed"),
        ("sqlite:///{file}/books.db", "folder of the database"),
        ("sqlite:///{folder}", "unable to open database file"),
        ("sqlite://books.db", "not a database URL"),
        ("sqlite:///{folder}/a.db?timeout=soon", "not a database URL"),
        ("sqlite:///{folder}/a\0.db", "not a database URL"),
        ("sqlite+nonsense:///{folder}/a.db", "driver that is not installed"),
        ("postgresql://host:port/books", "not a database URL"),
    ],
)
def test_bad_urls_are_explained(tmp_path: Path, bad_url: str, message: str) -> None:
    file = tmp_path / "a file"
    file.touch()
    with pytest.raises(DatabaseError, match=message) as raised:
        Database(bad_url.format(file=file, folder=tmp_path))
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("address", ["nonsense://{}@host/books", "postgresql://{}@host:port/books"])
def test_passwords_in_urls_are_not_shown(address: str) -> None:
    with pytest.raises(DatabaseError) as raised:
        Database(address.format("ada:secret"))
    assert "secret" not in str(raised.value)


def test_a_file_has_one_url_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    paths = ("a.db", "./link/a.db", tmp_path / "link" / "a.db", tmp_path / "a.db")
    urls = set()
    for path in paths:
        database = Database(f"sqlite:///{path}")
        urls.add(database.url)
        database.close()
    assert len(urls) == 1


def test_a_database_in_memory_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite://")
    with database.writing() as session:
        session.add(document())
    assert count(database) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_before_keeps_all_that_is_in_it(tmp_path: Path) -> None:
    """Revision 0001, with all its tables in use."""
    made(tmp_path / "a.db", "0001")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.executescript(BEFORE)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        before = {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in OLD}
    assert all(before.values())
    database = Database(url(tmp_path / "a.db"))
    with sqlite3.connect(tmp_path / "a.db") as connection:
        after = {
            table: [row[: len(before[table][0])] for row in connection.execute(query)]
            for table, query in OLD.items()
        }
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
    assert after == before
    with database.reading() as session:
        (kept,) = session.scalars(select(Document))
        assert kept.examples == []
        one, two = session.scalars(select(Conversation).order_by(Conversation.id))
        assert (one.owner, one.title, one.updated_at.minute) == ("ada", "Who?", 7)
        assert [message.details for message in one.messages] == [None, None]
        assert (two.owner, two.title, two.updated_at) == ("ada", None, two.created_at)
    with database.writing() as session:
        session.execute(sqlalchemy.delete(Document))
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(Message)) == 0
    database.close()


def test_the_way_back_to_a_database_of_before_loses_nothing_it_knew(tmp_path: Path) -> None:
    made(tmp_path / "a.db", "0001")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.executescript(BEFORE)
        before = list(connection.iterdump())
    Database(url(tmp_path / "a.db")).close()
    made(tmp_path / "a.db", "0001", command.downgrade)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert sorted(connection.iterdump()) == sorted(before)


def made(path: Path, revision: str, change: Callable[..., None] = command.upgrade) -> None:
    """Bring a database to an earlier revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with sqlalchemy.create_engine(url(path)).begin() as connection:
        config.attributes["connection"] = connection
        change(config, revision)


OLD = {
    "document": "SELECT id, owner, content_hash, title, file_name, pages, characters, tokens, "
    "skipped_pages, status, error, created_at, updated_at FROM document",
    "snapshot": "SELECT * FROM snapshot",
    "snapshot_layer": "SELECT * FROM snapshot_layer",
    "conversation": "SELECT * FROM conversation ORDER BY id",
    "message": "SELECT * FROM message ORDER BY id",
}
MOMENT = "'2026-01-02 03:04:05.000000'"
BEFORE = f"""
    INSERT INTO document VALUES ('d', 'ada', '00', 'A', 'a.txt', 1, 2, 3, '[]', 'ready', NULL,
        {MOMENT}, {MOMENT});
    INSERT INTO snapshot VALUES ('s', 'd', 'f', 'm', 'e', 3, 1, x'00', 4, 'c', 1, {MOMENT});
    INSERT INTO snapshot_layer VALUES ('s', 0, x'0102', 'c');
    INSERT INTO conversation VALUES ('c', 'd', {MOMENT}), ('empty', 'd', {MOMENT});
    INSERT INTO message VALUES (1, 'c', 0, 'user', 'Who?', '2026-01-02 03:06:05.000000'),
        (2, 'c', 1, 'assistant', 'Emma.', '2026-01-02 03:07:05.000000');
"""
