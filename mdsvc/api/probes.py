"""Whether the server lives, whether its store takes what it is given, and its figures."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from mdsvc.api.route import Answer, Call
from mdsvc.errors import Unavailable
from mdsvc.store import Store

_READY_SECONDS = 1
"""For so long a supervisor waits where nobody sets it; a lock that is held longer is no good."""


class Status(msgspec.Struct, frozen=True):
    """What a probe is told where all is well."""

    status: Literal["ok", "ready"]


async def get_healthz(call: Call) -> Answer:
    """The server lives; it may have no store."""
    return Answer(Status("ok"))


async def get_readyz(call: Call) -> Answer:
    """The store answers, and can be written to."""
    try:
        await ready_within(call.store, _READY_SECONDS)
    except TimeoutError:
        raise Unavailable(f"the store has not answered within {_READY_SECONDS} s") from None
    except Exception as error:  # whatever a database raises means the same here
        raise Unavailable(f"the store does not answer: {error}") from error
    return Answer(Status("ready"))


async def ready_within(store: Store, seconds: float) -> None:
    """Return where the store is ready. Raises what the store raises, and TimeoutError after so
    long, though the question itself may go on: SQLite waits for a lock to the end.
    """
    asking = asyncio.ensure_future(store.ready())
    asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())
    async with asyncio.timeout(seconds):
        await asyncio.shield(asking)


async def get_metrics(call: Call) -> Answer:
    """Figures for monitoring, in Prometheus' text format."""
    return Answer(await call.backend.metrics.text())
