"""What tests do at a desk: wait for its jobs, hold it up, and look at what it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.desk import Desk, Job
from app.library import Library
from app.uploads import Limits
from tests.app.patient import PATIENCE_S

ANY = Limits(free_bytes=0)
USERS = ("ada", "bob", "zoe", "a", "b", "c")


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def job_of(desk: Desk, job: Job, owner: str = "") -> Job:
    (found,) = [j for j in desk.jobs(owner) if j.id == job.id]
    return found


def ended(desk: Desk, job: Job, owner: str = "") -> Job:
    """A job once it has come to its end."""
    until(lambda: job_of(desk, job, owner).state.ended)
    return job_of(desk, job, owner)


@contextmanager
def held(library: Library) -> Iterator[None]:
    """The model is somebody else's, and a reading stands in line for its next chunk."""
    with library.turns.answer():
        until(lambda: library.turns.waiting == 1)
        yield


def left(desk: Desk) -> list[str]:
    return [path.name for path in desk.folder.iterdir() if path.name != ".lock"]


def small(folder: Path, name: str) -> Path:
    path = folder / f"{name}.txt"
    path.write_text(f"{name}: the light on the rock was lit. " * 3)
    return path
