"""Draining a host: it takes no new guests, and those that it has are moved where there is room."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from mdsvc.control import in_transaction
from mdsvc.control.hosts import get_host
from mdsvc.control.known import known_host
from mdsvc.control.moves import migrate_instance
from mdsvc.errors import CannotStay, DoesNotFit, InvalidRequest, NotFound, Reason, Refused
from mdsvc.instance import PlacedInstance
from mdsvc.store import Store, Transaction
from mdsvc.store.listing import BadRecord
from mdsvc.topology import Host


async def drain_host(store: Store, name: str, draining: bool = True) -> Host:
    """Let a host take no new guests, or take some again. What is so already is not written."""

    async def use_case(tx: Transaction) -> Host:
        host = await known_host(tx, name)
        if host.draining == draining:
            return host
        changed = replace(host, draining=draining)
        await tx.update_host(changed)
        return changed

    return await in_transaction(store, use_case)


MOST_REASONS = 100
"""For each guest that is left. A large fleet has thousands; each host's nearest come first."""


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """A guest that could not be moved, and why."""

    uuid: str
    name: str
    message: str
    reasons: tuple[Reason, ...] = ()


class Drained(msgspec.Struct, frozen=True):
    """A host that takes no new guests, and what became of those that it had."""

    host: Host
    moved: tuple[PlacedInstance, ...] = ()
    left: tuple[Left, ...] = ()


async def move_guests(
    store: Store, name: str, progress: Callable[[int, int], None] = lambda done, of: None
) -> Drained:
    """Drain a host, and move its guests one by one, each in a transaction of its own.

    ``progress`` is told how many are done, and of how many.
    """
    await drain_host(store, name)
    _, guests = await get_host(store, name)
    moved: list[PlacedInstance] = []
    left = [unread(damaged) for damaged in guests.damaged]
    for done, guest in enumerate(sorted(guests, key=hardest_first)):
        progress(done, len(guests))
        try:
            moved.append(await migrate_instance(store, guest.uuid, only_from=name))
        except NotFound:
            continue  # deleted meanwhile
        except (Refused, InvalidRequest) as refusal:
            left.append(left_behind(guest, refusal))
    progress(len(guests), len(guests))
    host, staying = await get_host(store, name)
    uuids = {*(guest.uuid for guest in staying), *(bad.key for bad in staying.damaged)}
    return Drained(host, tuple(moved), tuple(each for each in left if each.uuid in uuids))


def unread(damaged: BadRecord) -> Left:
    """A guest whose record cannot be read, so that nobody knows what it needs elsewhere."""
    return Left(uuid=damaged.key, name="", message=str(damaged))


def hardest_first(guest: PlacedInstance) -> tuple[int, int, int, str]:
    """Those that few hosts can take choose while most is free."""
    flavor = guest.flavor
    return -len(guest.layout.dedicated_cpus), -flavor.vcpus, -flavor.memory_mb, guest.uuid


def left_behind(guest: PlacedInstance, refusal: Refused | InvalidRequest) -> Left:
    """The guest that was refused a place elsewhere, and why."""
    reasons = refusal.reasons if isinstance(refusal, DoesNotFit | CannotStay) else ()
    kept = reasons[:MOST_REASONS]
    return Left(uuid=guest.uuid, name=guest.name, message=str(refusal), reasons=kept)
