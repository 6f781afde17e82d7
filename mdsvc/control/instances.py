"""Placing guests, removing them, and reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mdsvc.control import anyhow, in_snapshot, in_transaction, persist
from mdsvc.control.candidates import Candidates, Outdated, look
from mdsvc.errors import Conflict, NotFound
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.layout import Layout
from mdsvc.names import canonical_uuid
from mdsvc.placing.usage import place, remove
from mdsvc.policy import unknown_keys as keys
from mdsvc.policy.flavor import request
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Snapshot, Store, Transaction
from mdsvc.topology import Host


async def create_instance(
    store: Store, instance: Instance, host: str | None, unknown_keys: UnknownKeys = "warn"
) -> PlacedInstance:
    """Place a guest on the host named, or on the best one, and store it with its layout.

    Where ``unknown_keys`` are errors, raises InvalidRequest for them (R28).
    """
    keys.check(instance.flavor, instance.image, unknown_keys)
    wanted = request(instance.flavor, instance.image)
    candidates: Candidates | None = None

    async def look_anew() -> Candidates:
        async with store.snapshot() as snapshot:
            await _check_new(snapshot, instance)
            seen = await look(snapshot, wanted, host)
        return await Candidates.ranked(wanted, seen)

    async def attempt() -> PlacedInstance:
        nonlocal candidates
        candidates = candidates or await look_anew()
        try:
            async with store.transaction() as tx:
                await _check_new(tx, instance)
                return await _place(tx, instance, *await candidates.best(tx))
        except Outdated:
            candidates = None
            raise

    return await persist(attempt)


async def _place(tx: Transaction, instance: Instance, host: Host, layout: Layout) -> PlacedInstance:
    placed = place_instance(instance, host.name, layout)
    await tx.update_host(place(host, layout, instance.flavor))
    await tx.add_instance(placed)  # its UUID is free: that was asked in this transaction
    return placed


async def delete_instance(
    store: Store, uuid: str, check: Callable[[PlacedInstance], None] = anyhow
) -> None:
    """Remove a guest, and its use from its host. Raises what ``check`` raises of it."""

    async def use_case(tx: Transaction) -> None:
        placed = _known(uuid, await tx.get_instance(canonical_uuid(uuid)))
        check(placed)
        host = await tx.get_host(placed.host)
        if host is not None:
            await tx.update_host(remove(host, placed.layout, placed.flavor))
        await tx.remove_instance(placed.uuid)

    await in_transaction(store, use_case)


async def list_instances(store: Store) -> Sequence[PlacedInstance]:
    """Every guest, by UUID."""
    return await in_snapshot(store, lambda snapshot: snapshot.list_instances())


async def get_instance(store: Store, uuid: str) -> PlacedInstance:
    """One guest."""
    return _known(uuid, await store.get_instance(canonical_uuid(uuid)))


async def get_instance_with_host(store: Store, uuid: str) -> tuple[PlacedInstance, Host]:
    """One guest and its host, as they are together: what its domain is made from."""

    async def use_case(snapshot: Snapshot) -> tuple[PlacedInstance, Host]:
        placed = _known(uuid, await snapshot.get_instance(canonical_uuid(uuid)))
        host = await snapshot.get_host(placed.host)
        if host is None:
            raise NotFound(f"host {placed.host}: no such host is registered")
        return placed, host

    return await in_snapshot(store, use_case)


def _known(uuid: str, placed: PlacedInstance | None) -> PlacedInstance:
    if placed is None:
        raise NotFound(f"instance {uuid}: no such instance is stored")
    return placed


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
        raise Conflict(f"uuid {instance.uuid}: expected a new one, but it is stored already")
    for address in instance.addresses:
        owner = await snapshot.owner(address.ip, address.network)
        if owner:
            where = f"addresses: {address.ip} on {address.network}"
            raise Conflict(f"{where}: expected a free address, but instance {owner} has it")
