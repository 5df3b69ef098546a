"""Heat maps of an evaluation, as a picture beside its JSON. Knows nothing of what is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHADES = "viridis"
LABELS = 12
"""At most about so many labels on an axis."""


@dataclass(frozen=True)
class HeatMap:
    """Values from 0 to 1, a list a row; None where there is none."""

    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    row_name: str
    column_name: str


def draw(path: Path, maps: Sequence[HeatMap]) -> None:
    """Write heat maps, one below the other, to a PNG file. Needs matplotlib."""
    from matplotlib.figure import Figure

    heights = [min(6.0, max(1.6, 0.8 + 0.3 * len(m.rows))) for m in maps]
    figure = Figure(figsize=(9, sum(heights) + 0.4 * len(maps)), layout="constrained")
    axes = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, m in zip(axes, maps, strict=True):
        values = [[float("nan") if v is None else v for v in row] for row in m.values]
        image = axis.imshow(
            values, vmin=0, vmax=1, cmap=SHADES, aspect="auto", interpolation="nearest"
        )
        axis.set_title(m.title, fontsize=10, parse_math=False)
        axis.set_ylabel(m.row_name)
        axis.set_xlabel(m.column_name)
        for labels, set_ticks in ((m.columns, axis.set_xticks), (m.rows, axis.set_yticks)):
            every = -(-len(labels) // LABELS)
            set_ticks(range(0, len(labels), every), labels[::every], fontsize=8)
        figure.colorbar(image, ax=axis)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
