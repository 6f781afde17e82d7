"""Two small hosts, guests for them, and what is so before and after a use case."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from typing_extensions import override

from mdsvc.control.hosts import add_host, get_host, list_hosts
from mdsvc.control.instances import create_instance
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.store import Store
from mdsvc.store.memory import MemoryStore
from mdsvc.store.transaction import BufferedTransaction
from mdsvc.topology import Host
from tests.books.truth import Books, untruths
from tests.books.values import FORM, guest, host

Rival = Callable[[Store], Awaitable[object]]


def on(name: str, **fields: Any) -> Host:
    """Host with six dedicated pCPUs, 2-7, and two shared ones."""
    return host(name=name, **fields)


def with_memory(name: str, memory_mb: int) -> Host:
    return on(name, cells=[{**FORM["cells"][0], "memory_mb": memory_mb, "pages": []}])


def flavor(specs: dict[str, str], vcpus: int = 2, memory_mb: int = 64) -> Flavor:
    return Flavor(vcpus=vcpus, memory_mb=memory_mb, extra_specs=specs)


def image(**properties: str) -> Image:
    return Image(properties=dict(properties))


def with_fields(instance: Instance, **fields: Any) -> Instance:
    """The description with other fields, given in JSON."""
    form = {name: getattr(instance, name) for name in ("uuid", "project_id", "name")}
    specs = dict(instance.flavor.extra_specs)
    size = {"vcpus": instance.flavor.vcpus, "memory_mb": instance.flavor.memory_mb}
    return from_builtins({**form, "flavor": {**size, "extra_specs": specs}, **fields}, Instance)


async def books(store: Store) -> Books:
    return {host.name: await get_host(store, host.name) for host in await list_hosts(store)}


async def true_books(store: Store) -> Books:
    """What there is, of which nothing is untrue."""
    now = await books(store)
    assert untruths(now) == []
    return now


async def fleet(*hosts: Host, store: MemoryStore | None = None) -> MemoryStore:
    store = store or MemoryStore()
    for each in hosts:
        await add_host(store, each)
    return store


async def placed_on(store: Store, name: str, *guests: Instance) -> None:
    for each in guests:
        await create_instance(store, each, name)


class Overtaken(MemoryStore):
    """While the next transaction is at its end, a rival's begins and is done."""

    rival: Rival | None = None

    @override
    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        async with super().transaction() as tx:
            yield tx
            rival, self.rival = self.rival, None
            if rival:
                await rival(self)


__all__ = [
    "Overtaken",
    "books",
    "flavor",
    "fleet",
    "guest",
    "image",
    "on",
    "placed_on",
    "true_books",
    "with_fields",
    "with_memory",
]
