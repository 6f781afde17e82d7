"""User data that close once a guest has booted: by time, and by its report."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from typing_extensions import override

from mdsvc.control import user_data
from mdsvc.errors import Unavailable
from mdsvc.forms import to_json
from mdsvc.locking import OPENED, Lock
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore, SealedStore
from tests.http.guests import POOR_UUID, RICH_UUID, poor, rich
from tests.http.signing import SECRET, signed
from tests.http.wire import Wire

USER_DATA = "/openstack/latest/user_data"
PATHS = (
    USER_DATA,
    "//openstack//2012-08-10/user_data/",
    "/openstack/2025-04-04/%75ser_data",
    "/latest/user-data",
    "/1.0//user-data/",
)
STATUS = "/mdsvc/v1/status"
DENY: dict[str, Any] = {"user_data_after_boot": "deny", "user_data_seconds": 100}
TEXT = "text/plain; charset=UTF-8"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(user_data, "now_ms", lambda: clock.now)
    return clock


async def _statuses(ask: Wire, method: str = "GET") -> set[int]:
    return {(await ask(path, method=method)).status for path in PATHS}


async def _report(ask: Wire, **status: object) -> int:
    return (await ask(STATUS, method="POST", body=to_json(status))).status


async def test_they_stay_open_where_nothing_is_set_and_nothing_is_noted(
    serve: Serve, clock: Clock
) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    for _ in range(2):
        assert await _statuses(ask) == {200}
        assert await _report(ask, state="isolated") == 200
        clock.now += 10**9
    assert store.locks == {}


async def test_they_close_so_many_seconds_after_the_first_read(serve: Serve, clock: Clock) -> None:
    ask = await serve(**DENY)
    clock.now += 10**9  # before it is the guest's own time
    first = await ask(USER_DATA)
    clock.now += 99_999
    assert await _statuses(ask) == {200}
    assert (await ask(USER_DATA)).body == first.body
    clock.now += 1
    assert await _statuses(ask) == {403}
    assert await _statuses(ask, "HEAD") == {403}
    reply = await ask(USER_DATA)
    assert (reply.type, reply.lines) == (
        TEXT,
        ["the user data of this guest are closed, as it has booted"],
    )
    assert "ETag" not in reply.headers


async def test_a_clock_that_was_far_ahead_at_the_first_read_leaves_them_not_open_for_long(
    serve: Serve, clock: Clock
) -> None:
    """A host may boot with a clock of years to come, and learn the time a moment later."""
    ask = await serve(**DENY)
    now = clock.now
    clock.now += 365 * 86400_000
    assert await _statuses(ask) == {200}
    clock.now = now
    assert await _statuses(ask) == {200}
    clock.now += 100_000
    assert await _statuses(ask) == {403}


async def test_what_was_closed_while_the_clock_was_ahead_stays_so(
    serve: Serve, clock: Clock
) -> None:
    ask = await serve(**DENY)
    clock.now += 365 * 86400_000
    assert await _statuses(ask) == {200}
    assert await _report(ask, state="isolated") == 200
    clock.now = 0
    assert await _statuses(ask) == {403}


async def test_a_report_with_a_state_closes_them_at_once(serve: Serve, clock: Clock) -> None:
    for state in ("isolated", "off", "broken", "a-word-of-its-own"):
        ask = await serve(FakeStore(rich()), **DENY)
        assert await _statuses(ask) == {200}
        assert await _report(ask, state=state) == 200
        assert await _statuses(ask) == {403}
        clock.now -= 10**9  # also of another server, whose clock is behind
        assert await _statuses(ask) == {403}


async def test_a_report_closes_them_though_the_guest_has_read_a_config_drive(
    serve: Serve, clock: Clock
) -> None:
    ask = await serve(**DENY)
    assert await _report(ask, state="isolated") == 200
    assert await _statuses(ask) == {403}


async def test_what_is_no_report_of_a_state_closes_nothing(serve: Serve, clock: Clock) -> None:
    ask = await serve(**DENY)
    assert await _statuses(ask) == {200}
    assert await _report(ask) == 200
    assert await _report(ask, generation=1, isolated_cpus="2-3") == 200
    assert await _report(ask, state="two words") == 400
    assert (await ask(STATUS)).status == 200
    assert await _statuses(ask) == {200}


async def test_the_life_before_closes_nothing_of_the_new_one(serve: Serve, clock: Clock) -> None:
    store = FakeStore(rich())
    ask = await serve(store, **DENY)
    assert await _report(ask, state="isolated") == 200
    store.locks[RICH_UUID] = OPENED  # as a rebuild leaves it
    assert await _report(ask, state="isolated") == 200
    assert await _statuses(ask) == {200}
    assert await _report(ask, state="isolated") == 200
    assert await _statuses(ask) == {403}


async def test_a_head_request_reads_nothing(serve: Serve, clock: Clock) -> None:
    store = FakeStore(rich())
    assert await _statuses(await serve(store, **DENY), "HEAD") == {200}
    assert store.locks == {}


async def test_whoever_has_no_user_data_has_none_before_and_after(
    serve: Serve, clock: Clock
) -> None:
    store = FakeStore(poor())
    ask = await serve(store, **DENY)
    assert await _statuses(ask) == {404}
    assert store.locks == {}
    assert await _report(ask, state="off") == 200
    assert await _statuses(ask) == {404}
    store.put(replace(poor(), user_data="for who opens them", generation=2))
    assert await _statuses(ask) == {403}
    store.locks[POOR_UUID] = OPENED
    assert await _statuses(ask) == {200}


async def test_all_else_is_served_as_before(serve: Serve, clock: Clock) -> None:
    """What guests ask for again and again, and what a datasource cannot do without."""
    paths = [
        "/openstack/latest",
        "/openstack/latest/vendor_data.json",
        "/openstack/latest/vendor_data2.json",
        "/openstack/latest/network_data.json",
        "/openstack/content/0000",
        "/openstack/latest/password",
        "/latest",
        "/latest/meta-data/hostname",
        "/mdsvc/v1/layout",
    ]
    ask = await serve(**DENY)
    before = [await ask(path) for path in paths]
    assert await _report(ask, state="isolated") == 200
    for path, reply in zip(paths, before, strict=True):
        assert (await ask(path)).body == reply.body
    assert (await ask("/openstack/latest/meta_data.json")).status == 200


async def test_behind_the_agent_they_are_refused_with_the_same_status(
    serve: Serve, clock: Clock
) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,), **DENY)
    assert (await ask(USER_DATA, signed())).status == 200
    clock.now += 100_000
    assert (await ask(USER_DATA, signed())).status == 403
    assert (await ask("/latest/user-data", signed())).status == 403


async def test_an_etag_that_is_known_opens_nothing(serve: Serve, clock: Clock) -> None:
    ask = await serve(**DENY)
    tag = (await ask(USER_DATA)).headers["ETag"]
    assert (await ask(USER_DATA, [("If-None-Match", tag)])).status == 304
    clock.now += 100_000
    assert (await ask(USER_DATA, [("If-None-Match", tag)])).status == 403
    assert (await ask(f"{USER_DATA}?wait_for_change=true&last_etag=0")).status == 403


async def test_nothing_is_given_that_cannot_be_noted(serve: Serve, clock: Clock) -> None:
    class Full(FakeStore):
        @override
        async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
            raise Unavailable("the disk is full")

    ask = await serve(Full(rich()), **DENY)
    reply = await ask(USER_DATA)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert await _report(ask, state="isolated") == 503
    assert (await ask("/openstack/latest/meta_data.json")).status == 200


async def test_who_is_not_let_in_asks_no_store(serve: Serve) -> None:
    ask = await serve(SealedStore(), identity="neutron", shared_secret=(SECRET,), **DENY)
    assert (await ask(USER_DATA, signed(secret="wrong"))).status == 403
