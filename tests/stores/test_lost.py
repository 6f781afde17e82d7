"""Connections that break in the middle of a transaction: it is known whether it took place."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from mdsvc.errors import Unavailable
from mdsvc.store import Stale, Store, Transaction
from mdsvc.store.sql import open_sql
from mdsvc.store.sql.urls import parse

from .conftest import SERVERS, new_url
from .proxy import Wire, wire_to
from .values import count_up, fill, floating, guest, host, uuid


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest) -> str:
    return new_url(request, request.param)


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[tuple[Wire, Store]]:
    """A store with a host and a guest, behind a wire."""
    [server] = parse(url).hosts
    assert server.port
    async with wire_to(server.port) as (wire, port):
        store = await open_sql(re.sub(r":\d+/", f":{port}/", url))
        await fill(store, host(), guest(1))
        yield wire, store
        await store.close()


async def once(store: Store, use_case: Callable[[Transaction], Awaitable[object]]) -> None:
    async with store.transaction() as tx:
        await use_case(tx)


def commit(url: str) -> bytes:
    """As the driver says it; "READ COMMITTED" is something else."""
    return b"COMMIT;" if url.startswith("postgresql:") else b"COMMIT"


COMMIT_OF_THE_CHANGE = 2
"""The first one ends the snapshot that the change rests on."""


async def test_a_change_whose_answer_was_lost_is_done_once(server_url: str) -> None:
    async with wired(server_url) as (wire, store):
        for number in range(1, 4):
            wire.cut(commit(server_url), nth=COMMIT_OF_THE_CHANGE)
            await once(store, count_up)
            assert await floating(store) == number == wire.cuts


@pytest.mark.parametrize("at", ["its commit", "a change"])
async def test_a_change_that_never_reached_the_server_may_be_tried_again(
    server_url: str, at: str
) -> None:
    async with wired(server_url) as (wire, store):
        if at == "its commit":
            wire.cut(commit(server_url), nth=COMMIT_OF_THE_CHANGE, before=True)
        else:
            wire.cut(b"UPDATE hosts", before=True)
        with pytest.raises(Stale):
            await once(store, count_up)
        assert wire.cuts == 1
        assert await floating(store) == 0
        await once(store, count_up)
        assert await floating(store) == 1


async def test_a_change_of_which_nothing_can_be_found_out_says_so(
    server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.store.sql.committing.PATIENCE", 0)
    async with wired(server_url) as (wire, store):
        await once(store, count_up)

        async def count_and_cut(tx: Transaction) -> None:
            await count_up(tx)
            wire.cut(commit(server_url), nth=COMMIT_OF_THE_CHANGE)
            wire.leads_to = 1  # for connections to come: nobody is there

        server = wire.leads_to
        with pytest.raises(Unavailable, match="it is not known whether the change has taken place"):
            await once(store, count_and_cut)
        wire.leads_to = server
        assert await floating(store) == 2


async def test_a_password_whose_answer_was_lost_was_stored(server_url: str) -> None:
    async with wired(server_url) as (wire, store):
        wire.cut(commit(server_url))
        assert await store.set_password(uuid(1), b"secret")
        assert wire.cuts == 1
        assert await store.password(uuid(1)) == b"secret"
        assert not await store.set_password(uuid(1), b"secret")


async def test_a_read_whose_connection_broke_is_read_again(server_url: str) -> None:
    async with wired(server_url) as (wire, store):
        await store.ready()
        wire.cut(b"FROM instances")
        assert await store.get_instance(uuid(1)) == guest(1)
        assert wire.cuts == 1
