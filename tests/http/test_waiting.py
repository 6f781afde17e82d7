"""A guest may wait for a change: `?wait_for_change=true&last_etag=ETAG&timeout_sec=N`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from msgspec.structs import replace
from typing_extensions import override

from mdsvc.instance import PlacedInstance
from mdsvc.store.feed import Change
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import poor, rich
from tests.http.signing import SECRET, signed
from tests.http.wire import Wire

LATEST = "/openstack/latest/meta_data.json"
OWN = "/mdsvc/v1/layout"
DOCUMENTS = (
    LATEST,
    "/openstack/2012-08-10/meta_data.json",
    "/openstack/latest/vendor_data.json",
    "/openstack/latest/vendor_data2.json",
    "/openstack/latest/network_data.json",
    OWN,
)
T = TypeVar("T")

AT_ONCE = 3
"""Seconds; the longest wait is 25."""


def waiting(path: str, **query: str) -> str:
    return f"{path}?wait_for_change=true" + "".join(f"&{k}={v}" for k, v in query.items())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # whatever it is about
            await asyncio.sleep(0.005)


async def at_once(reply: Awaitable[T]) -> T:
    async with asyncio.timeout(AT_ONCE):
        return await reply


async def etag(ask: Wire, path: str) -> str:
    header: str = (await ask(path)).headers["ETag"]
    return header.removeprefix("W/").strip('"')


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_every_json_document_can_be_waited_for(serve: Serve, path: str) -> None:
    ask = await serve()
    plain = await ask(path)
    last = await etag(ask, path)
    now = await at_once(ask(waiting(path, last_etag=last, timeout_sec="0")))
    assert (now.status, now.type) == (200, "application/json")
    assert now.headers["ETag"] == plain.headers["ETag"]
    document, waited = plain.json, now.json
    for either in (document, waited):
        either.pop("random_seed", None)
    assert waited == {**document, "etag": last}


@pytest.mark.parametrize("last", ["0", "other", "", "%22other%22"])
async def test_who_knows_another_state_is_answered_at_once(serve: Serve, last: str) -> None:
    ask = await serve()
    reply = await at_once(ask(waiting(LATEST, last_etag=last)))
    assert reply.json["etag"] == await etag(ask, LATEST)


async def test_who_names_no_state_waits_for_the_next_change(serve: Serve) -> None:
    ask = await serve()
    last = await etag(ask, LATEST)
    with pytest.raises(TimeoutError):
        await at_once(ask(waiting(LATEST)))
    assert (await at_once(ask(waiting(LATEST, timeout_sec="0")))).json["etag"] == last


@pytest.mark.parametrize("form", ["{}", "%22{}%22", "W/%22{}%22"])
async def test_who_knows_the_state_is_held_until_it_changes(serve: Serve, form: str) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    last = await etag(ask, LATEST)
    held = asyncio.create_task(ask(waiting(LATEST, last_etag=form.format(last))))
    await asyncio.sleep(0.1)
    assert not held.done()
    store.put(replace(rich(), name="renamed", generation=4))
    reply = await at_once(held)
    assert (reply.status, reply.json["name"]) == (200, "renamed")
    assert reply.json["etag"] == await etag(ask, LATEST) != last
    assert reply.headers["ETag"] == f'W/"{reply.json["etag"]}"'


async def test_who_has_hung_up_is_not_waited_for(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    for _ in range(3):
        _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
        writer.write(f"GET {waiting(LATEST)} HTTP/1.1\r\nHost: metadata\r\n\r\n".encode())
        await until(lambda: len(store.waiting) == 1)
        writer.close()
        await writer.wait_closed()
        await until(lambda: len(store.waiting) == 0)
    assert not caplog.records


async def test_who_need_not_wait_is_answered_beside_as_many_as_may_wait(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    held = [asyncio.create_task(ask(waiting(LATEST))) for _ in range(16)]
    await until(lambda: len(store.waiting) == 16)
    last = await etag(ask, LATEST)
    assert (await at_once(ask(waiting(LATEST, last_etag=last)))).status == 429
    assert (await at_once(ask(waiting(LATEST, last_etag="0")))).json["etag"] == last
    assert (await at_once(ask(waiting(LATEST, timeout_sec="0")))).json["etag"] == last
    store.put(replace(rich(), name="renamed", generation=4))
    assert (await at_once(ask(waiting(LATEST, last_etag=last)))).json["name"] == "renamed"
    await at_once(asyncio.gather(*held))


async def test_who_waits_costs_the_store_nothing_until_something_changes(serve: Serve) -> None:
    class CountingStore(FakeStore):
        reads = 0

        @override
        async def get_instance(self, uuid: str) -> PlacedInstance | None:
            self.reads += 1
            return await super().get_instance(uuid)

    store = CountingStore(rich())
    ask = await serve(store)
    held = [asyncio.create_task(ask(waiting(LATEST))) for _ in range(16)]
    await until(lambda: len(store.waiting) == 16)
    await asyncio.sleep(0.1)
    before = store.reads
    await asyncio.sleep(1)
    assert store.reads == before
    store.put(replace(rich(), name="renamed", generation=4))
    replies = await at_once(asyncio.gather(*held))
    assert {reply.json["name"] for reply in replies} == {"renamed"}
    assert store.reads == before + 16


class Late(Follower):
    """Believes that it knows all, and hears of a change when the test says so."""

    @override
    def knows(self, since: float) -> bool:
        return True

    def hear(self, *changes: Change) -> None:
        for listener in self._listeners:
            listener.changed(changes)


async def test_what_changes_between_the_first_look_and_the_wait_is_not_missed(
    serve: Serve,
) -> None:
    """The first look may be at what was read a moment ago: it is parked, and woken in time."""
    store = FakeStore(rich())
    late = Late(MemoryStore())
    ask = await serve(store, late)
    late.tell(store.waiting)  # the last, as in the server
    last = await etag(ask, LATEST)
    store.guests[rich().uuid] = replace(rich(), name="renamed", generation=4)
    assert await etag(ask, LATEST) == last, "the test is about what is kept"
    held = asyncio.create_task(ask(waiting(LATEST, last_etag=last)))
    await until(lambda: len(store.waiting) == 1)
    late.hear(Change(1, "instance", rich().uuid, 4))
    reply = await at_once(held)
    assert reply.json["name"] == "renamed"


async def test_a_server_that_ends_lets_everybody_go_with_what_there_is(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    last = await etag(ask, LATEST)
    held = asyncio.create_task(ask(waiting(LATEST)))
    await until(lambda: len(store.waiting) == 1)
    store.waiting.close()
    assert (await at_once(held)).json["etag"] == last
    assert (await at_once(ask(waiting(LATEST)))).json["etag"] == last


async def test_a_reset_is_looked_at_and_waited_on(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    last = await etag(ask, LATEST)
    held = asyncio.create_task(ask(waiting(LATEST)))
    await until(lambda: len(store.waiting) == 1)
    store.waiting.reset()
    await asyncio.sleep(0.1)
    assert not held.done(), "nothing has changed"
    store.guests[rich().uuid] = replace(rich(), name="renamed", generation=4)
    store.waiting.cut_off()
    store.waiting.reset()
    assert (await at_once(held)).json["etag"] != last


async def test_a_change_of_something_else_is_no_change(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    path = "/openstack/latest/network_data.json"
    held = asyncio.create_task(ask(waiting(path, last_etag=await etag(ask, path))))
    await asyncio.sleep(0.05)
    store.put(replace(rich(), name="renamed", generation=4))
    await asyncio.sleep(0.05)
    assert not held.done()
    store.put(replace(rich(), network_data={"links": []}, generation=5))
    assert (await at_once(held)).json["links"] == []


async def test_a_guest_that_goes_while_it_waits_is_404(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store)
    held = asyncio.create_task(ask(waiting(LATEST, last_etag=await etag(ask, LATEST))))
    await asyncio.sleep(0.05)
    store.remove(rich().uuid)
    assert (await at_once(held)).status == 404


async def test_who_is_another_guest_meanwhile_is_told_nothing_of_either(serve: Serve) -> None:
    """Its address is taken from it, or is the next one's."""
    elsewhere = [{"network": "net-a", "ip": "10.9.9.9"}]
    for another in (poor("10.8.8.8"), poor("127.0.0.1")):
        store = FakeStore(rich())
        ask = await serve(store)
        held = asyncio.create_task(ask(waiting(LATEST)))
        await asyncio.sleep(0.1)
        assert len(store.waiting) == 1
        store.guests[another.uuid] = another
        store.put(poor(None, uuid=rich().uuid, addresses=elsewhere))
        reply = await at_once(held)
        assert (reply.status, b"{" in reply.body) == (404, False)


async def test_when_time_is_up_the_current_content_is_the_answer(serve: Serve) -> None:
    ask = await serve()
    last = await etag(ask, LATEST)
    started = asyncio.get_running_loop().time()
    reply = await ask(waiting(LATEST, last_etag=last, timeout_sec="1"))
    assert 1 <= asyncio.get_running_loop().time() - started < 10
    assert (reply.status, reply.json["etag"]) == (200, last)


@pytest.mark.parametrize("text", ["1", "26", "0026", "999999999", 10 * "9", 5000 * "9"])
async def test_nobody_is_held_longer_than_the_setting_says(serve: Serve, text: str) -> None:
    ask = await serve(wait_seconds=0)
    last = await etag(ask, LATEST)
    assert (await at_once(ask(waiting(LATEST, last_etag=last, timeout_sec=text)))).status == 200


async def test_behind_the_agent_nobody_is_held_unless_it_is_set(serve: Serve) -> None:
    ask = await serve(identity="neutron", shared_secret=(SECRET,))
    last = (await ask(waiting(LATEST), signed())).json["etag"]
    assert (await at_once(ask(waiting(LATEST, last_etag=last), signed()))).status == 200
    ask = await serve(identity="neutron", shared_secret=(SECRET,), wait_seconds=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await ask(waiting(LATEST, last_etag=last), signed())


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", "1.5", "1e3", "%201", "0x10", "1_0", "%D9%A1", "%FF"]
)
async def test_a_time_that_is_no_number_of_seconds_is_400(serve: Serve, text: str) -> None:
    ask = await serve()
    for query in ({"last_etag": await etag(ask, LATEST)}, {}):
        reply = await at_once(ask(waiting(LATEST, **query, timeout_sec=text)))
        assert (reply.status, reply.type) == (400, "text/plain; charset=UTF-8")


@pytest.mark.parametrize("query", ["", "?wait_for_change=false", "?last_etag=0", "?timeout_sec=x"])
async def test_who_does_not_wait_gets_novas_documents_as_nova_has_them(
    serve: Serve, query: str
) -> None:
    ask = await serve()
    for path in DOCUMENTS:
        assert ("etag" in (await at_once(ask(path + query))).json) is (path == OWN)


@pytest.mark.parametrize("path", ["/openstack", "/openstack/latest/user_data", "/latest/meta-data"])
async def test_text_is_not_waited_for(serve: Serve, path: str) -> None:
    ask = await serve()
    plain = await ask(path)
    last = await etag(ask, path)
    assert (await at_once(ask(waiting(path, last_etag=last)))).body == plain.body
