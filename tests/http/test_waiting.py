"""A guest may wait for a change: `?wait_for_change=true&last_etag=ETAG&timeout_sec=N`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest
from msgspec.structs import replace
from typing_extensions import override

from mdsvc import handlers
from mdsvc.instance import PlacedInstance
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import rich
from tests.http.signing import SECRET, signed
from tests.http.wire import Reply, Wire

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
AT_ONCE = 3
"""Seconds; the longest wait is 25."""


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "_POLL_SECONDS", 0.01)


def waiting(path: str, **query: str) -> str:
    return f"{path}?wait_for_change=true" + "".join(f"&{k}={v}" for k, v in query.items())


async def at_once(reply: Awaitable[Reply]) -> Reply:
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
    class CountingStore(FakeStore):
        reads = 0

        @override
        async def get_instance(self, uuid: str) -> PlacedInstance | None:
            self.reads += 1
            return await super().get_instance(uuid)

    store = CountingStore(rich())
    ask = await serve(store)
    _, writer = await asyncio.open_connection("127.0.0.1", ask.port)
    writer.write(f"GET {waiting(LATEST)} HTTP/1.1\r\nHost: metadata\r\n\r\n".encode())
    await asyncio.sleep(0.1)
    before = store.reads
    assert before > 1, "it is looked at while the guest waits"
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.05)
    after = store.reads
    await asyncio.sleep(0.1)
    assert store.reads == after, "and no longer"
    assert not caplog.records


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
    store.guests.clear()
    assert (await at_once(held)).status == 404


async def test_when_time_is_up_the_current_content_is_the_answer(serve: Serve) -> None:
    ask = await serve()
    last = await etag(ask, LATEST)
    started = asyncio.get_running_loop().time()
    reply = await ask(waiting(LATEST, last_etag=last, timeout_sec="1"))
    assert 1 <= asyncio.get_running_loop().time() - started < 10
    assert (reply.status, reply.json["etag"]) == (200, last)


@pytest.mark.parametrize("text", ["1", "26", "999999999"])
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
    "text", ["", "x", "-1", "+1", "1.5", "1e3", "%201", "0x10", "1_0", "%D9%A1", "%FF", 10 * "9"]
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
