"""What the memory page says beside its figures: sentences with the numbers in them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.console import one_line, size
from app.memory_view import MemoryView
from app.tables import Message
from ui import text
from ui.chat_view import Choices, shortened

ANSWERS = 10  # of which one can look at the chances

Pieces = list[tuple[str, float]]


def summary(title: str, view: MemoryView) -> str:
    """What is left of the document."""
    return text.MEMORY_SUMMARY.format(
        title=one_line(title),
        tokens=f"{view.tokens:,}",
        size=size(view.memory_bytes),
        layers=view.layers,
        global_rows=view.global_rows,
        temporary_rows=view.temporary_rows,
    )


def strip_caption(view: MemoryView) -> str:
    """What the strip shows."""
    caption = text.STRIP_TAIL_SAYS.format(count=f"{view.tail:,}")
    temporary = view.tail_from - view.temporary_from
    if temporary:
        caption += " " + text.STRIP_TEMPORARY_SAYS.format(
            count=f"{temporary:,}", rows=view.temporary_rows, stride=view.stride
        )
    if view.temporary_from:
        share = percent(view.temporary_from / view.tokens)
        caption += " " + text.STRIP_GLOBAL_SAYS.format(share=share, rows=view.global_rows)
    elif temporary:
        caption += " " + text.STRIP_NOTHING_LEFT
    return caption


def percent(share: float) -> str:
    """A share, which is 0 % or 100 % only if it is exactly that."""
    return f"{share:.0%}" if share in (0.0, 1.0) or 0.01 <= share <= 0.99 else f"{share:.2%}"


def gates_caption(view: MemoryView) -> str:
    """What the heat map shows, or why there is none."""
    if view.chunks < 2:
        return text.GATES_ONE_CHUNK
    if view.gates.chunks < 2:
        return text.GATES_NONE
    caption = text.GATES_SAYS.format(chunk=f"{view.chunk_size:,}")
    if view.volumes > 1:
        caption += " " + text.GATES_VOLUMES.format(
            count=view.volumes, chunks=view.volume_chunks, global_rows=view.global_rows
        )
    if view.gates.span > 1:
        caption += " " + text.GATES_SPAN.format(span=view.gates.span)
    return caption


def sizes_caption(view: MemoryView) -> str:
    """What the bars of the sizes show."""
    if not view.memory_bytes:
        return text.NO_MEMORY
    times = view.cache_bytes / max(view.memory_bytes, 1)
    ratio = f"{times:,.0f}" if times >= 10 else f"{times:,.1f}"
    comparison = text.SIZES_LARGER if times >= 1 else text.SIZES_SMALLER
    return text.SIZES_SAYS.format(
        memory=size(view.memory_bytes), text=size(view.text_bytes), cache=size(view.cache_bytes)
    ) + comparison.format(times=ratio)


def chances_caption(pieces: Pieces) -> str:
    """What the bars of an answer show."""
    if not pieces:
        return text.CHANCES_NONE
    mean = sum(chance for _, chance in pieces) / len(pieces)
    piece, lowest = min(pieces, key=lambda pair: pair[1])
    return text.CHANCES_SAYS.format(
        mean=f"{mean:.0%}", piece=one_line(piece).strip() or "…", lowest=f"{lowest:.0%}"
    )


def answer_choices(asked: Iterable[tuple[str, Message, Message]]) -> Choices:
    """Answers to look at, named by their questions: the conversation's id and the position."""
    return [
        (shortened(question.text), f"{conversation}:{answer.position}")
        for conversation, question, answer in asked
    ]


def pieces_of(details: dict[str, Any] | None) -> Pieces:
    """The tokens of an answer with their chances, as they were stored."""
    return [(str(piece), float(chance)) for piece, chance in (details or {}).get("chances", [])]
