"""What is shown: progress with pages, tokens, speed and time left; sizes, durations, safe text."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app import console
from comet_core.memory import MemoryState
from ingest.pipeline import Progress


def progress(pages: int, tokens: int) -> Progress:
    return Progress(pages, 100, 0, (), MemoryState((), tokens_read=tokens))


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 100.0, 100.0, 130.0])
    monkeypatch.setattr(console, "time", type("Clock", (), {"monotonic": lambda: next(clock)}))
    terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr(console, "err", terminal)
    file = Path("[b]emma.txt")
    with console.ReadingDisplay([Path("other.txt"), file]) as display:
        display.update(file, progress(40, 20_000))  # gone on from a checkpoint
        display.update(file, progress(70, 35_000))
    assert isinstance(terminal.file, io.StringIO)
    shown = terminal.file.getvalue()
    assert "2/2 [b]emma.txt" in shown
    assert "70/100 pages, 35,000 tokens, 500 tokens/s, 0:30 left" in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (725, "12:05"), (11_050, "3:04:10")]
)
def test_durations(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


@pytest.mark.parametrize(
    ("nbytes", "text"), [(3072, "3.1 kB"), (5_530_000, "5.5 MB"), (472_000_000, "472.0 MB")]
)
def test_sizes(nbytes: int, text: str) -> None:
    assert console.size(nbytes) == text


@given(st.text())
def test_shown_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    shown = console.printable(text)
    assert all(c in "\n\t" or ord(c) >= 32 for c in shown)
    assert not any(0x7F <= ord(c) < 0xA0 for c in shown)
    shown.encode()  # no lone surrogates
    assert len(console.one_line(text).splitlines()) <= 1
    assert len(shown) == len(text)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_other_text_is_shown_as_it_is(text: str) -> None:
    assert console.printable(text) == text
