"""Moving a guest to another host: its claim there, and what it used here, in one transaction."""

from __future__ import annotations

from msgspec.structs import replace

from mdsvc.control.candidates import Candidates, Seen, look, with_candidates
from mdsvc.control.known import known_instance, losing_host
from mdsvc.errors import Conflict
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout
from mdsvc.placing.usage import place, remove
from mdsvc.policy.flavor import request
from mdsvc.store import Snapshot, Store, Transaction
from mdsvc.topology import Host


async def migrate_instance(
    store: Store, uuid: str, host: str | None = None, only_from: str | None = None
) -> PlacedInstance:
    """Move a guest to the host named, or to the best other one.

    Raises NotFound, DoesNotFit, and Conflict: where it is on that host already, where it is not on
    ``only_from`` any more, or by R17. Then it stays where it was.
    """

    async def look_from_it(snapshot: Snapshot) -> Seen:
        guest = await known_instance(snapshot, uuid)
        if guest.host == host:
            raise Conflict(f"host {host}: expected another one, as instance {uuid} is on it")
        if only_from not in (None, guest.host):
            raise Conflict(f"instance {uuid}: expected it on host {only_from}, but it has moved")
        return await look(snapshot, request(guest.flavor, guest.image), host, guest)

    async def move(tx: Transaction, candidates: Candidates) -> PlacedInstance:
        guest = await known_instance(tx, uuid)
        return await settle(tx, guest, guest, *await candidates.best(tx))

    return await with_candidates(store, look_from_it, move)


async def settle(
    tx: Transaction, guest: PlacedInstance, after: PlacedInstance, there: Host, layout: Layout
) -> PlacedInstance:
    """Write the guest as it is to be, with its place on another host."""
    here = await losing_host(tx, guest.host)
    if here is not None:
        await tx.update_host(remove(here, guest.layout, guest.flavor))
    await tx.update_host(place(there, layout, after.flavor))
    settled = replace(after, host=there.name, layout=layout, generation=guest.generation + 1)
    await tx.update_instance(settled)
    return settled
