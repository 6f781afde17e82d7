"""Registering hosts, describing them anew, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import msgspec
from msgspec import structs

from mdsvc.control import anyhow, in_snapshot, in_transaction
from mdsvc.control.known import known_host
from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput, Conflict
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout
from mdsvc.placing.standing import Resident, found_anew, stand
from mdsvc.store import Snapshot, Store, Transaction
from mdsvc.store.listing import BadRecord, Listing
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
            raise already_registered(host)
        return host

    return await in_transaction(store, use_case)


def already_registered(host: Host) -> Conflict:
    """What is said where a host that is to be added has been."""
    return Conflict(f"host {host.name}: expected a new name, but it is registered already")


class Replaced(msgspec.Struct, frozen=True):
    """A host described anew, with its use, and the guests whose layouts were renewed with it."""

    host: Host
    renewed: tuple[PlacedInstance, ...] = ()
    is_new: bool = False


async def replace_host(
    store: Store,
    host: Host,
    keeps: Collection[str] = (),
    check: Callable[[Host | None], None] = anyhow,
) -> Replaced:
    """Register a host, or describe one anew: its guests stay as they are (R26), and of its fields
    those that it ``keeps``.

    Use that is given is not looked at, so that what was read of a host can be given back changed.
    Raises CannotStay, which names each guest that does not fit it so, and what ``check`` raises of
    the host as it is registered.
    """
    host = host.without_use()

    async def use_case(tx: Transaction) -> Replaced:
        registered = await tx.get_host(host.name)
        check(registered)
        if registered is None:
            return await _register(tx, host)
        kept = {field: getattr(registered, field) for field in keeps}
        return await _replace(tx, registered, structs.replace(host, **kept))

    return await in_transaction(store, use_case)


async def replace_found_host(
    store: Store, found: Host, shared: CpuSet | None, dedicated: CpuSet | None
) -> Replaced:
    """The same with a host that was found out, and CPU sets where they were given. A registered
    one keeps all that cannot be found out, and those of its sets that are not given.

    Raises CannotStay, Conflict where CPUs of a set that is kept are gone, and BadInput.
    """

    async def use_case(tx: Transaction) -> Replaced:
        registered = await tx.get_host(found.name)
        if registered is None:
            return await _register(tx, found)
        guests = (await tx.list_instances(registered.name)).whole()
        return await _replace(
            tx, registered, found_again(registered, guests, found, shared, dedicated)
        )

    return await in_transaction(store, use_case)


def found_again(
    registered: Host,
    guests: Iterable[PlacedInstance],
    found: Host,
    shared: CpuSet | None,
    dedicated: CpuSet | None,
) -> Host:
    """What a registered host becomes where it is found so. Raises as ``replace_found_host`` does:
    of what is wrong, what is wrong with its guests first.
    """
    after = found_anew(registered, found, shared, dedicated)
    stand(registered, after, _residents(guests))
    _check_kept(registered, after, shared, dedicated)
    return after


def _residents(guests: Iterable[PlacedInstance]) -> list[Resident]:
    return [Resident(g.uuid, g.name, g.flavor, g.image, g.layout) for g in guests]


async def _register(tx: Transaction, host: Host) -> Replaced:
    await tx.add_host(host)
    return Replaced(host, is_new=True)


async def _replace(tx: Transaction, registered: Host, after: Host) -> Replaced:
    """The host is written even where nothing changes, so that whoever places a guest meanwhile
    has read what is no longer so.
    """
    guests = {guest.uuid: guest for guest in (await tx.list_instances(registered.name)).whole()}
    standing = stand(registered, after, _residents(guests.values()))
    await tx.update_host(standing.host)
    renewed = tuple(_renewed(guests[each.uuid], each.layout) for each in standing.renewed)
    for guest in renewed:
        await tx.update_instance(guest)
    return Replaced(standing.host, renewed)


def _renewed(guest: PlacedInstance, layout: Layout) -> PlacedInstance:
    return structs.replace(guest, layout=layout, generation=guest.generation + 1)


def _check_kept(
    registered: Host, after: Host, shared: CpuSet | None, dedicated: CpuSet | None
) -> None:
    for flag, given in (("shared", shared), ("dedicated", dedicated)):
        name = f"cpu_{flag}_set"
        gone = getattr(registered, name) - after.cpus
        if given is None and gone:
            expected = f"expected --{flag}, since {name} is kept without it, but its CPUs"
            raise Conflict(f"host {after.name}: {expected} {gone} are not among those found")


async def remove_host(
    store: Store, name: str, check: Callable[[Host | None], None] = anyhow
) -> None:
    """Forget a host that has no guests; also one whose record cannot be read. Raises what ``check``
    raises of it, or of None.
    """

    async def use_case(tx: Transaction) -> None:
        await _check_readable(tx, name, check)
        guests = await tx.list_instances(name)
        uuids = sorted([*(guest.uuid for guest in guests), *(bad.key for bad in guests.damaged)])
        if uuids:
            raise Conflict(
                f"host {name}: {len(uuids)} instances are placed on it; first {uuids[0]}"
            )
        await tx.remove_host(name)

    await in_transaction(store, use_case)


async def _check_readable(tx: Transaction, name: str, check: Callable[[Host | None], None]) -> None:
    host: Host | None = None
    with suppress(BadRecord):
        host = await known_host(tx, name)
    check(host)


async def list_hosts(store: Store) -> Listing[Host]:
    """Every host with its use, by name."""
    return await in_snapshot(store, lambda snapshot: snapshot.list_hosts())


async def get_host(store: Store, name: str) -> tuple[Host, Listing[PlacedInstance]]:
    """One host with its use, and its guests."""

    async def use_case(snapshot: Snapshot) -> tuple[Host, Listing[PlacedInstance]]:
        return await known_host(snapshot, name), await snapshot.list_instances(name)

    return await in_snapshot(store, use_case)
