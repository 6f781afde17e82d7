"""Session tokens over HTTP (contract: Guest HTTP)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.instance import PlacedInstance, TokenMode
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import HOST, RICH_UUID, rich
from tests.http.signing import SECRET, signed
from tests.http.wire import Wire

TOKEN = "/latest/api/token"
PATHS = ("/", "/openstack", "/openstack/latest/meta_data.json", "/latest/user-data", "/nowhere")
AWS, OWN = "X-aws-ec2-metadata-token", "X-mdsvc-metadata-token"
OTHER = "3b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e12"
NEUTRON: dict[str, Any] = {"identity": "neutron", "shared_secret": (SECRET,)}


def seconds(text: str, name: str = AWS) -> list[tuple[str, str]]:
    return [(f"{name}-ttl-seconds", text)]


@pytest.mark.parametrize("name", [AWS, OWN])
async def test_a_guest_is_given_a_token_and_asks_with_it(serve: Serve, name: str) -> None:
    ask = await serve(tokens="required")
    given = await ask(TOKEN, seconds("60", name), method="PUT")
    assert (given.status, given.headers[f"{AWS}-ttl-seconds"]) == (200, "60")
    for header in (AWS, OWN):
        assert (await ask("/openstack", [(header, given.text)])).status == 200


async def test_where_tokens_are_required_all_else_is_401_without_one(serve: Serve) -> None:
    ask = await serve(tokens="required")
    for path in (*PATHS, TOKEN):
        for method in ("GET", "POST", "DELETE"):
            assert (await ask(path, method=method)).status == 401, (path, method)
    ask = await serve(tokens="required", **NEUTRON)
    for path in (*PATHS, TOKEN):
        assert (await ask(path, signed())).status == 403


async def test_a_wrong_token_is_401_also_where_tokens_are_optional(serve: Serve) -> None:
    ask = await serve(tokens="optional")
    assert (await ask("/openstack")).status == 200
    assert (await ask("/openstack", [(AWS, "wrong")])).status == 401
    ask = await serve(tokens="off")
    assert (await ask("/openstack", [(AWS, "wrong")])).status == 200


async def test_a_token_is_no_good_for_another_guest(serve: Serve) -> None:
    here = replace(rich(), addresses=rich().addresses[-1:])
    other = rich("127.0.0.2")
    other = replace(other, uuid=OTHER, addresses=other.addresses[-1:])
    ask = await serve(FakeStore(here, other))
    token = (await ask(TOKEN, seconds("60"), method="PUT")).text
    assert (await ask("/openstack", [(AWS, token)])).status == 200
    assert (await ask("/openstack", [(AWS, token)], peer="127.0.0.2")).status == 401


async def test_who_was_forwarded_gets_none(serve: Serve) -> None:
    ask = await serve()
    forwarded = [*seconds("60"), ("X-Forwarded-For", "10.0.0.1")]
    assert (await ask(TOKEN, forwarded, method="PUT")).status == 403


@pytest.mark.parametrize("text", ["0", "21601", "x", "-1", ""])
async def test_a_wrong_time_is_400(serve: Serve, text: str) -> None:
    ask = await serve()
    assert (await ask(TOKEN, seconds(text), method="PUT")).status == 400
    assert (await ask(TOKEN, method="PUT")).status == 400


async def test_behind_the_agent_the_time_is_the_longest(serve: Serve) -> None:
    ask = await serve(**NEUTRON)
    reply = await ask(TOKEN, signed(), method="PUT")
    assert (reply.status, reply.headers[f"{AWS}-ttl-seconds"]) == (200, "21600")
    assert (await ask(TOKEN, signed())).status == 400


async def test_servers_behind_the_agent_share_their_keys(serve: Serve) -> None:
    one, two = await serve(**NEUTRON), await serve(**NEUTRON)
    token = (await one(TOKEN, signed(), method="PUT")).text
    assert (await two("/openstack", [*signed(RICH_UUID), (AWS, token)])).status == 200


async def test_the_token_path_takes_only_put(serve: Serve) -> None:
    reply = await (await serve())(TOKEN)
    assert (reply.status, reply.headers["Allow"]) == (405, "PUT")


async def test_without_tokens_there_is_no_such_path(serve: Serve) -> None:
    assert (await (await serve(tokens="off"))(TOKEN, seconds("60"), method="PUT")).status == 404


# ---- for one guest ----

HERE, THERE = "127.0.0.1", "127.0.0.2"


def guest_at(ip: str, tokens: TokenMode | None = None) -> PlacedInstance:
    """Two guests, at two addresses."""
    uuid = RICH_UUID if ip == HERE else OTHER
    guest = rich(ip)
    return replace(guest, uuid=uuid, addresses=guest.addresses[-1:], tokens=tokens)


async def token_of(ask: Wire, peer: str = HERE) -> str:
    given = await ask(TOKEN, seconds("60"), method="PUT", peer=peer)
    assert given.status == 200
    return given.text


async def statuses(ask: Wire, token: str | None = None, peer: str = HERE) -> set[int]:
    headers = [(AWS, token)] if token else []
    return {(await ask(path, headers, peer=peer)).status for path in PATHS[:-1]}


MODES: tuple[TokenMode, ...] = ("off", "optional", "required")
WITHOUT: dict[TokenMode, int] = {"off": 200, "optional": 200, "required": 401}
WRONG: dict[TokenMode, int] = {"off": 200, "optional": 401, "required": 401}
PUT: dict[TokenMode, int] = {"off": 404, "optional": 200, "required": 200}


@pytest.mark.parametrize("own", [None, *MODES])
@pytest.mark.parametrize("of_all", MODES)
async def test_what_is_set_for_a_guest_counts_more_than_what_is_set_for_all(
    serve: Serve, of_all: TokenMode, own: TokenMode | None
) -> None:
    ask = await serve(FakeStore(guest_at(HERE, own), guest_at(THERE)), tokens=of_all)
    for peer, mode in ((HERE, own or of_all), (THERE, of_all)):
        assert await statuses(ask, peer=peer) == {WITHOUT[mode]}
        assert await statuses(ask, "wrong", peer) == {WRONG[mode]}
        put = await ask(TOKEN, seconds("60"), method="PUT", peer=peer)
        assert put.status == PUT[mode]
        if put.status == 200:
            assert await statuses(ask, put.text, peer) == {200}
            post = await ask("/mdsvc/v1/status", [(AWS, put.text)], method="POST", peer=peer)
            assert post.status == 400, "it is let in, with a report that is none"


async def test_a_token_of_one_guest_is_no_good_for_another_that_requires_its_own(
    serve: Serve,
) -> None:
    ask = await serve(FakeStore(guest_at(HERE), guest_at(THERE, "required")))
    token = await token_of(ask)
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        for path in (*PATHS, "/mdsvc/v1/status", "/openstack/latest/password"):
            reply = await ask(path, [(AWS, token)], method=method, peer=THERE, body=b"x")
            assert reply.status == 401, (method, path)
    both = [(AWS, token), (OWN, await token_of(ask, THERE))]
    assert (await ask("/openstack", both, peer=THERE)).status == 401, "which of them is it?"


async def test_it_holds_from_the_next_request_on_and_for_those_that_wait(serve: Serve) -> None:
    store = FakeStore(guest_at(HERE))
    ask = await serve(store)
    token = await token_of(ask)
    wait = "/mdsvc/v1/layout?wait_for_change=true"
    without = asyncio.create_task(ask(wait))
    with_one = asyncio.create_task(ask(wait, [(AWS, token)]))
    async with asyncio.timeout(20):
        while len(store.waiting) < 2:  # noqa: ASYNC110  # until both are parked
            await asyncio.sleep(0.005)
    store.put(replace(guest_at(HERE, "required"), generation=2))
    assert (await without).status == 401
    assert ((await with_one).status, (await with_one).json["generation"]) == (200, 2)
    assert await statuses(ask) == {401}
    assert await statuses(ask, token) == {200}
    store.put(replace(guest_at(HERE, "off"), generation=3))
    assert await statuses(ask) == {200}
    assert await statuses(ask, "wrong") == {200}
    store.put(replace(guest_at(HERE), generation=4))
    assert await statuses(ask) == {200}
    assert await statuses(ask, "wrong") == {401}


async def test_behind_the_agent_it_is_refused_all_and_its_operator_told_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    ask = await serve(FakeStore(replace(rich(), tokens="required")), **NEUTRON)
    for path in (*PATHS, TOKEN):
        reply = await ask(path, signed())
        assert (reply.status, len(reply.lines)) == (403, 1)
    assert (await ask("/mdsvc/v1/status", signed(), method="POST", body=b"{}")).status == 403
    assert (await ask(TOKEN, signed(), method="PUT")).status == 200
    [told] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told.startswith(f"instance {RICH_UUID}: tokens: required, which behind Neutron's agent")


async def test_who_requires_them_of_all_behind_the_agent_is_told_at_the_start(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    await serve(tokens="required")
    await serve(**NEUTRON)
    assert not caplog.records
    await serve(tokens="required", **NEUTRON)
    assert "shuts out" in caplog.text


async def test_what_an_operator_changes_is_obeyed_though_guests_are_kept(serve: Serve) -> None:
    store = MemoryStore()
    here = guest_at(HERE)
    async with store.transaction() as tx:
        assert await tx.add_host(replace(HOST, name=here.host))
        assert await tx.add_instance(here)
    follower = Follower(store, 0.05)
    async with follower.running():
        ask = await serve(store, follower)
        assert await statuses(ask) == {200}
        changed = replace(here, tokens="required", generation=here.generation + 1)
        async with store.transaction() as tx:
            assert await tx.get_instance(RICH_UUID)
            await tx.update_instance(changed)
        async with asyncio.timeout(20):
            while await statuses(ask) != {401}:  # noqa: ASYNC110  # until the feed has told
                await asyncio.sleep(0.01)
        assert await statuses(ask, await token_of(ask)) == {200}
