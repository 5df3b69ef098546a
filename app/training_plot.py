"""A picture of a training run: loss, share of right answers, and where its stages begin."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

SMOOTHED = 20  # steps


def plot_metrics(metrics: Path) -> Path | None:
    """Draw a run's metrics beside them, as PNG; None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    steps = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(9, 6))
    above, below = figure.subplots(2, 1, sharex=True)
    for key, label in (("loss", "answers"), ("recited", "passages recited")):
        chosen = [s for s in steps if s.get(key) is not None]
        if chosen:
            above.plot([s["step"] for s in chosen], _smooth([s[key] for s in chosen]), label=label)
    above.set_ylabel("loss")
    above.legend(loc="upper right")
    for task in sorted({s["task"] for s in steps}):
        chosen = [s for s in steps if s["task"] == task and s["right"] is not None]
        below.plot(
            [s["step"] for s in chosen],
            _smooth([s["right"] for s in chosen]),
            label=f"{task} right",
        )
    below.set(ylim=(0, 1), xlabel="step")
    below.legend(loc="upper left")
    for name, stage in groupby(steps, key=lambda s: s["stage"]):
        first = next(stage)["step"]
        for axes in (above, below):
            axes.axvline(first, color="0.8", linewidth=0.8)
        top = above.get_ylim()[1]
        above.text(first, top, name, rotation=20, fontsize=7, va="bottom", parse_math=False)
    image = metrics.with_suffix(".png")
    figure.savefig(image, dpi=120, bbox_inches="tight")
    return image


def _smooth(values: list[float]) -> list[float]:
    """Each value's mean with those before it, SMOOTHED at most."""
    return [
        sum(part := values[max(0, i - SMOOTHED + 1) : i + 1]) / len(part)
        for i in range(len(values))
    ]
