"""What a use case is about: it is stored, or NotFound says in one way that it is not."""

from __future__ import annotations

from mdsvc.errors import NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.names import canonical_uuid
from mdsvc.store import GuestStore, Snapshot
from mdsvc.topology import Host


async def known_instance(stored: GuestStore | Snapshot, uuid: str) -> PlacedInstance:
    """The guest of that UUID, however it is spelt. Raises NotFound."""
    guest = await stored.get_instance(canonical_uuid(uuid))
    if guest is None:
        raise NotFound(f"instance {uuid}: no such instance is stored")
    return guest


async def known_host(stored: Snapshot, name: str) -> Host:
    """The host of that name, with its use. Raises NotFound."""
    host = await stored.get_host(name)
    if host is None:
        raise NotFound(f"host {name}: no such host is registered")
    return host
