"""User data over the lives of a guest: who reads them when, whatever happens in between."""

from __future__ import annotations

import asyncio
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from mdsvc.control import user_data
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.control.resizing import rebuild_instance
from mdsvc.errors import Closed
from mdsvc.store.memory import MemoryStore
from tests.life.test_reports import described
from tests.stores.values import host, uuid

UUID = uuid(1)


class Lives(RuleBasedStateMachine):
    """The rules once more, in words of their own: ``ends`` is when the first read's time is over,
    ``shut`` whether they were closed at once, ``anew`` whether a life before may still speak.
    """

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.now = 1_000_000
        self.clock = mock.patch.object(user_data, "now_ms", self._time)
        self.clock.start()
        self._begin(anew=False)

    @override
    def teardown(self) -> None:
        self.clock.stop()

    def _time(self) -> int:
        return self.now

    def _begin(self, *, anew: bool) -> None:
        self.ends: int | None = None
        self.shut = False
        self.anew = anew

    @initialize()
    def begin(self) -> None:
        asyncio.run(add_host(self.store, host()))
        asyncio.run(create_instance(self.store, described(1), None))

    @rule(seconds=st.integers(1, 400))
    def set_the_clock_back(self, seconds: int) -> None:
        """What a report or an operator has closed stays so."""
        self.now -= seconds * 1000

    @property
    def is_closed(self) -> bool:
        return self.shut or (self.ends is not None and self.now >= self.ends)

    @rule(seconds=st.integers(0, 400))
    def wait(self, seconds: int) -> None:
        self.now += seconds * 1000

    @rule(seconds=st.sampled_from([1, 100, 600]))
    def read(self, seconds: int) -> None:
        try:
            asyncio.run(user_data.read(self.store, UUID, seconds))
        except Closed:
            assert self.is_closed, "who may read is refused"
            return
        assert not self.is_closed, "who may not read was let through"
        if self.ends is None:
            self.ends = self.now + seconds * 1000

    @rule()
    def report(self) -> None:
        asyncio.run(user_data.close_after_report(self.store, UUID))
        if not self.anew or self.ends is not None:
            self.shut = True

    @rule()
    def lock(self) -> None:
        assert asyncio.run(user_data.lock(self.store, UUID)).closed
        self.shut = True

    @rule()
    def unlock(self) -> None:
        assert not asyncio.run(user_data.unlock(self.store, UUID)).closed
        self._begin(anew=True)

    @rule()
    def rebuild(self) -> None:
        asyncio.run(rebuild_instance(self.store, UUID))
        self._begin(anew=True)

    @rule()
    def replace(self) -> None:
        asyncio.run(delete_instance(self.store, UUID))
        asyncio.run(create_instance(self.store, described(1), None))
        self._begin(anew=False)

    @invariant()
    def operators_see_what_guests_meet(self) -> None:
        if not asyncio.run(self.store.get_instance(UUID)):
            return
        seen = asyncio.run(user_data.get_lock(self.store, UUID))
        assert seen.closed == self.is_closed
        assert (seen.closes_at is None) == (self.ends is None and not self.shut)


TestLives = Lives.TestCase
