"""Fixtures of the application: a library in a folder of its own, on a tiny model, and a book."""

from __future__ import annotations

import hashlib
import io
import math
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

import app.reading
from app import cli, console
from app.database import Database
from app.desk import Desk
from app.errors import ReadingStopped
from app.library import Library
from app.settings import Settings
from app.tables import Base, User
from comet_core.memory import MemoryState
from ingest.pipeline import Progress
from tests.app.command_line import Result, Run
from tests.app.desks import ANY, USERS

SENTENCE = (
    "In the year {year} the harbour of Port Ellery counted {ships} ships and one lighthouse.\n\n"
)


@pytest.fixture
def settings(tmp_path: Path, tiny_model: Path) -> Settings:
    return Settings(
        home=tmp_path / "home",
        database_url=None,
        model=str(tiny_model),
        device="cpu",
        dtype="float32",
    )


@pytest.fixture
def run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run a command in this process, with `typed` on its stdin."""
    for name, value in settings.model_dump(exclude_none=True).items():
        monkeypatch.setenv(f"COMET_{name.upper()}", str(value))
    monkeypatch.setattr(console, "LINE_S", math.inf)  # no progress, however slow the machine

    def run(*arguments: str | Path, typed: str = "") -> Result:
        monkeypatch.setattr(sys, "argv", ["comet-reader", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        return Result(int(exit.value.code or 0), captured.out, captured.err)

    return run


@pytest.fixture
def library(settings: Settings) -> Iterator[Library]:
    with Library.open(settings=settings) as library:
        yield library


@pytest.fixture
def desk(library: Library, tmp_path: Path) -> Iterator[Desk]:
    """The desk of a library with some users."""
    with Database(library.settings.url).writing() as session:
        session.add_all(User(name=name, password_hash="-") for name in USERS)
    desk = Desk(library, tmp_path / "uploads", ANY)
    yield desk
    desk.close()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A text of some hundred chunks."""
    path = tmp_path / "harbour.txt"
    path.write_text("".join(SENTENCE.format(year=1800 + n, ships=17 * n) for n in range(60)))
    return path


def bits(state: MemoryState) -> str:
    """A digest of all that a state is, to the bit."""
    counts = (state.tail, state.tokens_read, state.chunks_read)
    gates = (state.gates.span, state.gates.chunks, state.gates.values.tolist())
    total = hashlib.sha256(repr((counts, gates)).encode())
    for tensor in state.tensors:
        total.update(repr((tensor.dtype, tensor.shape)).encode())
        total.update(tensor.contiguous().view(-1).numpy().tobytes())
    return total.hexdigest()


@pytest.fixture(scope="session")
def books_database(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A database with two documents in it, "harbour" and "island", read by the tiny model."""
    folder = tmp_path_factory.mktemp("books")
    texts = {
        "harbour": "".join(SENTENCE.format(year=1800 + n, ships=17 * n) for n in range(40)),
        "island": "An island far out, with nine goats and no harbour at all. " * 30,
    }
    settings = Settings(home=folder, model=str(tiny_model), device="cpu", dtype="float32")
    with Library.open(f"sqlite:///{folder / 'books.db'}", settings) as library:
        for title, text in texts.items():
            (folder / f"{title}.txt").write_text(text)
            library.ingest(folder / f"{title}.txt")
    return folder / "books.db"


@pytest.fixture
def books(settings: Settings, books_database: Path) -> Iterator[Library]:
    """The library of `settings` with these two documents."""
    settings.home.mkdir()
    shutil.copy(books_database, settings.home / "comet-reader.db")
    with Library.open(settings=settings) as library:
        yield library


@pytest.fixture(scope="session")
def default_library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """A library on the real default model, which is loaded once for all tests."""
    database = tmp_path_factory.mktemp("default") / "books.db"
    settings = Settings().model_copy(update={"database_url": f"sqlite:///{database}"})
    with Library.open(settings=settings) as library:
        yield library


@pytest.fixture
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every chunk."""
    monkeypatch.setattr(app.reading, "CHECKPOINT_S", 0.0)
    monkeypatch.setattr(app.reading, "CHECKPOINT_SHARE", 0.0)


@pytest.fixture
def other_model(make_tiny_model: Callable[[int], Path], settings: Settings) -> Iterator[Library]:
    """The same library as `library`, with another model."""
    other = settings.model_copy(update={"model": str(make_tiny_model(1))})
    with Library.open(settings=other) as library:
        yield library


def stop_at(tokens: int, error: BaseException | None = None) -> Callable[[Progress], None]:
    """Something that watches a reading and ends it when so many tokens are read."""

    def watch(progress: Progress) -> None:
        if progress.tokens >= tokens:
            raise error or ReadingStopped("enough")

    return watch


def rows(library: Library) -> dict[str, int]:
    """How many rows each table has, where it has any."""
    database = Database(library.settings.url)
    with database.reading() as session:
        counts = {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }
    database.close()
    return {name: count for name, count in counts.items() if count}


@pytest.fixture
def undisturbed(settings: Settings, book: Path, tmp_path: Path) -> str:
    """The bits of the book's memory after one reading in one go."""
    return read_apart(book, settings, tmp_path / "apart")


def read_apart(path: Path, settings: Settings, home: Path) -> str:
    """The bits of a file's memory after one reading in one go, into a database in `home`."""
    with Library.open(settings=settings.model_copy(update={"home": home})) as library:
        return bits(library.memory(library.ingest(path)))


def tamper(library: Library) -> None:
    """Damage every memory that is stored."""
    database = Database(library.settings.url)
    with database.writing() as session:
        session.execute(text("UPDATE snapshot_layer SET data = x'00' WHERE layer = 1"))
    database.close()
