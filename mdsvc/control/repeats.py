"""What is asked once more: who has lost the answer asks again, and is answered with what is stored.

Another description under the same name is a conflict, as it is where nothing is repeated.
"""

from __future__ import annotations

from msgspec.structs import replace

from mdsvc.control.hosts import add_host, get_host
from mdsvc.control.instances import create_instance
from mdsvc.errors import Conflict
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Store
from mdsvc.topology import Host


async def ensure_host(store: Store, host: Host) -> tuple[Host, bool]:
    """Register a host; and whether it is new. Raises as ``add_host``."""
    try:
        return await add_host(store, host), True
    except Conflict:
        registered, _guests = await get_host(store, host.name)
        same = (host, replace(host, draining=True))  # a host that is drained meanwhile is the same
        if registered.without_use() not in same:
            raise
        return registered, False


async def ensure_instance(
    store: Store, instance: Instance, host: str | None, unknown_keys: UnknownKeys
) -> tuple[PlacedInstance, bool]:
    """Place a guest; and whether it is new. Raises as ``create_instance``."""
    try:
        return await create_instance(store, instance, host, unknown_keys), True
    except Conflict:
        placed = await store.get_instance(instance.uuid)
        if placed is None or not _is_described(placed, instance) or host not in (None, placed.host):
            raise
        return placed, False


def _is_described(placed: PlacedInstance, instance: Instance) -> bool:
    fields = Instance.__struct_fields__
    return all(getattr(placed, field) == getattr(instance, field) for field in fields)
