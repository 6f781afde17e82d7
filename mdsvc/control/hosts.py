"""Registering hosts, describing them anew, and reading them."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.control import in_snapshot, in_transaction
from mdsvc.errors import BadInput, Conflict, NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.placing.usage import can_hold, place
from mdsvc.store import Snapshot, Store, Transaction
from mdsvc.topology import Host


async def add_host(store: Store, host: Host) -> Host:
    """Register a host. Its use is what its guests use, so none may be given: raises BadInput."""
    if host != host.without_use():
        raise BadInput(
            "pinned, shared_used, memory_used_mb, pages.used and floating_*: expected none, "
            "as the use of a registered host is that of its guests; only `fit` takes them"
        )

    async def use_case(tx: Transaction) -> Host:
        if not await tx.add_host(host):
            raise Conflict(f"host {host.name}: expected a new name, but it is registered already")
        return host

    return await in_transaction(store, use_case)


async def replace_host(store: Store, host: Host) -> Host:
    """Register a host, or describe one anew: what its guests use of it stays as it is.

    Use that is given is not looked at, so that what was read of a host can be given back changed.
    Raises Conflict where a guest could not stay in its place.
    """
    host = host.without_use()

    async def use_case(tx: Transaction) -> Host:
        if not await tx.get_host(host.name):
            await tx.add_host(host)
            return host
        used = host
        for guest in await tx.list_instances(host.name):
            if not can_hold(used, guest.layout):
                raise Conflict(
                    f"host {host.name}: instance {guest.uuid} could not stay in its place"
                )
            used = place(used, guest.layout, guest.flavor)
        await tx.update_host(used)
        return used

    return await in_transaction(store, use_case)


async def remove_host(store: Store, name: str) -> None:
    """Forget a host that has no guests."""

    async def use_case(tx: Transaction) -> None:
        guests = await tx.list_instances(name)
        if guests:
            raise Conflict(
                f"host {name}: {len(guests)} instances are placed on it; first {guests[0].uuid}"
            )
        if not await tx.remove_host(name):
            raise NotFound(f"host {name}: no such host is registered")

    await in_transaction(store, use_case)


async def list_hosts(store: Store) -> Sequence[Host]:
    """Every host with its use, by name."""
    return await in_snapshot(store, lambda snapshot: snapshot.list_hosts())


async def get_host(store: Store, name: str) -> tuple[Host, Sequence[PlacedInstance]]:
    """One host with its use, and its guests."""

    async def use_case(snapshot: Snapshot) -> tuple[Host, Sequence[PlacedInstance]]:
        found = await snapshot.get_host(name)
        if found is None:
            raise NotFound(f"host {name}: no such host is registered")
        return found, await snapshot.list_instances(name)

    return await in_snapshot(store, use_case)
