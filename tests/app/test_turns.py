"""Turns: first come, first served; answers before reading; reading never starves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import TIMEOUT_MAX, Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.turns import Turns

FOR_EVER = TIMEOUT_MAX
DEADLINE_S = 120.0
"""After so long a thread that should have ended has not: a failure, not a measurement."""


@contextmanager
def threads(*tasks: Callable[[], None]) -> Iterator[None]:
    """Run each in a thread of its own, and see at the end that all came to theirs."""
    running = [Thread(target=task, daemon=True) for task in tasks]
    for thread in running:
        thread.start()
    yield
    for thread in running:
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that other threads bring about."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def served(turns: Turns, kinds: list[str]) -> list[int]:
    """In which order those who ask one after the other, while the turn is taken, get it."""
    order: list[int] = []

    def ask(number: int, kind: str) -> None:
        with turns.answer() if kind == "answer" else turns.read():
            order.append(number)

    running = []
    with turns.answer():
        for number, kind in enumerate(kinds):
            running.append(Thread(target=ask, args=(number, kind), daemon=True))
            running[-1].start()
            until(lambda: turns.waiting == len(running))
    for thread in running:
        thread.join(DEADLINE_S)
    return order


KINDS = st.lists(st.sampled_from(["answer", "read"]), max_size=8)


@settings(max_examples=30)
@given(kinds=KINDS)
def test_answers_go_before_reading_each_in_order_of_asking(kinds: list[str]) -> None:
    places = range(len(kinds))
    assert served(Turns(FOR_EVER), kinds) == sorted(places, key=lambda n: (kinds[n] == "read", n))


@settings(max_examples=30)
@given(kinds=KINDS)
def test_all_are_served_in_order_of_asking_once_patience_is_over(kinds: list[str]) -> None:
    assert served(Turns(patience=0.0), kinds) == list(range(len(kinds)))


@pytest.mark.parametrize("count", [2, 7])
def test_answers_under_way_get_a_step_each_in_turn(count: int) -> None:
    turns, steps = Turns(), 20
    order: list[int] = []

    def answer(number: int) -> None:
        with turns.answering():
            for step in range(steps):
                with turns.answer():
                    order.append(number)
                    if step < steps - 1:  # all others have asked again before this one can
                        until(lambda: turns.waiting == count - 1)

    with threads(*(lambda n=n: answer(n) for n in range(count))):
        pass
    rounds = [order[n : n + count] for n in range(0, len(order), count)]
    assert sorted(rounds[0]) == list(range(count))
    assert rounds == rounds[:1] * steps


def test_one_has_the_turn_at_a_time() -> None:
    turns, inside, most = Turns(patience=0.0), 0, 0

    def work(ask: Callable[[], object]) -> None:
        nonlocal inside, most
        for _ in range(50):
            with ask():  # type: ignore[attr-defined]
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    with threads(*(lambda a=a: work(a) for a in [turns.answer, turns.read] * 3)):
        pass
    assert (inside, most) == (0, 1)


def test_reading_waits_for_the_whole_of_an_answer() -> None:
    turns, order = Turns(FOR_EVER), []

    def read() -> None:
        with turns.read():
            order.append("chunk")

    def answer() -> None:
        with turns.answering():
            reader.start()
            until(lambda: turns.waiting == 1)
            for _ in range(3):
                with turns.answer():
                    order.append("token")

    reader = Thread(target=read, daemon=True)
    with threads(answer):
        pass
    reader.join(DEADLINE_S)
    assert order == ["token"] * 3 + ["chunk"]


def test_reading_never_starves() -> None:
    """Answers never pause: there is always one that wants the turn. Reading comes to its end."""
    turns, chunks, done = Turns(patience=0.01), [], False

    def answer() -> None:
        with turns.answering():
            while not done:
                with turns.answer():
                    time.sleep(0.0005)

    def read() -> None:
        nonlocal done
        for number in range(5):
            with turns.read():
                chunks.append(number)
        done = True

    with threads(answer, answer, answer, read):
        pass
    assert chunks == list(range(5))


def test_an_answer_that_stalls_does_not_stop_reading() -> None:
    turns = Turns(patience=0.01)
    with turns.answering(), turns.read():
        pass


def test_reading_alone_does_not_wait() -> None:
    with Turns(FOR_EVER).read():
        pass


def test_a_failure_gives_the_turn_back() -> None:
    turns = Turns(FOR_EVER)
    for ask in (turns.answering, turns.answer, turns.read):
        with pytest.raises(RuntimeError), ask():
            raise RuntimeError
    with turns.read():
        pass


def test_who_leaves_the_line_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, order = Turns(FOR_EVER), []

    def ask() -> None:
        with turns.answer():
            order.append("served")

    with turns.answer(), monkeypatch.context() as patch:
        patch.setattr(turns, "_wait", lambda ticket: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), turns.answer():
            order.append("never")
        assert turns.waiting == 0
    with threads(ask):
        pass
    assert order == ["served"]
