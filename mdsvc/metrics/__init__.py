"""What monitoring is told, in Prometheus' text format (contract: names and labels).

Labels are of bounded sets: kinds of documents, known clients, rules, registered hosts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from typing_extensions import override

from mdsvc.metrics.fleet import Fleet
from mdsvc.metrics.labels import client_of, document_of

__all__ = ["KIND", "Metrics"]

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""The content type."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds; those that wait for a change take up to 25."""

_STORE_SECONDS = 3

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each, for nobody

Outcome = Literal["fits", "does_not_fit", "invalid_request"]


class Metrics:
    """The figures of one process; a registry of its own, so that two do not meet in tests.

    Without a fleet it is a process in front of Nova, which counts what it asks there.
    """

    def __init__(self, fleet: Fleet | None) -> None:
        self._fleet = fleet
        self._registry = registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "mdsvc_requests",
            "Guests' requests that were answered.",
            ("document", "client", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "mdsvc_request_seconds",
            "How long guests' requests took, waiting for a change included.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._fits = Counter(
            "mdsvc_fits",
            "Placements asked for and what-if questions; rule is the nearest that failed.",
            ("outcome", "rule"),
            registry=registry,
        )
        self._vendordata = Counter(
            "mdsvc_vendordata_requests",
            "Requests to the operator's own services for vendor data, by what came of them.",
            ("target", "outcome"),
            registry=registry,
        )
        if fleet:
            self._store_up = Gauge(
                "mdsvc_store_up", "Whether the store answers: 1 or 0.", registry=registry
            )
            registry.register(_FleetCollector(fleet))
        else:
            self._upstream = Counter(
                "mdsvc_upstream_requests",
                "Requests to Nova's metadata service, by what came of them.",
                ("outcome",),
                registry=registry,
            )
            self._last_good = Counter(
                "mdsvc_upstream_last_good",
                "Guests' requests for which an answer had to do that was kept.",
                registry=registry,
            )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge whose value is asked for when it is read."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def answered(self, path: str, user_agent: str, status: int, seconds: float) -> None:
        """A guest's request was answered."""
        self._requests.labels(document_of(path), client_of(user_agent), status).inc()
        self._seconds.observe(seconds)

    def fitted(self, outcome: Outcome, rule: str = "") -> None:
        """A place was looked for."""
        self._fits.labels(outcome, rule).inc()

    def upstream_asked(self, outcome: str) -> None:
        """An upstream was asked."""
        self._upstream.labels(outcome).inc()

    def vendordata_asked(self, target: str, outcome: str) -> None:
        """A target for vendor data was asked."""
        self._vendordata.labels(target, outcome).inc()

    def last_good_served(self) -> None:
        """No upstream has answered, and what was kept had to do."""
        self._last_good.inc()

    async def text(self) -> bytes:
        """All of it. Where the store does not answer, it says so, and nothing of the fleet."""
        if self._fleet:
            await self._look(self._fleet)
        return await asyncio.to_thread(generate_latest, self._registry)

    async def _look(self, fleet: Fleet) -> None:
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await fleet.look()
        except Exception:  # noqa: BLE001  # whatever a database raises means the same here
            fleet.forget()
        self._store_up.set(fleet.is_known)


class _FleetCollector(Collector):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @override
    def collect(self) -> Iterable[Metric]:
        return self._fleet.families()
