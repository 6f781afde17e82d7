"""What a use case is about: it is stored, or NotFound says in one way that it is not."""

from __future__ import annotations

from contextlib import suppress

from mdsvc.errors import NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.names import canonical_uuid
from mdsvc.store import GuestStore, Snapshot, Transaction
from mdsvc.store.listing import BadRecord
from mdsvc.topology import Host


async def known_instance(stored: GuestStore | Snapshot, uuid: str) -> PlacedInstance:
    """The guest of that UUID, however it is spelt. Raises NotFound."""
    guest = await stored.get_instance(canonical_uuid(uuid))
    if guest is None:
        raise NotFound.instance(uuid)
    return guest


async def known_host(stored: Snapshot, name: str) -> Host:
    """The host of that name, with its use. Raises NotFound, and BadRecord."""
    host = await stored.get_host(name)
    if host is None:
        raise NotFound.host(name)
    return host


async def check_host(stored: Snapshot, name: str) -> None:
    """Is a host of that name registered, readable or not? Raises NotFound."""
    with suppress(BadRecord):
        await known_host(stored, name)


async def losing_host(tx: Transaction, name: str) -> Host | None:
    """The host that a guest leaves, to be written without it; None where there is none any more, or
    where its record is damaged: that knows of no use which could be given back.

    Raises BadRecord where a newer program can read it.
    """
    try:
        return await tx.get_host(name)
    except BadRecord as damaged:
        if damaged.newer:
            raise
        return None
