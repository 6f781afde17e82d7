"""Placing guests, removing them, and reading them."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.control import in_transaction
from mdsvc.errors import Conflict, NotFound
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.names import canonical_uuid
from mdsvc.placing.choice import choose
from mdsvc.placing.usage import place, remove
from mdsvc.policy import unknown_keys as keys
from mdsvc.policy.flavor import Request, request
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Store, Transaction
from mdsvc.topology import MIXED_SERVICE_VERSION, Host


async def create_instance(
    store: Store, instance: Instance, host: str | None, unknown_keys: UnknownKeys = "warn"
) -> PlacedInstance:
    """Place a guest on the host named, or on the best one, and store it with its layout.

    Where ``unknown_keys`` are errors, raises InvalidRequest for them (R28).
    """
    keys.check(instance.flavor, instance.image, unknown_keys)
    wanted = request(instance.flavor, instance.image)

    async def use_case(tx: Transaction) -> PlacedInstance:
        await _check_new(tx, instance)
        hosts = await tx.list_hosts()
        _check_service_versions(wanted, hosts)
        chosen, layout = choose(_candidates(hosts, host), wanted)
        placed = place_instance(instance, chosen.name, layout)
        await tx.update_host(place(chosen, layout, instance.flavor))
        if not await tx.add_instance(placed):
            raise Conflict(f"uuid {instance.uuid}: expected a new one, but it is stored already")
        return placed

    return await in_transaction(store, use_case)


async def delete_instance(store: Store, uuid: str) -> None:
    """Remove a guest, and its use from its host."""

    async def use_case(tx: Transaction) -> None:
        placed = _known(uuid, await tx.get_instance(canonical_uuid(uuid)))
        host = await tx.get_host(placed.host)
        if host is not None:
            await tx.update_host(remove(host, placed.layout, placed.flavor))
        await tx.remove_instance(placed.uuid)

    await in_transaction(store, use_case)


async def list_instances(store: Store) -> Sequence[PlacedInstance]:
    """Every guest, by UUID."""
    return await in_transaction(store, lambda tx: tx.list_instances())


async def get_instance(store: Store, uuid: str) -> PlacedInstance:
    """One guest."""
    return _known(uuid, await store.get_instance(canonical_uuid(uuid)))


async def get_instance_with_host(store: Store, uuid: str) -> tuple[PlacedInstance, Host]:
    """One guest and its host, as they are together: what its domain is made from."""

    async def use_case(tx: Transaction) -> tuple[PlacedInstance, Host]:
        placed = _known(uuid, await tx.get_instance(canonical_uuid(uuid)))
        host = await tx.get_host(placed.host)
        if host is None:
            raise NotFound(f"host {placed.host}: no such host is registered")
        return placed, host

    return await in_transaction(store, use_case)


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

    async def use_case(tx: Transaction) -> None:
        guest = _known(uuid, await tx.get_instance(canonical_uuid(uuid)))
        if not await tx.clear_password(guest.uuid):
            raise NotFound(f"instance {uuid}: it has stored no password")

    await in_transaction(store, use_case)


async def _check_new(tx: Transaction, instance: Instance) -> None:
    if await tx.get_instance(instance.uuid):
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
