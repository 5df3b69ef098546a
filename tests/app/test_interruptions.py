"""Killed at any moment, a reading goes on from its last checkpoint and ends with the same bits.

Real processes, really killed. Run as a script, this file is one such process: it forks readers and
kills them, so that what takes long to import is imported once.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.library import Library
from app.settings import Settings
from tests.app.conftest import SENTENCE, bits
from tests.conftest import ROOT

ROUNDS = 6
COMMAND = "import app.reading as r; r.CHECKPOINT_S = 0; from app.cli import main; main()"


@pytest.fixture
def long_book(tmp_path: Path) -> Path:
    path = tmp_path / "harbour.txt"
    path.write_text("".join(SENTENCE.format(year=1700 + n, ships=17 * n) for n in range(60)))
    return path


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COMET_HOME": str(settings.home),
        "COMET_MODEL": str(settings.model),
        "COMET_DEVICE": "cpu",
        "COMET_DTYPE": "float32",
    }


def test_killed_at_random_moments(
    long_book: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, __file__, str(long_book), str(tmp_path / "apart")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["kills_after_a_checkpoint"] >= 2
    assert report["tokens"] == sorted(report["tokens"])  # nothing that was kept is lost again
    assert report["interrupted"] == report["undisturbed"]


@pytest.mark.parametrize(
    ("signal_number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)]
)
def test_the_command_line_goes_on_after_a_signal(
    long_book: Path,
    environment: dict[str, str],
    settings: Settings,
    tmp_path: Path,
    signal_number: signal.Signals,
    code: int,
) -> None:
    command = [sys.executable, "-c", COMMAND, "ingest", str(long_book)]
    reader = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while stored_tokens(settings.home) < 160:
        assert reader.poll() is None, reader.communicate()
        time.sleep(0.02)
    reader.send_signal(signal_number)
    _, said = reader.communicate()
    assert reader.returncode == code
    if signal_number == signal.SIGINT:
        assert said.splitlines() == [
            "Stopped; what was read is kept. The same command goes on from there."
        ]
    with Library.open(settings=settings) as library:
        assert library.find("harbour").status == "reading"
        interrupted = bits(library.memory(library.ingest(long_book)))
    apart = settings.model_copy(update={"home": tmp_path / "apart"})
    with Library.open(settings=apart) as library:
        assert bits(library.memory(library.ingest(long_book))) == interrupted


def stored_tokens(home: Path) -> int:
    """How many tokens of the only document are in the checkpoint; looks without the library."""
    database = home / "comet-reader.db"
    if not database.exists():
        return 0
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            return connection.execute("SELECT max(tokens_read) FROM snapshot").fetchone()[0] or 0
        except sqlite3.OperationalError:  # no tables yet
            return 0


def kill_rounds(book: Path, settings: Settings, apart: Settings) -> dict[str, object]:
    """Kill readers of `book` at random moments, check what they leave, and let the last one end."""
    begun = time.monotonic()
    read_in_child(book, apart)
    whole = time.monotonic() - begun
    moments = random.Random(0)
    tokens: list[int] = []
    for _ in range(ROUNDS):
        read_in_child(book, settings, killed_after=moments.uniform(0.1, 0.5) * whole)
        tokens.append(check_what_is_left(settings))
    read_in_child(book, settings)
    return {
        "tokens": [*tokens, check_what_is_left(settings)],
        "kills_after_a_checkpoint": sum(count > 0 for count in tokens),
        "interrupted": memory_bits(settings),
        "undisturbed": memory_bits(apart),
    }


def read_in_child(book: Path, settings: Settings, killed_after: float | None = None) -> None:
    child = os.fork()
    if child == 0:
        with Library.open(settings=settings) as library:
            library.ingest(book)
        os._exit(0)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert killed_after is not None or status == 0


def check_what_is_left(settings: Settings) -> int:
    """The tokens that are kept, after making sure that the database is whole."""
    with Library.open(settings=settings) as library:
        documents = library.documents()
        assert len(documents) <= 1
        assert all(checked.damage is None for checked in library.verify())
    with sqlite3.connect(settings.home / "comet-reader.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    for document in documents:
        (snapshot,) = document.snapshots  # a document and its memory appear together
        assert snapshot.finished == (document.status == "ready")
        assert snapshot.tokens_read == document.tokens
        return document.tokens
    return 0


def memory_bits(settings: Settings) -> str:
    with Library.open(settings=settings) as library:
        return bits(library.memory("harbour"))


if __name__ == "__main__":
    import app.reading
    import comet_core.generation  # noqa: F401

    app.reading.CHECKPOINT_S = 0.0
    app.reading.CHECKPOINT_SHARE = 1
    given = Settings()
    report = kill_rounds(
        Path(sys.argv[1]), given, given.model_copy(update={"home": Path(sys.argv[2])})
    )
    print(json.dumps(report))
