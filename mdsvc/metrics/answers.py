"""Guests' requests that were answered, as plain numbers until somebody reads the figures.

prometheus-client takes a lock for each number that it adds up, three of them for an answer, which
is a good part of what one that is kept costs. Where other processes read them, they are passed on
once all that has come at the same time is answered.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

from mdsvc.metrics.labels import MOST_KNOWN, client_of, document_of

_Alike = tuple[str, str, int]
"""Path, client and status."""

_MOST_KEPT, _LONGEST_KEPT = 1000, 200
"""Kinds of requests that are told apart, and the longest path of one that is remembered."""


class Seconds(Histogram):
    """A histogram that takes many observations at once."""

    def add(self, counts: Sequence[int], seconds: float) -> None:
        """So many in each bucket, the last one being of all that are longer; ``seconds`` in all."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(seconds)


class Answers:
    """Counts them, and passes the sums on to those that monitoring reads."""

    def __init__(
        self, requests: Counter, seconds: Seconds, buckets: Sequence[float], *, is_shared: bool
    ) -> None:
        """``buckets`` are those of ``seconds``."""
        self._requests = requests
        self._seconds = seconds
        self._bounds = tuple(buckets)
        self._is_shared = is_shared
        self._is_due = False
        self._counters: dict[_Alike, Counter] = {}
        self._begin()

    def _begin(self) -> None:
        self._counts: dict[_Alike, int] = {}
        self._lengths = [0] * (len(self._bounds) + 1)
        self._all_seconds = 0.0

    def add(self, path: str, user_agent: str, status: int, seconds: float) -> None:
        """A guest's request was answered."""
        counts, key = self._counts, (path, user_agent[:MOST_KNOWN], status)
        counts[key] = counts.get(key, 0) + 1
        self._lengths[bisect_left(self._bounds, seconds)] += 1
        self._all_seconds += seconds
        if self._is_shared and not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.pass_on)
        elif len(counts) > _MOST_KEPT or len(path) > _LONGEST_KEPT:
            self.pass_on()

    def pass_on(self) -> None:
        """What has been counted since the last time."""
        counts, lengths, seconds = self._counts, self._lengths, self._all_seconds
        self._is_due = False
        self._begin()
        for key, count in counts.items():
            self._counter(key).inc(count)
        self._seconds.add(lengths, seconds)

    def _counter(self, key: _Alike) -> Counter:
        """Found once for requests that are alike: a storm's are."""
        counter = self._counters.get(key)
        if counter is None:
            path, client, status = key
            counter = self._requests.labels(document_of(path), client_of(client), status)
            if len(path) <= _LONGEST_KEPT:
                if len(self._counters) >= _MOST_KEPT:
                    self._counters.clear()
                self._counters[key] = counter
        return counter
