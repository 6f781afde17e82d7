"""Hosts and guests for use cases, and a store whose transactions lose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from typing_extensions import override

from mdsvc.control.hosts import add_host, get_host
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.store import Stale, Store
from mdsvc.store.memory import MemoryStore
from mdsvc.store.transaction import BufferedTransaction, ReadSnapshot
from mdsvc.topology import Host
from tests.cli.values import DEDICATED, flavor, plain
from tests.cli.values import host as form_of_host

MIXED = flavor(2, 64, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"})
PAIR = flavor(2, 64, DEDICATED)
FLOATING = flavor(2, 64, {"hw:cpu_policy": "shared"})


SMALL = {"cpu_shared_set": "0", "cpu_dedicated_set": "1-3"}
USES: list[dict[str, Any]] = [
    *({"pinned": "2"}, {"shared_used": 1}, {"memory_used_mb": 1}),
    {"pages": [{"size_kb": 4, "total": 9, "used": 1}]},
]
"""Of the first cell of the host."""


def host(name: str = "h1", **fields: Any) -> Host:
    return from_builtins(form_of_host(name, **fields), Host)


def guest(number: int = 1, asked: object = PAIR, **fields: Any) -> Instance:
    return from_builtins(plain(number, **{"flavor": asked, **fields}), Instance)


def uuid(number: int = 1) -> str:
    return guest(number).uuid


def on_network(network: str, ip: str) -> list[dict[str, str]]:
    return [{"network": network, "ip": ip}]


class BusyStore(MemoryStore):
    """The next transactions lose against another one, at their end."""

    busy = 0
    begun = 0
    looked = 0

    @asynccontextmanager
    @override
    async def snapshot(self) -> AsyncIterator[ReadSnapshot]:
        self.looked += 1
        async with super().snapshot() as snapshot:
            yield snapshot

    @asynccontextmanager
    @override
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        self.begun += 1
        async with super().transaction() as tx:
            yield tx
            if self.busy:
                self.busy -= 1
                raise Stale("another transaction was first")


async def fill(store: Store, *hosts: Host) -> None:
    for one in hosts:
        await add_host(store, one)


async def use_of(store: Store, name: str = "h1") -> Host:
    found, _ = await get_host(store, name)
    return found
