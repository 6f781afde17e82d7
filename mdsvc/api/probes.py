"""Whether the server lives, whether its store takes what it is given, and its figures."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from mdsvc.api.route import Answer, Call
from mdsvc.errors import Unavailable

_READY_SECONDS = 3


class Status(msgspec.Struct, frozen=True):
    """What a probe is told where all is well."""

    status: Literal["ok", "ready"]


async def get_healthz(call: Call) -> Answer:
    """The server lives; it may have no store."""
    return Answer(Status("ok"))


async def get_readyz(call: Call) -> Answer:
    """The store answers, and can be written to."""
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await call.store.ready()
    except TimeoutError:
        raise Unavailable(f"the store has not answered within {_READY_SECONDS} s") from None
    except Exception as error:  # whatever a database raises means the same here
        raise Unavailable(f"the store does not answer: {error}") from error
    return Answer(Status("ready"))


async def get_metrics(call: Call) -> Answer:
    """Figures for monitoring, in Prometheus' text format."""
    return Answer(await call.backend.metrics.text())
