"""The commands on users, on a real terminal where a password is typed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.library import Library
from app.settings import Settings
from tests.conftest import ROOT

MAIN = "from app.cli import main; main()"
PASSWORD = "correct horse"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(settings: Settings) -> Run:
    """Run `comet-reader user ...` with some text on its stdin."""

    def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(settings, *words), input=typed, **plain)  # type: ignore[call-overload]

    plain = {"env": environment(), "capture_output": True, "text": True, "check": False}
    return run


def command(settings: Settings, *words: str) -> list[str]:
    return [sys.executable, "-c", MAIN, "--home", str(settings.home), "user", *words]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_users_come_and_go(run: Run, settings: Settings, book: Path) -> None:
    added = run("add", "ada", "--password-stdin", typed=PASSWORD + "\n")
    assert (added.returncode, added.stdout, added.stderr) == (0, "", "ada may log in.\n")
    assert run("list").stdout == "ada\n"
    again = run("add", "ada", "--password-stdin", typed="another horse\n")
    assert (again.returncode, again.stderr) == (1, 'Error: There is a user "ada" already.\n')
    with Library.open(settings=settings) as library:
        assert library.users.verify("ada", PASSWORD)
        library.as_owner("ada").ingest(book)
    assert run("password", "ada", "--password-stdin", typed="another horse\r\n").returncode == 0
    kept = run("remove", "ada", typed="no\n")
    assert (kept.returncode, kept.stdout) == (1, "")
    assert "Nothing was removed." in kept.stderr
    with Library.open(settings=settings) as library:
        assert library.users.verify("ada", "another horse")
        assert len(library.as_owner("ada").documents()) == 1
    assert run("remove", "ada", "--yes").returncode == 0
    with Library.open(settings=settings) as library:
        assert library.users.names() == library.as_owner("ada").documents() == []
    for words in (("remove", "ada", "--yes"), ("password", "ada", "--password-stdin")):
        unknown = run(*words, typed=PASSWORD)
        assert (unknown.returncode, unknown.stderr) == (1, 'Error: There is no user "ada".\n')


def test_a_password_is_asked_for_twice_and_not_shown(settings: Settings) -> None:
    code, shown = on_a_terminal(command(settings, "add", "ada"), [PASSWORD, PASSWORD])
    assert code == 0
    assert "Password: " in shown
    assert "Repeat for confirmation: " in shown
    assert "horse" not in shown
    with Library.open(settings=settings) as library:
        assert library.users.verify("ada", PASSWORD)


def on_a_terminal(words: list[str], answers: list[str]) -> tuple[int, str]:
    """Run a command on a terminal of its own, typing an answer after each colon and space."""
    variables = environment()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(words[0], words, variables)
    shown, answered = "", 0
    while True:
        try:
            read = os.read(terminal, 1024).decode()
        except OSError:  # Linux says so when the other end is closed
            break
        if not read:
            break
        shown += read
        if shown.endswith(": ") and answered < len(answers):
            os.write(terminal, (answers[answered] + "\n").encode())
            answered += 1
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown
