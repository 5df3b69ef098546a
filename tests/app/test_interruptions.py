"""Killed at any moment, a reading goes on from its last checkpoint and ends with the same bits.

Real processes, really killed when so much is stored; a reader waits a little after that point, so
that none has ended before it is killed, however slow the machine. Run as a script, this file is one
such process: it forks readers and kills them, so that what takes long to import is imported once.
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
import traceback
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from app.library import Library
from app.settings import Settings
from ingest.pipeline import Progress
from tests.app.conftest import SENTENCE, bits
from tests.conftest import ROOT

ROUNDS = 6
RUN_ON = 160
"""Tokens that a reader reads on at most after what is stored is enough for it to be killed."""

COMMAND = f"""
import time, app.console, app.reading
from app.cli import main
app.reading.CHECKPOINT_S = app.reading.CHECKPOINT_SHARE = 0

def update(display, path, read):
    while read.tokens >= 160 + {RUN_ON}:
        time.sleep(0.01)  # not signal.pause: a signal just before it would be waited for again

app.console.ReadingDisplay.update = update
main()
"""

DROPPED = """
import os, signal, sys, weakref, app.console
from app.cli import main

class Spot: pass

def update(display, path, read):
    spot = Spot()
    watched = weakref.ref(spot, lambda _: os.kill(os.getpid(), signal.SIGINT))
    del spot
    print("went on", file=sys.stderr)

app.console.ReadingDisplay.update = update
main()
"""
"""A reader that is sent SIGINT, as Ctrl-C does, while Python drops every exception."""


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
    *kept, whole = report["tokens"]
    assert kept == sorted(kept)  # nothing that was kept is lost again
    assert all(count >= wanted for count, wanted in zip(kept, report["wanted"], strict=True))
    assert kept[-1] < whole
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


def test_an_interrupt_that_python_drops_stops_a_reading(
    long_book: Path, environment: dict[str, str]
) -> None:
    command = [sys.executable, "-c", DROPPED, "ingest", str(long_book)]
    reader = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert reader.stderr.splitlines() == [
        "went on",
        "Stopped; what was read is kept. The same command goes on from there.",
    ]
    assert reader.returncode == 130


def stored_tokens(home: Path) -> int:
    """How many tokens of the only document are in the checkpoint; looks without the library."""
    database = home / "comet-reader.db"
    if not database.exists():
        return 0
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT max(tokens_read) FROM snapshot").fetchone()[0] or 0
        except sqlite3.OperationalError:  # no tables yet
            return 0


def kill_rounds(book: Path, settings: Settings, apart: Settings) -> dict[str, object]:
    """Kill readers of `book` at random moments, check what they leave, and let the last one end."""
    read_in_child(book, apart)
    chance = random.Random(0)
    last = check_what_is_left(apart) - 2 * RUN_ON
    wanted = [0, *sorted(chance.randrange(1, last) for _ in range(ROUNDS - 1))]
    tokens: list[int] = []
    for count in wanted:
        read_in_child(book, settings, killed_at=count, later=chance.uniform(0, 0.02))
        tokens.append(check_what_is_left(settings))
    read_in_child(book, settings)
    return {
        "wanted": wanted,
        "tokens": [*tokens, check_what_is_left(settings)],
        "interrupted": memory_bits(settings),
        "undisturbed": memory_bits(apart),
    }


def read_in_child(
    book: Path, settings: Settings, killed_at: int | None = None, later: float = 0.0
) -> None:
    """Read to the end, or until so many tokens are stored and `later` seconds have passed."""
    child = os.fork()
    if child == 0:
        read_and_exit(book, settings, killed_at)
    if killed_at is not None:
        while stored_tokens(settings.home) < killed_at:
            assert os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            time.sleep(0.002)
        time.sleep(later)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert status == (0 if killed_at is None else signal.SIGKILL)


def read_and_exit(book: Path, settings: Settings, killed_at: int | None) -> NoReturn:
    def wait_to_be_killed(progress: Progress) -> None:
        if killed_at is not None and progress.tokens >= killed_at + RUN_ON:
            signal.pause()

    try:
        with Library.open(settings=settings) as library:
            library.ingest(book, on_progress=wait_to_be_killed)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


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
    app.reading.CHECKPOINT_SHARE = 0
    given = Settings()
    report = kill_rounds(
        Path(sys.argv[1]), given, given.model_copy(update={"home": Path(sys.argv[2])})
    )
    print(json.dumps(report))
