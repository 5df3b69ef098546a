"""The database: migrations, what SQLite is told, transactions, and files that are no database."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select

from app.database import Database
from app.errors import DatabaseError
from app.tables import Base, Conversation, Document


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
