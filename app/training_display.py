"""How a training run is shown: one live line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.text import Text

from app import console

if TYPE_CHECKING:
    from comet_core.training.report import StepReport

LINE_SECONDS = 60  # between lines where there is no terminal to draw on


class TrainingDisplay:
    """Loss, score, tokens a second and the time left of a run, on stderr."""

    def __init__(self, stages: int, max_minutes: float | None) -> None:
        self._stages = stages
        self._steps = 0
        self._limit = None if max_minutes is None else max_minutes * 60
        self._begun = time.monotonic()
        self._shown = float("-inf")
        self._loss: float | None = None
        self._tokens = 0
        self._live = Live(console=console.err, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, report: StepReport, steps_left: int | None) -> None:
        """Show a step; the loss is smoothed over about twenty. steps_left: at most, if known."""
        loss = report.recited if report.loss is None else report.loss
        assert loss is not None  # a step asks something
        self._loss = loss if self._loss is None else 0.95 * self._loss + 0.05 * loss
        self._tokens += report.tokens
        self._steps += 1
        line = self._line(report, steps_left)
        if console.err.is_terminal:
            self._live.update(Text(line), refresh=True)
        elif time.monotonic() - self._shown > LINE_SECONDS:
            console.note(line)
            self._shown = time.monotonic()

    def _line(self, report: StepReport, steps_left: int | None) -> str:
        seconds = time.monotonic() - self._begun
        parts = [
            f"step {report.step + 1:,}",
            f"stage {report.stage_number + 1}/{self._stages}: {report.stage}",
            f"loss {self._loss:.3f}",
            f"{report.score:.0%} of facts right",
            f"{self._tokens / max(seconds, 1e-9):,.0f} tokens/s",
        ]
        left = None if steps_left is None else steps_left * seconds / self._steps
        if self._limit is not None:
            stops = max(0, self._limit - seconds)
            left = stops if left is None else min(left, stops)
        if left is not None:
            parts.append(f"at most {console.duration(left)} left")
        return "  ".join(parts)
