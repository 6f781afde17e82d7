"""A cloud or a store that is down: the last good answer, or an error within Nova's 5 seconds."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from typing_extensions import override

from mdsvc.errors import MdsvcError, NotFound, Unavailable, Unidentified
from mdsvc.instance import PlacedInstance
from mdsvc.nova.clouds import Cloud
from mdsvc.nova.keeping import Keeping
from mdsvc.nova.keystone import CloudSession, Silent
from mdsvc.nova.tokens import Tokens
from tests.http.fakes import FakeStore
from tests.http.guests import rich
from tests.overlay.conftest import Clock
from tests.target.cloud import FakeCloud, question
from tests.target.conftest import Serve


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def kill(cloud: FakeCloud, part: str) -> None:
    await cloud.stop()


async def fail(cloud: FakeCloud, part: str) -> None:
    cloud.status[part] = 500


async def throttle(cloud: FakeCloud, part: str) -> None:
    cloud.status[part] = 429


async def hang(cloud: FakeCloud, part: str) -> None:
    cloud.hang[part] = asyncio.Event()


async def garble(cloud: FakeCloud, part: str) -> None:
    cloud.status[part] = 200  # and no JSON


async def exhaust(cloud: FakeCloud, part: str) -> None:
    cloud.status[part], cloud.bodies[part] = 200, b"[" * 100_000


@pytest.mark.parametrize("part", ["keystone", "nova"])
@pytest.mark.parametrize("misbehave", [kill, fail, throttle, hang, garble, exhaust])
async def test_what_is_known_is_told_and_the_rest_is_503_where_the_cloud_is_away(
    cloud: FakeCloud,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    misbehave: object,
    part: str,
) -> None:
    for module in ("tokens", "layouts"):
        monkeypatch.setattr(f"mdsvc.nova.{module}.FRESH_SECONDS", 0)
    monkeypatch.setattr("mdsvc.nova.keeping._PATIENCE", 0.1)
    door, token = await serve(cloud), cloud.token("t", "service")
    before = await door.ask(token)
    await misbehave(cloud, part)  # type: ignore[operator]
    after = await door.ask(token)
    assert (after.status, after.json) == (200, before.json)
    new = await door.ask(
        token if part == "nova" else "new",
        body=question(uuid="f" * 8 + "-0000" * 3 + "-" + "0" * 12),
    )
    assert (new.status, new.headers["Retry-After"]) == (503, "5")


async def test_a_cloud_that_hangs_from_the_start_costs_no_more_than_the_deadline(
    cloud: FakeCloud, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.target.SECONDS", 0.2)
    cloud.hang["keystone"] = asyncio.Event()
    answer = await (await serve(cloud)).ask("t")
    assert (answer.status, "no answer within 0.2 s" in answer.json["detail"]) == (503, True)


async def test_what_is_wrong_with_us_is_no_fault_of_novas(cloud: FakeCloud, serve: Serve) -> None:
    """A 401 would have Nova ask Keystone for tokens in vain."""
    door = await serve(cloud)
    for status in (401, 403, 404):
        cloud.status["keystone"] = status
        assert (await door.ask("t")).status == 503
    del cloud.status["keystone"]
    cloud.status["nova"] = 403
    answer = await door.ask(cloud.token("t", "service"))
    assert (answer.status, "administrator" in answer.json["detail"]) == (503, True)


async def test_who_is_no_administrator_is_told_so(cloud: FakeCloud, serve: Serve) -> None:
    """To others Nova shows no pins, which would look like a guest without any."""
    uuid, (_server, topology) = next(iter(cloud.servers.items()))
    topology["nodes"] = [{"vcpu_set": [0, 1, 2, 3], "siblings": [], "memory_mb": 512}]
    answer = await (await serve(cloud)).ask(cloud.token("t", "service"), body=question(uuid))
    assert (answer.status, "administrator" in answer.json["detail"]) == (503, True)


class Failing(FakeStore):
    """A store that answers until it is away."""

    away: BaseException | None = None

    @override
    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        if self.away:
            raise self.away
        return await super().get_instance(uuid)


async def test_a_store_that_is_away_has_told_something_before(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.target._STORE_FRESH_SECONDS", 0)
    store = Failing(rich())
    door = await serve(store=store, is_local=True)
    body = question(rich().uuid, rich().project_id)
    before = await door.ask(body=body)
    store.away = Unavailable("no store")
    assert (await door.ask(body=body)).json == before.json
    assert (await door.ask(body=question())).status == 503
    store.away = None
    del store.guests[rich().uuid]
    assert (await door.ask(body=body)).status == 404
    store.away = Unavailable("no store")
    assert (await door.ask(body=body)).status == 503  # what is gone is not remembered


# ---- tokens, as time goes by ----


async def test_a_token_is_good_while_keystone_is_away_but_never_once_it_is_over(
    cloud: FakeCloud, stack: AsyncExitStack, clock: Clock
) -> None:
    session = await stack.enter_async_context(
        CloudSession(Cloud(name="c", auth_url=cloud.url, auth={}), 0.5)
    )
    tokens = Tokens(session, clock, clock)
    cloud.token("t", "service")
    cloud.tokens["t"]["expires_at"] = "1970-01-01T00:20:00Z"  # 1200; the clock begins at 1000
    await tokens.check("t", 1)
    cloud.status["keystone"] = 500
    clock.now = 1199
    await tokens.check("t", 1)
    clock.now = 1201
    with pytest.raises(Unavailable):
        await tokens.check("t", 1)
    del cloud.status["keystone"]
    del cloud.tokens["t"]
    with pytest.raises(Unidentified):
        await tokens.check("t", 1)


async def test_a_token_that_was_revoked_is_good_for_a_minute_at_most(
    cloud: FakeCloud, stack: AsyncExitStack, clock: Clock
) -> None:
    session = await stack.enter_async_context(
        CloudSession(Cloud(name="c", auth_url=cloud.url, auth={}), 0.5)
    )
    tokens = Tokens(session, clock)
    await tokens.check(cloud.token("t", "service"), 1)
    del cloud.tokens["t"]
    clock.now += 59
    await tokens.check("t", 1)
    clock.now += 2
    with pytest.raises(MdsvcError, match="good no more"):
        await tokens.check("t", 1)


# ---- what is kept ----


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    asked: list[int] = []

    async def fetch(key: int) -> int:
        asked.append(key)
        return key

    keeping = Keeping(fetch, 1000, room=3)
    for key in (1, 2, 3, 4, 4, 2, 1):
        assert await keeping.get(key, 1) == key
    assert (asked, len(keeping)) == ([1, 2, 3, 4, 1], 3)


async def test_one_asks_for_all_and_goes_on_though_who_began_it_is_gone(clock: Clock) -> None:
    answered = asyncio.Event()
    asked: list[str] = []

    async def fetch(key: str) -> str:
        asked.append(key)
        await answered.wait()
        return key

    keeping = Keeping(fetch, 15, clock=clock)
    first = asyncio.create_task(keeping.get("a", 60))
    others = [asyncio.create_task(keeping.get("a", 60)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(Unavailable, match="within 0"):
        await keeping.get("a", 0)
    answered.set()
    assert await asyncio.gather(*others) == ["a"] * 5
    assert asked == ["a"]


async def test_one_that_is_silent_is_left_alone_and_then_asked_by_one(clock: Clock) -> None:
    asked: list[int] = []
    wrong: MdsvcError | None = Silent("no answer")

    async def fetch(key: int) -> int:
        asked.append(key)
        if wrong:
            raise wrong
        return key

    keeping = Keeping(fetch, 15, clock=clock)
    for key in range(6):
        with pytest.raises(Unavailable):
            await keeping.get(key, 1)
    assert asked == [0, 1, 2]
    clock.now += 6
    wrong = NotFound("it answers")
    with pytest.raises(NotFound):
        await keeping.get(7, 1)
    wrong = None
    assert await keeping.get(8, 1) == 8


async def test_too_much_at_once_is_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mdsvc.nova.keeping._AT_ONCE", 2)
    never = asyncio.Event()

    async def fetch(key: int) -> int:
        await never.wait()
        return key

    keeping = Keeping(fetch, 15)
    waiting = [asyncio.create_task(keeping.get(key, 60)) for key in (1, 2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too much"):
        await keeping.get(3, 60)
    await keeping.close()
    for task in waiting:
        with pytest.raises(Unavailable):
            await task
