"""Hosts and guests to store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec.structs import replace

from mdsvc.cpuset import CpuSet
from mdsvc.errors import Unavailable
from mdsvc.instance import Address, Instance, PlacedInstance, place_instance
from mdsvc.layout import fit
from mdsvc.policy.flavor import Flavor, request
from mdsvc.store import Stale, Store, Transaction
from mdsvc.topology import Host, HostCell

T = TypeVar("T")

MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "2-3"}


def host(name: str = "h1") -> Host:
    cells = tuple(
        HostCell(id=at, cpus=CpuSet.parse(cpus), memory_mb=4096)
        for at, cpus in enumerate(("0-7", "8-15"))
    )
    return Host(
        name=name,
        cells=cells,
        cpu_shared_set=CpuSet.parse("0-1,8-9"),
        cpu_dedicated_set=CpuSet.parse("2-7,10-15"),
    )


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def guest(number: int = 1, *addresses: tuple[str, str], on: str = "h1") -> PlacedInstance:
    """The guest of that number, with addresses given as (network, ip)."""
    instance = Instance(
        uuid=uuid(number),
        project_id="p",
        name=f"guest-{number}",
        flavor=Flavor(vcpus=4, memory_mb=64, extra_specs=MIXED),
        addresses=tuple(Address(network=network, ip=ip) for network, ip in addresses),
    )
    return place_instance(instance, on, fit(host(on), request(instance.flavor)))


def changed(instance: PlacedInstance, **fields: object) -> PlacedInstance:
    """The guest with other fields, its generation one higher."""
    return replace(instance, generation=instance.generation + 1, **fields)


async def fill(store: Store, *values: Host | PlacedInstance) -> None:
    """Store hosts and guests in one transaction."""
    async with store.transaction() as tx:
        for value in values:
            if isinstance(value, Host):
                assert await tx.add_host(value)
            else:
                assert await tx.add_instance(value)


async def run(store: Store, use_case: Callable[[Transaction], Awaitable[T]]) -> T:
    """One transaction, again and again until nothing else was in its way, nor took too long."""
    while True:
        try:
            async with store.transaction() as tx:
                return await use_case(tx)
        except (Stale, Unavailable):
            continue


async def count_up(tx: Transaction) -> None:
    """One more on host h1; a lost update shows in the sum."""
    found = await tx.get_host("h1")
    assert found
    await tx.update_host(replace(found, floating_vcpus=found.floating_vcpus + 1))


async def floating(store: Store) -> int:
    """How often ``count_up`` has been done."""
    async with store.transaction() as tx:
        found = await tx.get_host("h1")
    assert found
    return found.floating_vcpus
