"""What is shown: progress with pages, tokens, speed and time left; sizes, durations, safe text."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app import console, pace
from comet_core.memory import MemoryState
from ingest.pipeline import Progress


def progress(pages: int, tokens: int) -> Progress:
    return Progress(pages, 100, 0, (), MemoryState((), tokens_read=tokens))


def test_progress_is_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(
        monkeypatch,
        Console(file=io.StringIO(), force_terminal=True, width=100),
        [(100.0, 40, 20_000), (130.0, 70, 35_000)],  # gone on from a checkpoint
    )
    assert "2/2 [b]emma.txt" in shown
    assert "70/100 pages, 35,000 tokens, 500 tokens/s, 0:30 left" in shown


def test_progress_is_a_line_now_and_then_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = show(
        monkeypatch,
        Console(file=io.StringIO(), soft_wrap=True),
        [(second, 40 + second, 20_000 + 500 * second) for second in range(25)],
    )
    assert shown.splitlines() == [
        "2/2 [b]emma.txt: 50/100 pages, 25,000 tokens, 500 tokens/s, 0:50 left",
        "2/2 [b]emma.txt: 60/100 pages, 30,000 tokens, 500 tokens/s, 0:40 left",
    ]


def show(
    monkeypatch: pytest.MonkeyPatch, terminal: Console, reading: list[tuple[float, int, int]]
) -> str:
    """What is shown of a file of 100 pages: at each second, so many pages and tokens are read."""
    clock = SimpleNamespace(now=0.0)
    for module in (console, pace):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(console, "err", terminal)
    file = Path("[b]emma.txt")
    with console.ReadingDisplay([Path("other.txt"), file]) as display:
        for clock.now, pages, tokens in reading:
            display.update(file, progress(pages, tokens))
    assert isinstance(terminal.file, io.StringIO)
    return terminal.file.getvalue()


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
