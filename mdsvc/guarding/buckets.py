"""A token bucket for each guest, as the generic cell rate algorithm (ITU-T I.371, A.1).

Of a bucket one number is kept: when it will be full again. A full bucket is not kept at all, so
what is kept is bounded by the guests that have asked within the time that filling takes.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

_SWEPT_AT = 1024


class Buckets:
    """Buckets by key, of ``burst`` requests, refilled with ``rate`` a second; 0 is no limit."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._interval = 1 / rate if rate else 0.0
        self._depth = (burst - 1) * self._interval
        self._full_at: dict[str, float] = {}
        self._sweep_at = _SWEPT_AT

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: str) -> float:
        """Take one request out; else the seconds until there is one, and nothing is taken."""
        if not self._interval:
            return 0.0
        now = self._clock()
        full_at = max(now, self._full_at.get(key, now))
        missing = full_at - now - self._depth
        if missing > 1e-9:
            return missing
        self._full_at[key] = full_at + self._interval
        if len(self._full_at) >= self._sweep_at:
            self._sweep(now)
        return 0.0

    def _sweep(self, now: float) -> None:
        """Forget those that are full. It costs what has been added since the last time."""
        self._full_at = {key: at for key, at in self._full_at.items() if at > now}
        self._sweep_at = max(_SWEPT_AT, 2 * len(self._full_at))
