"""Use cases of the operator, each one transaction: hosts come and go, guests are placed.

A transaction that lost against another one is run again from its start.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mdsvc.choice import choose
from mdsvc.errors import Conflict, NotFound
from mdsvc.flavor import Request, request
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.store import Stale, Store, Transaction
from mdsvc.topology import MIXED_SERVICE_VERSION, Host
from mdsvc.use import can_hold, place, remove

T = TypeVar("T")

_TRIES = 20


async def add_host(store: Store, host: Host) -> Host:
    """Register a host. Its use is what its guests use, so none may be given."""

    async def use_case(tx: Transaction) -> Host:
        if not await tx.add_host(host):
            raise Conflict(f"host {host.name}: expected a new name, but it is registered already")
        return host

    return await _run(store, use_case)


async def replace_host(store: Store, host: Host) -> Host:
    """Register a host, or describe one anew: what its guests use of it stays as it is.

    Raises Conflict where a guest could not stay in its place.
    """

    async def use_case(tx: Transaction) -> Host:
        if not await tx.host(host.name):
            await tx.add_host(host)
            return host
        used = host
        for guest in await tx.instances(host.name):
            if not can_hold(used, guest.layout):
                raise Conflict(
                    f"host {host.name}: instance {guest.uuid} could not stay in its place"
                )
            used = place(used, guest.layout, guest.flavor)
        await tx.update_host(used)
        return used

    return await _run(store, use_case)


async def remove_host(store: Store, name: str) -> None:
    """Forget a host that has no guests."""

    async def use_case(tx: Transaction) -> None:
        guests = await tx.instances(name)
        if guests:
            raise Conflict(
                f"host {name}: {len(guests)} instances are placed on it; first {guests[0].uuid}"
            )
        if not await tx.remove_host(name):
            raise NotFound(f"host {name}: no such host is registered")

    await _run(store, use_case)


async def create_instance(store: Store, instance: Instance, host: str | None) -> PlacedInstance:
    """Place a guest on the host named, or on the best one, and store it with its layout."""
    wanted = request(instance.flavor, instance.image)

    async def use_case(tx: Transaction) -> PlacedInstance:
        await _check_new(tx, instance)
        hosts = await tx.hosts()
        _check_service_versions(wanted, hosts)
        chosen, layout = choose(_candidates(hosts, host), wanted)
        placed = place_instance(instance, chosen.name, layout)
        await tx.update_host(place(chosen, layout, instance.flavor))
        if not await tx.add_instance(placed):
            raise Conflict(f"uuid {instance.uuid}: expected a new one, but it is stored already")
        return placed

    return await _run(store, use_case)


async def delete_instance(store: Store, uuid: str) -> None:
    """Remove a guest, and its use from its host."""

    async def use_case(tx: Transaction) -> None:
        placed = await tx.instance(uuid)
        if placed is None:
            raise NotFound(f"instance {uuid}: no such instance is stored")
        host = await tx.host(placed.host)
        if host is not None:
            await tx.update_host(remove(host, placed.layout, placed.flavor))
        await tx.remove_instance(uuid)

    await _run(store, use_case)


async def hosts(store: Store) -> Sequence[Host]:
    """Every host with its use, by name."""
    return await _run(store, lambda tx: tx.hosts())


async def host(store: Store, name: str) -> tuple[Host, Sequence[PlacedInstance]]:
    """One host with its use, and its guests."""

    async def use_case(tx: Transaction) -> tuple[Host, Sequence[PlacedInstance]]:
        found = await tx.host(name)
        if found is None:
            raise NotFound(f"host {name}: no such host is registered")
        return found, await tx.instances(name)

    return await _run(store, use_case)


async def instances(store: Store) -> Sequence[PlacedInstance]:
    """Every guest, by UUID."""
    return await _run(store, lambda tx: tx.instances())


async def instance(store: Store, uuid: str) -> PlacedInstance:
    """One guest."""
    found = await store.instance(uuid)
    if found is None:
        raise NotFound(f"instance {uuid}: no such instance is stored")
    return found


async def _run(store: Store, use_case: Callable[[Transaction], Awaitable[T]]) -> T:
    for _ in range(_TRIES):
        try:
            async with store.transaction() as tx:
                return await use_case(tx)
        except Stale:
            continue
    raise Conflict(f"the store changed under this change {_TRIES} times in a row; try again")


async def _check_new(tx: Transaction, instance: Instance) -> None:
    if await tx.instance(instance.uuid):
        raise Conflict(f"uuid {instance.uuid}: expected a new one, but it is stored already")
    for address in instance.addresses:
        owner = await tx.owner(address.ip, address.network)
        if owner:
            where = f"addresses: {address.ip} on {address.network}"
            raise Conflict(f"{where}: expected a free address, but instance {owner} has it")


def _check_service_versions(wanted: Request, hosts: Sequence[Host]) -> None:
    """R17: one old host could be chosen for such a guest later, by whoever migrates it."""
    old = [f"{host.name} ({host.service_version})" for host in hosts if not host.knows_mixed]
    if wanted.cpu_policy == "mixed" and old:
        expected = f"every host at service version {MIXED_SERVICE_VERSION} or later"
        raise Conflict(
            f"mixed guests are refused: expected {expected}, but not yet: {', '.join(old)}"
        )


def _candidates(hosts: Sequence[Host], name: str | None) -> Sequence[Host]:
    named = [host for host in hosts if name in (None, host.name)]
    if named:
        return named
    if name:
        raise NotFound(f"host {name}: no such host is registered")
    raise Conflict("no host is registered yet, so there is no place for a guest")
