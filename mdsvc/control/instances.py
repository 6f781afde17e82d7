"""Placing guests, changing what is no CPU business, removing them, and reading them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from mdsvc.control import anyhow, in_snapshot, in_transaction
from mdsvc.control.candidates import Candidates, Seen, look, with_candidates
from mdsvc.control.known import check_host, known_host, known_instance, losing_host
from mdsvc.errors import Conflict, NotFound
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.placing.usage import place, remove
from mdsvc.policy import unknown_keys as keys
from mdsvc.policy.flavor import request
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Snapshot, Store, Transaction
from mdsvc.store.listing import BadRecord, Listing
from mdsvc.topology import Host


async def create_instance(
    store: Store, instance: Instance, host: str | None, unknown_keys: UnknownKeys = "warn"
) -> PlacedInstance:
    """Place a guest on the host named, or on the best one, and store it with its layout.

    Where ``unknown_keys`` are errors, raises InvalidRequest for them (R28).
    """
    keys.check(instance.flavor, instance.image, unknown_keys)
    wanted = request(instance.flavor, instance.image)

    async def look_anew(snapshot: Snapshot) -> Seen:
        await _check_new(snapshot, instance)
        return await look(snapshot, wanted, host)

    async def use_case(tx: Transaction, candidates: Candidates) -> PlacedInstance:
        await _check_new(tx, instance)
        there, layout = await candidates.best(tx)
        placed = place_instance(instance, there.name, layout)
        await tx.update_host(place(there, layout, instance.flavor))
        await tx.add_instance(placed)  # its UUID is free: that was asked in this transaction
        return placed

    return await with_candidates(store, look_anew, use_case)


async def change_instance(
    store: Store, instance: Instance, check: Callable[[PlacedInstance], None] = anyhow
) -> PlacedInstance:
    """Describe a guest anew, in all that is no CPU business: where it is stays as it is.

    What is the same already is not written. Raises Conflict where flavor or image is another, and
    where an address is another guest's; and what ``check`` raises of the guest as it is stored.
    """

    async def use_case(tx: Transaction) -> PlacedInstance:
        guest = await known_instance(tx, instance.uuid)
        check(guest)
        _check_same(guest, instance)
        described = place_instance(instance, guest.host, guest.layout, guest.generation)
        if described == guest:
            return guest
        await _check_addresses(tx, instance)
        changed = replace(described, generation=guest.generation + 1)
        await tx.update_instance(changed)
        return changed

    return await in_transaction(store, use_case)


async def delete_instance(
    store: Store, uuid: str, check: Callable[[PlacedInstance | None], None] = anyhow
) -> None:
    """Remove a guest, and its use from its host; also one whose record cannot be read. Raises what
    ``check`` raises of it, or of None.
    """

    async def use_case(tx: Transaction) -> None:
        try:
            placed = await known_instance(tx, uuid)
        except BadRecord as damaged:
            check(None)
            await _delete_unread(tx, damaged)
            return
        check(placed)
        host = await losing_host(tx, placed.host)
        if host is not None:
            await tx.update_host(remove(host, placed.layout, placed.flavor))
        await tx.remove_instance(placed.uuid)

    await in_transaction(store, use_case)


async def _delete_unread(tx: Transaction, damaged: BadRecord) -> None:
    """What it used is only known as what its host has in use beside its other guests: that is given
    back with the last of those which cannot be read. The host is written in any case, so that of
    two at a time one is the last.
    """
    await tx.remove_instance(damaged.key)
    assert damaged.host is not None
    host = await losing_host(tx, damaged.host)
    if host is None:
        return
    others = await tx.list_instances(host.name)
    if not others.damaged:
        host = host.without_use()
        for other in others:
            host = place(host, other.layout, other.flavor)
    await tx.update_host(host)


async def list_instances(store: Store, host: str | None = None) -> Listing[PlacedInstance]:
    """Every guest, or every guest of one host, by UUID. Raises NotFound for the host."""

    async def use_case(snapshot: Snapshot) -> Listing[PlacedInstance]:
        if host is not None:
            await check_host(snapshot, host)
        return await snapshot.list_instances(host)

    return await in_snapshot(store, use_case)


async def get_instance(store: Store, uuid: str) -> PlacedInstance:
    """One guest."""
    return await known_instance(store, uuid)


async def get_instance_with_host(store: Store, uuid: str) -> tuple[PlacedInstance, Host]:
    """One guest and its host, as they are together: what its domain is made from."""

    async def use_case(snapshot: Snapshot) -> tuple[PlacedInstance, Host]:
        placed = await known_instance(snapshot, uuid)
        return placed, await known_host(snapshot, placed.host)

    return await in_snapshot(store, use_case)


async def get_password(store: Store, uuid: str) -> bytes:
    """What the guest has stored as its encrypted password."""
    guest = await get_instance(store, uuid)
    password = await store.password(guest.uuid)
    if password is None:
        raise NotFound(f"instance {uuid}: it has stored no password")
    return password


async def clear_password(store: Store, uuid: str) -> None:
    """Forget the guest's password, so that it can store one again."""
    guest = await get_instance(store, uuid)
    if not await store.clear_password(guest.uuid):
        raise NotFound(f"instance {uuid}: it has stored no password")


async def _check_new(snapshot: Snapshot, instance: Instance) -> None:
    if await snapshot.get_instance(instance.uuid):
        raise already_stored(instance)
    await _check_addresses(snapshot, instance)


def already_stored(instance: Instance) -> Conflict:
    """What is said where a guest that is to be created has been."""
    return Conflict(f"uuid {instance.uuid}: expected a new one, but it is stored already")


async def _check_addresses(snapshot: Snapshot, instance: Instance) -> None:
    for address in instance.addresses:
        owner = await snapshot.owner(address.ip, address.network)
        if owner not in (None, instance.uuid):
            where = f"addresses: {address.ip} on {address.network}"
            raise Conflict(f"{where}: expected a free address, but instance {owner} has it")


_CALLS = {"flavor": "resize", "image": "rebuild (or resize, with a flavor)"}
"""What the guest's CPUs depend on, and the call that changes it."""


def _check_same(guest: PlacedInstance, instance: Instance) -> None:
    for field, call in _CALLS.items():
        if getattr(guest, field) != getattr(instance, field):
            expected = f"{field}: expected the one that instance {guest.uuid} has"
            raise Conflict(f"{expected}, since CPUs depend on it; the call that changes it: {call}")
