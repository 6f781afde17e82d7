"""What monitoring is told, in Prometheus' text format (contract: names and labels).

Labels are of bounded sets: kinds of documents, known clients, rules, registered hosts.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    disable_created_metrics,
    multiprocess,
)
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from typing_extensions import override

from mdsvc.metrics.answers import Answers, Seconds
from mdsvc.metrics.fleet import Fleet
from mdsvc.metrics.labels import REFUSALS
from mdsvc.metrics.series import Of, counters

__all__ = ["KIND", "Metrics"]

KIND = "text/plain; version=0.0.4; charset=utf-8"
"""The content type."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Seconds; those that wait for a change take up to 25."""

_STORE_SECONDS = 3

_TOLD_SECONDS = 1

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each, for nobody

Outcome = Literal["fits", "does_not_fit", "invalid_request"]


class Metrics:
    """The figures of one process; a registry of its own, so that two do not meet in tests. Where
    workers share a folder of figures, those of all of them.

    Without a fleet it is a process in front of Nova, which counts what it asks there.
    """

    def __init__(self, fleet: Fleet | None) -> None:
        self._fleet = fleet
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self._looking: asyncio.Task[None] | None = None
        self._is_shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._registry = CollectorRegistry(auto_describe=False)
        registry = None if self._is_shared else self._registry
        self._counts = counters(Of.STORE if fleet else Of.OVERLAY, registry)
        for reason in REFUSALS:
            self._counts["mdsvc_refused"].labels(reason)  # so that the first one is an increase
        seconds = Seconds(
            "mdsvc_request_seconds",
            "How long guests' requests took, waiting for a change included.",
            buckets=_BUCKETS,
            registry=registry,
        )
        self._answers = Answers(
            self._counts["mdsvc_requests"], seconds, _BUCKETS, is_shared=self._is_shared
        )
        self.answered = self._answers.add  # a call the less for each
        if fleet:
            self._store_up = Gauge(
                "mdsvc_store_up",
                "Whether the store answers: 1 or 0.",
                registry=registry,
                multiprocess_mode="livemax",
            )
            self._registry.register(_FleetCollector(fleet))

    def watch(
        self, name: str, text: str, value: Callable[[], float], *, is_of_each: bool = True
    ) -> None:
        """A gauge whose value is asked for when it is read; of several processes their sum, or the
        most where all count the same things.
        """
        if not self._is_shared:
            Gauge(name, text, registry=self._registry).set_function(value)
        else:
            mode: Literal["livesum", "livemax"] = "livesum" if is_of_each else "livemax"
            gauge = Gauge(name, text, registry=None, multiprocess_mode=mode)
            self._watched.append((gauge, value))

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Within the block the other processes know of the gauges, as of a second ago."""

        async def tell() -> None:
            while True:
                for gauge, value in self._watched:
                    gauge.set(value())
                await asyncio.sleep(_TOLD_SECONDS)

        task = asyncio.create_task(tell()) if self._watched else None
        try:
            yield
        finally:
            if task:
                task.cancel()

    def refused(self, reason: str) -> None:
        """A guest's request, or its connection, was refused for that one of ``REFUSALS``."""
        self._counts["mdsvc_refused"].labels(reason).inc()

    def fitted(self, outcome: Outcome, rule: str = "") -> None:
        """A place was looked for."""
        self._counts["mdsvc_fits"].labels(outcome, rule).inc()

    def upstream_asked(self, outcome: str) -> None:
        """An upstream was asked."""
        self._counts["mdsvc_upstream_requests"].labels(outcome).inc()

    def vendordata_asked(self, target: str, outcome: str) -> None:
        """A target for vendor data was asked."""
        self._counts["mdsvc_vendordata_requests"].labels(target, outcome).inc()

    def target_answered(self, document: str, status: int) -> None:
        """Nova has asked for vendor data."""
        self._counts["mdsvc_target_requests"].labels(document, status).inc()

    def last_good_served(self) -> None:
        """No upstream has answered, and what was kept had to do."""
        self._counts["mdsvc_upstream_last_good"].inc()

    async def text(self) -> bytes:
        """All of it. Where the store does not answer, it says so, and nothing of the fleet."""
        if self._fleet:
            await self._look(self._fleet)
        self._answers.pass_on()
        return await asyncio.to_thread(self._text)

    def _text(self) -> bytes:
        if not self._is_shared:
            return generate_latest(self._registry)
        everybody = CollectorRegistry(auto_describe=False)
        multiprocess.MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # it has no types
        return generate_latest(everybody) + generate_latest(self._registry)

    async def _look(self, fleet: Fleet) -> None:
        """It goes on where it takes longer, as the first look at very many guests does."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(fleet.look())
            self._looking.add_done_callback(lambda look: look.cancelled() or look.exception())
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                await asyncio.shield(self._looking)
        except Exception as error:  # noqa: BLE001  # whatever a database raises means the same here
            if not (isinstance(error, TimeoutError) and fleet.hears(2 * _STORE_SECONDS)):
                fleet.forget()
        self._store_up.set(fleet.is_known or fleet.hears(2 * _STORE_SECONDS))


class _FleetCollector(Collector):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @override
    def collect(self) -> Iterable[Metric]:
        return self._fleet.families()
