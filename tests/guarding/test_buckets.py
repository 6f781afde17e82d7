"""A guest may ask so often, and no other guest loses anything by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.guarding import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_let_through_and_then_the_rate() -> None:
    clock = Clock()
    buckets = Buckets(20, 200, clock)
    assert sum(buckets.take("a") == 0 for _ in range(500)) == 200
    assert buckets.take("a") == pytest.approx(0.05)
    clock.now += 1
    assert sum(buckets.take("a") == 0 for _ in range(500)) == 20
    assert buckets.take("b") == 0


def test_no_rate_is_no_limit() -> None:
    buckets = Buckets(0, 1)
    assert not any(buckets.take("a") for _ in range(1000))


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_in_no_time_more_than_burst_and_rate_come_through(
    rate: int, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    buckets = Buckets(rate, burst, clock)
    passed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if buckets.take("a") == 0:
            passed.append(clock.now)
    for first, since in enumerate(passed):
        for last, until in enumerate(passed[first:]):
            assert last + 1 <= burst + rate * (until - since) + 1e-6


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 100))
def test_who_waits_as_long_as_is_said_comes_through(rate: int, burst: int, more: int) -> None:
    clock = Clock()
    buckets = Buckets(rate, burst, clock)
    for _ in range(more):
        seconds = buckets.take("a")
        clock.now += seconds
        assert seconds == 0 or buckets.take("a") == 0


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    buckets = Buckets(20, 200, clock)
    for guest in range(100_000):
        buckets.take(str(guest))
        clock.now += 0.01
    assert len(buckets) < 5000
