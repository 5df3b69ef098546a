"""The command that serves: where it listens, who it lets in, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.library import Library
from app.settings import Settings
from comet_core.generation import Sampling
from tests.app import patient
from tests.app.command_line import Run
from tests.app.patient import PATIENCE_S
from tests.conftest import ROOT
from tests.ui.conftest import PASSWORDS, wait
from tests.ui.visitor import Visitor
from ui import cli, text

QUESTION = "How many goats?"
SERVE = ("serve", "--port", "0")


@contextmanager
def server(
    settings: Settings, *options: str, end: signal.Signals = signal.SIGINT
) -> Iterator[tuple[str, str]]:
    """A server of its own, until a signal ends it; yields its URL and the line that it says it
    listens with.
    """
    named = settings.model_dump(exclude_none=True).items()
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-c", "from ui.cli import main; main()", *SERVE, *options],
            env={**os.environ, **{f"COMET_{name.upper()}": str(value) for name, value in named}},
            stderr=log,
        )
        try:
            said = wait(lambda: listening(Path(log.name), process))
            yield said.split()[2].rstrip(";"), said
        finally:
            process.send_signal(end)
            assert process.wait(PATIENCE_S) == 128 + end


def listening(log: Path, process: subprocess.Popen[bytes]) -> str:
    """The line by which a server says that it listens, once it does."""
    said = log.read_text()
    assert process.poll() is None, said
    return next((line for line in said.splitlines() if line.startswith("Listening on ")), "")


def test_the_console_script_is_the_whole_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"comet-reader": f"{cli.__name__}:main"}


def test_other_commands_do_not_load_the_pages() -> None:
    script = "import sys; from ui import cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert {"gradio", "plotly", "torch", "transformers"}.isdisjoint(loaded.stdout.split())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "comet.example"])
def test_another_address_needs_accounts(run: Run, host: str) -> None:
    for options in ([], ["--api-key", "sesame"]):
        result = run("serve", "--host", host, *options)
        assert (result.code, result.out) == (1, "")
        assert "--auth" in result.err


def test_accounts_need_a_user(run: Run) -> None:
    result = run("serve", "--auth", "--port", "0")
    assert result.code == 1
    assert "comet-reader user add" in result.err


def test_an_address_in_use_is_named(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("serve", "--port", taken.getsockname()[1])
    assert result.code == 1
    assert "--port" in result.err


def test_it_serves_pages_and_api_until_it_is_interrupted(
    books: Library, settings: Settings
) -> None:
    with server(settings) as (url, said):
        assert text.LISTENING.format(url=url) == said.strip()
        assert "for this machine only" in said
        asked = {
            "model": "comet/island",
            "messages": [{"role": "user", "content": QUESTION}],
            "max_tokens": 5,
        }
        answer = patient.post(f"{url}/v1/chat/completions", json=asked).json()
        expected = books.ask("island", QUESTION, sampling=Sampling(max_tokens=5))
        assert answer["choices"][0]["message"]["content"] == "".join(expected)
        with Visitor(url) as visitor:
            assert "island" in visitor.event("open").text
    assert not any(path.is_file() for path in (settings.home / "uploads").glob("*/*"))


def test_a_service_that_is_stopped_leaves_no_uploads(
    settings: Settings, book: Path, tmp_path: Path
) -> None:
    (tmp_path / "long.txt").write_text(500 * book.read_text())
    with server(settings, end=signal.SIGTERM) as (url, _), Visitor(url) as visitor:
        assert visitor.upload(tmp_path / "long.txt").status_code == 201
        assert any(path.is_file() for path in (settings.home / "uploads").glob("*/*"))
    assert not any(path.is_file() for path in (settings.home / "uploads").glob("*/*"))


def test_with_accounts_it_asks_who_is_there(books: Library, settings: Settings) -> None:
    books.users.add("anna", PASSWORDS["anna"])
    with server(settings, "--auth") as (url, said):
        assert "people sign in" in said
        assert patient.get(url).status_code == 303
        assert patient.get(f"{url}/v1/models").status_code == 403
        with Visitor(url, "anna", PASSWORDS["anna"]) as visitor:
            assert "island" not in visitor.event("open").text
