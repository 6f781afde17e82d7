"""The first look at all guests takes a while after a start: what does not need it is answered, and
what does says how long it takes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import pytest
from typing_extensions import override

from mdsvc import server
from mdsvc.api import instances as api
from mdsvc.control import drifting
from mdsvc.control.drifting import Drifting, Reading
from mdsvc.errors import Unavailable
from mdsvc.reports import Report
from mdsvc.settings import Settings
from mdsvc.store.memory import MemoryStore
from mdsvc.web import instances
from tests.http.wire import Wire


class VeryMany(MemoryStore):
    """Reports that take until ``are_read``."""

    def __init__(self) -> None:
        super().__init__()
        self.are_read = asyncio.Event()

    @override
    async def reports_after(self, after: str, limit: int, since: int) -> Mapping[str, Report]:
        await self.are_read.wait()
        return await super().reports_after(after, limit, since)


def test_how_long_it_takes_is_told_from_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(drifting, "monotonic", lambda: now)
    reading = Reading()
    now += 4
    assert reading.seconds_left() is None, "nothing is known yet"
    reading.after = "40000000-0000-4000-8000-000000000000"
    assert reading.seconds_left() == 12
    reading.after = "ffffffff-0000-4000-8000-000000000000"
    assert reading.seconds_left() == 1
    now += 10_000
    reading.after = "10000000-0000-4000-8000-000000000000"
    assert reading.seconds_left() == 60


async def test_whoever_cannot_wait_for_it_is_told_and_it_goes_on() -> None:
    store = VeryMany()
    looks = Drifting(store)
    looks._reading.after = "80000000"
    for _ in range(2):
        with pytest.raises(Unavailable, match="being found out"):
            await looks.look_within(0.01)
    store.are_read.set()
    await looks.look_within(30)
    assert len(looks._looks) == 0
    await looks.look_within(0)


async def test_what_does_not_need_it_is_answered_and_what_does_says_when(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(instances, "_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(Reading, "seconds_left", lambda _: 6.5)
    store = VeryMany()
    settings = Settings(guest=("127.0.0.1:0",), operator="127.0.0.1:0")
    async with server.listeners(settings, store) as lines:
        ask = Wire(int(re.findall(r":(\d+)", lines[-1])[0]), "localhost")
        for path in ("/", "/instances", "/changes", "/v1/hosts", "/v1/instances", "/readyz"):
            assert (await ask(path)).status == 200, path
        for path in ("/instances?drifted=true", "/v1/instances?drifted=true"):
            reply = await ask(path)
            assert (reply.status, reply.headers["Retry-After"]) == (503, "7"), path
            assert "about 7 s more" in reply.text
        store.are_read.set()
        for path in ("/instances?drifted=true", "/v1/instances?drifted=true"):
            assert (await ask(path)).status == 200, path
