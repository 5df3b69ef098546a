"""How an evaluation is shown: progress on stderr while it goes on, tables of what it found.

Knows nothing of how anything is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from app import console

if TYPE_CHECKING:
    from comet_core.evaluation import facts, gates, questions, scrolls
    from comet_core.evaluation.intervals import Estimate, Ratio

LINE_S = 60.0  # between lines of progress that go to no terminal


class Display:
    """Questions answered of all there are, and how far the reader at work has read.

    A line now and then where stderr is no terminal. It is the `Watcher` of a suite.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._done = title, total, done
        self._next_line = time.monotonic() + LINE_S
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[doing]}", markup=False),
            console=console.err,
            transient=True,
            disable=not console.err.is_terminal,
        )
        self._task = self._progress.add_task(
            console.one_line(title), total=total, completed=done, doing=""
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def reading(self, reader: str, read: int, tokens: int) -> None:
        self._show(f"{reader}: read {read:,} of {tokens:,} tokens")

    def answered(self, reader: str) -> None:
        self._done += 1
        self._show(f"{reader}: answering")

    def step(self) -> None:
        """One more of what is counted."""
        self._done += 1
        self._show("")

    def _show(self, doing: str) -> None:
        if console.err.is_terminal:
            self._progress.update(self._task, completed=self._done, doing=doing)
        elif time.monotonic() >= self._next_line:
            console.note(f"{self._title}: {self._done:,} of {self._total:,} {doing}")
            self._next_line = time.monotonic() + LINE_S


def facts_tables(summaries: Mapping[str, facts.Summary]) -> Iterator[Table]:
    """Shares by length and depth, a row for each reader and length; then by kind, and right of
    those that stood in the memory."""
    table = _table("Facts exactly right, by length of the text and depth of the fact", "reader")
    for column in ("tokens", *(f"{d * 10}%" for d in range(10)), "all", "95 % interval", "asked"):
        table.add_column(column, justify="right")
    for name, summary in summaries.items():
        for length, by_depth in summary.by_length_and_depth.items():
            whole = summary.by_length[length]
            cells = [share(cell, 0) for cell in by_depth]
            table.add_row(name, f"{length:,}", *cells, share(whole), interval(whole), asked(whole))
    yield table
    kinds = list(next(iter(summaries.values())).by_kind)
    table = _table("By kind", "reader")
    for column in (*kinds, "all", "95 % interval", "asked", "fact contained", "in the memory"):
        table.add_column(column, justify="right")
    for name, summary in summaries.items():
        cells = [counted(share, summary.by_kind[kind]) for kind in kinds]
        table.add_row(
            name, *cells, share(summary.all), interval(summary.all), asked(summary.all),
            share(summary.contained), right(summary.in_memory),
        )  # fmt: skip
    yield table


def questions_tables(
    summaries: Mapping[str, Mapping[str, questions.Summary]],
) -> Iterator[Table]:
    """A row for each file and reader; then F1 as a multiple of the other readers', and by the
    distance between answer and question."""
    table = _table("Questions about documents", "data", "reader")
    for column in (
        "asked", "F1", "95 % interval", "exact", "contained", "ROUGE-L long",
        '"not in the document"', "wrongly",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for data, readers in summaries.items():
        for name, s in readers.items():
            table.add_row(
                _text(data), name, asked(s.f1), number(s.f1), interval(s.f1), share(s.exact),
                share(s.contained), counted(number, s.rouge_l_long),
                counted(share, s.not_in_document), share(s.wrongly_not),
            )  # fmt: skip
    yield table
    names = list(next(iter(summaries.values())))
    if len(names) > 1:
        table = _table("F1 as a multiple of that of", "data", "reader")
        for name in names:
            table.add_column(name, justify="right")
        for data, readers in summaries.items():
            for name, s in readers.items():
                table.add_row(_text(data), name, *(multiple(s.against.get(n)) for n in names))
        yield table
    labels = list(
        dict.fromkeys(d for r in summaries.values() for s in r.values() for d in s.f1_by_distance)
    )
    if labels:
        table = _table("F1 by chunks between answer and question", "data", "reader")
        for label in labels:
            table.add_column(label, justify="right")
        for data, readers in summaries.items():
            for name, s in readers.items():
                table.add_row(
                    _text(data), name, *(counted(number, s.f1_by_distance.get(d)) for d in labels)
                )
        yield table


def gates_tables(found: Mapping[str, gates.GateStatistics]) -> Iterator[Table]:
    """A row a layer, for every text."""
    for title, statistics in found.items():
        table = _table(f"Gates over {title}, {statistics.chunks:,} chunks", "layer")
        for column in ("mean", "deviation", "5 %", "median", "95 %", "below 0.01", "above 0.99"):
            table.add_column(column, justify="right")
        rows = [(f"{n}", layer) for n, layer in enumerate(statistics.layers)]
        for label, layer in [*rows, ("all", statistics.all)]:
            figures = (layer.mean, layer.deviation, *layer.quantiles[1:4])
            shares = (layer.below, layer.above)
            table.add_row(label, *(f"{f:.3f}" for f in figures), *(f"{s:.1%}" for s in shares))
        yield table


def scrolls_tables(summaries: Mapping[str, scrolls.Summary]) -> Iterator[Table]:
    """A row a reader, a column a task, as in the paper's table."""
    table = _table("SCROLLS, 0 to 100", "reader")
    tasks = list(next(iter(summaries.values())).tasks)
    for column in (*tasks, "mean", "complete"):
        table.add_column(column, justify="right")
    for name, summary in summaries.items():
        cells = [
            f"{s.score:.1f} ({s.low:.1f} to {s.high:.1f}) of {s.asked:,}" if s else ""
            for s in summary.tasks.values()
        ]
        mean = "" if summary.mean is None else f"{summary.mean:.1f}"
        table.add_row(name, *cells, mean, "yes" if summary.complete else "no")
    yield table


def show(tables: Iterator[Table]) -> None:
    """Tables on stdout."""
    for table in tables:
        console.out.print(table)


def share(found: Estimate | None, digits: int = 1) -> str:
    return "" if found is None else f"{found.mean:.{digits}%}"


def number(found: Estimate | None) -> str:
    return "" if found is None else f"{found.mean:.3f}"


def interval(found: Estimate | None) -> str:
    return "" if found is None else f"{found.low:.1%} to {found.high:.1%}"


def asked(found: Estimate | None) -> str:
    return "0" if found is None else f"{found.asked:,}"


def counted(shown: Callable[[Estimate | None], str], found: Estimate | None) -> str:
    """A figure and of how many questions it is, where others of its row are of another number."""
    return "" if found is None else f"{shown(found)} of {found.asked:,}"


def right(found: Estimate | None) -> str:
    return "none asked" if found is None else f"{found.mean * found.asked:.0f} of {found.asked:,}"


def multiple(found: Ratio | None) -> str:
    if found is None:
        return ""
    high = "any" if found.high is None else f"{found.high:.2f}"
    return f"{found.ratio:.2f} ({found.low:.2f} to {high}) of {found.asked:,}"


def _table(title: str, *columns: str) -> Table:
    return Table(*columns, title=_text(title), title_justify="left", title_style="", box=None)


def _text(name: str) -> Text:
    """A name from outside, which is no markup."""
    return Text(console.one_line(name))
