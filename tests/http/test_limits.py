"""How much one guest may ask, and that it takes nothing from others."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from msgspec.structs import replace

from mdsvc.listening.sockets import near
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import rich
from tests.http.signing import SECRET, signed
from tests.http.test_waiting import LATEST, until, waiting

NEUTRON: dict[str, Any] = {"identity": "neutron", "shared_secret": (SECRET,)}
OTHER, OTHER_UUID = "127.0.0.2", "3b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e12"


def two() -> FakeStore:
    here = replace(rich(), addresses=rich().addresses[-1:])
    other = rich(OTHER)
    other = replace(other, uuid=OTHER_UUID, addresses=other.addresses[-1:])
    return FakeStore(here, other)


async def test_who_asks_too_often_is_429_and_others_are_answered(serve: Serve) -> None:
    ask = await serve(two(), guest_rate=0.001, guest_burst=5)
    assert [(await ask("/openstack")).status for _ in range(6)] == [200] * 5 + [429]
    refused = await ask("/openstack")
    assert int(refused.headers["Retry-After"]) >= 1
    assert (await ask("/openstack", peer=OTHER)).status == 200


async def test_behind_the_agent_it_is_503(serve: Serve) -> None:
    ask = await serve(guest_rate=0.001, guest_burst=1, **NEUTRON)
    assert (await ask("/openstack", signed())).status == 200
    refused = await ask("/openstack", signed())
    assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)


async def test_strangers_have_one_bucket_together(serve: Serve) -> None:
    ask = await serve(guest_rate=0.001, guest_burst=2)
    peers = ("127.0.0.3", "127.0.0.4", "127.0.0.5")
    assert [(await ask("/", peer=peer)).status for peer in peers] == [404, 404, 429]
    assert (await ask("/")).status == 200


async def test_sixteen_requests_of_a_guest_may_wait(serve: Serve) -> None:
    store = two()
    ask = await serve(store)
    held = [asyncio.create_task(ask(waiting(LATEST))) for _ in range(16)]
    await until(lambda: len(store.waiting) == 16)
    refused = await ask(waiting(LATEST))
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert (await ask(LATEST)).status == 200
    assert (await ask(waiting(LATEST, timeout_sec="0"), peer=OTHER)).status == 200
    store.waiting.close()
    await asyncio.gather(*held)


async def test_behind_the_agent_two_may(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store, wait_seconds=25, **NEUTRON)
    held = [asyncio.create_task(ask(waiting(LATEST), signed())) for _ in range(2)]
    await until(lambda: len(store.waiting) == 2)
    assert (await ask(waiting(LATEST), signed())).status == 503
    store.waiting.close()
    await asyncio.gather(*held)


async def test_a_name_that_is_not_the_service_s_is_403(serve: Serve) -> None:
    ask = await serve(guest_names=("md.example",))
    for host, status in (("evil.example", 403), ("MD.example", 200), ("169.254.169.254", 200)):
        ask.host = host
        assert (await ask("/openstack")).status == status
    ask.host = "metadata"
    assert (await ask("http://evil.example/openstack")).status == 403
    assert (await ask("/openstack", [("Host", "metadata")])).status == 400


async def test_replies_of_a_guests_listener_go_one_hop() -> None:
    """A connection has what its listener has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near(listener, 1)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
