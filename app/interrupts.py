"""Ctrl-C that is not lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. Where that is a callback, of
a weak reference or of the garbage collector, the exception is printed and dropped, and the work
goes on as if nobody had asked. Here it is noted and not printed.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

STDERR = 2


@contextmanager
def kept_interrupts() -> Iterator[Callable[[], None]]:
    """Yields what raises KeyboardInterrupt if there was one that was dropped."""
    with _noting() as asked:

        def check() -> None:
            if asked():
                raise KeyboardInterrupt

        yield check


@contextmanager
def awaited_interrupts(notice: str) -> Iterator[Callable[[], bool]]:
    """Yields what says whether Ctrl-C was pressed, which is answered with a notice on stderr; only
    pressed again does it interrupt.
    """
    with _noting(notice) as asked:
        yield asked


@contextmanager
def _noting(notice: str | None = None) -> Iterator[Callable[[], bool]]:
    """Notes Ctrl-C, and raises KeyboardInterrupt too, but for the first one where that is answered
    with a notice; for the main thread. Leaves SIGINT alone where it is ignored, as in a background
    job of a shell.
    """
    count = 0

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if notice is None or count > 1:
            signal.default_int_handler(number, frame)
        os.write(STDERR, f"\n{notice}\n".encode())  # print is not made for signal handlers

    def asked() -> bool:
        return count > 0

    def report(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):  # that one is noted
            before_report(dropped)

    before, before_report = signal.getsignal(signal.SIGINT), sys.unraisablehook
    if before is not signal.default_int_handler:
        yield asked
        return
    signal.signal(signal.SIGINT, note)
    sys.unraisablehook = report
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = before_report
