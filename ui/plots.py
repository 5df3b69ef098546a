"""The figures of the memory page. Pure functions: numbers in, Plotly figures out.

Colours are chosen to be told apart in light and dark, also by who sees few colours; backgrounds
are clear, and the style sheet colours the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import log10
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.console import size
from app.memory_view import MemoryView
from ui import text

GLOBAL, TEMPORARY, TAIL = "#8b8fa3", "#7c6cf0", "#e0a43a"
GRID = "rgba(128, 128, 145, 0.25)"
SCALE = [[0.0, "#e0a43a"], [0.5, "#b0608f"], [1.0, "#4b3fbf"]]
ENLARGED = 2  # the end of the strip is shown again: so many times what is remembered in detail
LONGEST_ANSWER = 40  # tokens in one figure


def strip(view: MemoryView) -> go.Figure:
    """The document as a strip, which of it is remembered how closely; below, its end enlarged,
    unless that would be nothing, or all of it again.
    """
    parts = [
        (text.STRIP_GLOBAL, 0, view.temporary_from, GLOBAL),
        (text.STRIP_TEMPORARY, view.temporary_from, view.tail_from, TEMPORARY),
        (text.STRIP_TAIL, view.tail_from, view.tokens, TAIL),
    ]
    end = max(view.tokens, 1)
    enlarged = max(0, end - ENLARGED * (end - view.temporary_from))
    lefts = [0, enlarged] if 0 < enlarged < end else [0]
    rows = len(lefts)
    figure = make_subplots(
        rows=rows,
        cols=1,
        vertical_spacing=0.5,
        subplot_titles=(text.STRIP_WHOLE, text.STRIP_END)[:rows],
    )
    for row, left in enumerate(lefts, 1):
        for name, begin, stop, colour in parts:
            if stop > max(begin, left):
                figure.add_bar(
                    name=name,
                    legendgroup=name,
                    showlegend=row == 1,
                    y=[""],
                    x=[stop - max(begin, left)],
                    base=[max(begin, left)],
                    orientation="h",
                    marker={"color": colour, "line": {"width": 0}},
                    hovertemplate=f"{name}<br>{begin:,} – {stop:,}<extra></extra>",
                    row=row,
                    col=1,
                )
        figure.update_xaxes(range=[left, end], tickformat=",d", row=row, col=1)
    figure.update_layout(barmode="overlay", bargap=0.1)
    figure.update_xaxes(title=text.STRIP_AXIS, row=rows, col=1)
    figure = _styled(figure, height=20 + 140 * rows, legend=True)
    for title in figure.layout.annotations:
        title.update(x=0, xanchor="left", font={"size": 13})
    legend = {"yref": "container", "yanchor": "top", "y": 1}
    return figure.update_layout(margin={"l": 16, "t": 64}, legend=legend)


def gates(view: MemoryView) -> go.Figure | None:
    """How much of the old each layer kept, chunk by chunk; None if there is nothing to see."""
    shown = view.gates
    if shown.chunks < 2 or not shown.values:
        return None
    missing = view.chunks - shown.chunks  # read before gates were kept
    first = 1 + missing
    starts = list(range(first, first + shown.chunks, shown.span))
    if missing == 0 and shown.span == 1:  # the first chunk has no old to keep
        starts, values = starts[1:], [layer[1:] for layer in shown.values]
    else:
        values = shown.values
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=starts,
            y=list(range(1, len(values) + 1)),
            zmin=0,
            zmax=1,
            colorscale=SCALE,
            colorbar={
                "title": {"text": text.GATES_KEPT, "side": "top"},
                "thickness": 12,
                "outlinewidth": 0,
                "tickformat": ".0%",
            },
            hovertemplate="chunk %{x}, layer %{y}: %{z:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(
        title=text.GATES_X,
        showgrid=False,
        tickformat=",d",
        dtick=max(1, (starts[-1] - starts[0]) // 8),
    )
    figure.update_yaxes(title=text.GATES_Y, showgrid=False, dtick=max(1, len(values) // 6))
    return _styled(figure, height=380)


def sizes(view: MemoryView) -> go.Figure:
    """The memory beside the text and an ordinary key/value cache, on a logarithmic scale."""
    bars = [
        (text.SIZE_CACHE, view.cache_bytes, GLOBAL),
        (text.SIZE_TEXT, view.text_bytes, TAIL),
        (text.SIZE_MEMORY, view.memory_bytes, TEMPORARY),
    ]
    figure = go.Figure(
        go.Bar(
            y=[name for name, _, _ in bars],
            x=[nbytes for _, nbytes, _ in bars],
            text=[size(nbytes) for _, nbytes, _ in bars],
            orientation="h",
            marker={"color": [colour for _, _, colour in bars], "line": {"width": 0}},
            hovertemplate="%{y}: %{text}<extra></extra>",
            textposition="outside",
            cliponaxis=False,
        )
    )
    least, most = (log10(max(1, of(n for _, n, _ in bars))) for of in (min, max))
    figure.update_xaxes(
        type="log", showticklabels=False, showgrid=False, range=[least - 0.5, most + 0.8]
    )
    figure.update_yaxes(automargin=True, ticksuffix="  ")
    return _styled(figure, height=210)


def chances(pieces: Sequence[tuple[str, float]]) -> go.Figure | None:
    """How likely each token of an answer was to the model; None for an answer without any."""
    shown = pieces[:LONGEST_ANSWER]
    if not shown:
        return None
    figure = go.Figure(
        go.Bar(
            x=list(range(1, len(shown) + 1)),
            y=[chance for _, chance in shown],
            customdata=[escape(piece, quote=False) for piece, _ in shown],
            marker={
                "color": [chance for _, chance in shown],
                "colorscale": SCALE,
                "cmin": 0,
                "cmax": 1,
                "line": {"width": 0},
            },
            hovertemplate="“%{customdata}”: %{y:.0%}<extra></extra>",
        )
    )
    labels = [escape(piece.replace("\n", "⏎"), quote=False) or "·" for piece, _ in shown]
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(range(1, len(shown) + 1)),
        ticktext=labels,
        tickangle=-60 if len(shown) > 8 else 0,
        showgrid=False,
        automargin=True,
    )
    figure.update_yaxes(title=text.CHANCES_Y, range=[0, 1], tickformat=".0%")
    return _styled(figure, height=300)


def _styled(figure: go.Figure, height: int, legend: bool = False) -> go.Figure:
    axis: dict[str, Any] = {"gridcolor": GRID, "zeroline": False, "fixedrange": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 56, "r": 16, "t": 12, "b": 48},
        font={"family": "system-ui, sans-serif", "size": 13},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.05, "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        hovermode="closest",
        dragmode=False,
    )
