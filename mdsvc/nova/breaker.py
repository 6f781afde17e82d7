"""A circuit breaker: whoever has not answered several times is left alone for a while."""

from __future__ import annotations

from collections.abc import Callable

FAILURES = 3
SECONDS = 5.0


class Breaker:
    """Closed, until so many failures follow one another; then one request goes through every few
    seconds, and its success closes it again.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._until = 0.0

    def lets_through(self) -> bool:
        """Whether to ask now; whoever is let through says what came of it."""
        if self._failures < FAILURES:
            return True
        now = self._clock()
        if now < self._until:
            return False
        self._until = now + SECONDS  # this one is the trial
        return True

    def succeeded(self) -> None:
        """It has answered."""
        self._failures = 0

    def failed(self) -> None:
        """It has not."""
        self._failures += 1
        if self._failures >= FAILURES:
            self._until = self._clock() + SECONDS
