"""apply and undo are killed at any moment; what comes after them finishes or reverts their work."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.vm.tool import Guest, until

ROUNDS = 3


@pytest.fixture(scope="module")
def seconds(guest: Guest) -> float:
    """How long apply takes; a task outside has CPUs of its own choice meanwhile."""
    start = time.monotonic()
    guest.apply("1-3")
    took = time.monotonic() - start
    guest.tool("undo")
    return took


@pytest.fixture(autouse=True)
def chosen(guest: Guest, seconds: float) -> Iterator[int]:
    """A task with an affinity that every apply takes away, and every undo gives back."""
    with guest.spawned("exec taskset -c 2-3 sleep inf") as [pid]:
        until(lambda: guest.affinity(pid) == "2-3")
        yield pid
        assert guest.affinity(pid) == "2-3"


def kill(guest: Guest, arguments: str, after: float) -> None:
    """Start the tool, and kill it after so many seconds, if it still runs."""
    running = guest.spawn(f"exec mdguest {arguments}")
    time.sleep(after)
    guest.run(f"kill -9 {running.pid}", check=False)
    print(f"mdguest {arguments}: {running.wait()} after {after:.2f} s")


def moments(seconds: float) -> list[float]:
    """One in each part of the time that it takes."""
    return [seconds * (part + random.random()) / ROUNDS for part in range(ROUNDS)]


def test_apply_completes_what_a_killed_apply_began(
    guest: Guest, chosen: int, seconds: float
) -> None:
    for moment in moments(seconds):
        with guest.undone():
            kill(guest, f"apply {guest.layout('2-3')}", moment)
            guest.apply("2-3")
            assert guest.problems == []
            assert (guest.pool(".partition"), guest.pool(".effective")) == ("isolated", "2-3")
            assert guest.affinity(chosen) == "0-1"


def test_undo_reverts_what_a_killed_apply_began(guest: Guest, seconds: float) -> None:
    for moment in moments(seconds):
        with guest.undone():
            kill(guest, f"apply {guest.layout('2-3')}", moment)


def test_undo_completes_what_a_killed_undo_began(guest: Guest, seconds: float) -> None:
    for moment in moments(seconds):
        with guest.undone():
            guest.apply("2-3")
            kill(guest, "undo", moment)


def test_a_killed_change_can_still_be_reverted(guest: Guest, seconds: float) -> None:
    for moment in moments(seconds)[:2]:
        with guest.undone():
            guest.apply("1")
            kill(guest, f"apply {guest.layout('2-3')}", moment)
