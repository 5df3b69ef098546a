"""How fast a reading goes, and how long it still takes; for whoever shows it.

Knows nothing of what is shown.
"""

from __future__ import annotations

import time


class Pace:
    """Measures from a first look at a reading on, of so many tokens and pages."""

    def __init__(self, tokens: int, pages: int) -> None:
        self._tokens, self._pages = tokens, pages
        self._begun = time.monotonic()

    def tokens_per_second(self, tokens: int) -> float | None:
        """None before there is something to measure."""
        seconds = time.monotonic() - self._begun
        if seconds <= 0 or tokens <= self._tokens:
            return None
        return (tokens - self._tokens) / seconds

    def seconds_left(self, pages: int, page_count: int) -> float | None:
        """None before there is something to measure."""
        seconds = time.monotonic() - self._begun
        if seconds <= 0 or pages <= self._pages:
            return None
        return seconds * max(0, page_count - pages) / (pages - self._pages)
