"""What is done at once, told from what would take for ever: how fast things are is bench/'s."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, process_time

FOR_EVER = 60.0
"""Seconds. What is done at once takes one at most; a few, traced on a busy machine."""


@contextmanager
def promptly() -> Iterator[None]:
    """That what is done within does not take for ever, of the CPU's time."""
    started = process_time()
    yield
    assert process_time() - started < FOR_EVER


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """That less time goes by. The limit is far from what is right, and from what is wrong."""
    started = monotonic()
    yield
    assert monotonic() - started < seconds


def growth(work: Callable[[int], object], small: int, large: int) -> float:
    """CPU time of the large work over that of the small one, the least of three each."""

    def least(size: int) -> float:
        times = []
        for _ in range(3):
            started = process_time()
            work(size)
            times.append(process_time() - started)
        return min(times)

    return least(large) / least(small)
