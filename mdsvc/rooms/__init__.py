"""What is free in one host cell, and which of its pCPUs a guest cell would take.

``cores`` says what is free of some cores, ``picking`` which of their pCPUs are taken, and
``domains`` which L3 domains of a cell these are in. Masks are bit masks over pCPUs.
"""

from __future__ import annotations

from functools import cached_property
from math import floor
from operator import attrgetter

from mdsvc.flavor import ThreadPolicy
from mdsvc.rooms import picking
from mdsvc.rooms.cores import Cores, counts
from mdsvc.rooms.domains import fewest, joined, with_room
from mdsvc.rooms.picking import Pick, broken
from mdsvc.topology import Host, HostCell, PagePool

__all__ = ["Pick", "Room", "broken", "pick", "ranked", "rooms", "spanned"]


class Room(Cores, frozen=True, dict=True):
    """The free part of one host cell. Nothing in it is negative, however overfull the cell is."""

    cell: HostCell
    l3: int  # domains, full ones too; 0 where they are not known
    shared_cpus: int
    shared_most: int  # shared vCPUs that may still come, by the overcommit ratio
    memory_free_mb: int
    memory_most_mb: int  # that guests without dedicated CPUs may still take, by the ratio

    @classmethod
    def of(cls, host: Host, cell: HostCell) -> Room:
        """The room that a host's cell has now."""
        free = cell.cpus.mask & host.cpu_dedicated_set.mask & ~cell.pinned.mask
        shared = (cell.cpus.mask & host.cpu_shared_set.mask).bit_count()
        shared_left = floor(shared * host.cpu_allocation_ratio) - cell.shared_used
        memory_left = floor(cell.memory_mb * host.ram_allocation_ratio) - cell.memory_used_mb
        return cls(
            *counts(cell.core_masks, free),
            cell=cell,
            l3=len(cell.l3_cores) if cell.l3 else 0,
            shared_cpus=shared,
            shared_most=max(0, min(shared, shared_left)),
            memory_free_mb=max(0, cell.memory_mb - cell.memory_used_mb),
            memory_most_mb=max(0, min(cell.memory_mb, memory_left)),
        )

    @cached_property
    def domains(self) -> list[Cores]:
        """The L3 domains that have free pCPUs, the fullest first; none where they are not known."""
        return with_room(self.cell.l3_cores, self.free_mask)

    @cached_property
    def pools(self) -> tuple[PagePool, ...]:
        """The cell's page pools by their page size."""
        return tuple(sorted(self.cell.pages, key=lambda pool: pool.size_kb))

    @cached_property
    def signature(self) -> tuple[object, ...]:
        """What tells this room from others beside its labels, to rank cells without them."""
        return (
            self.free,
            self.memory_free_mb,
            self.memory_most_mb,
            self.shared_most,
            self.shared_cpus,
            self.cell.memory_mb,
            self.whole_threads,
            self.whole_cores,
            [] if self.core_size else sorted(map(int.bit_count, self.whole)),
            self.isolated,
            self.paired_threads,
            [left.bit_count() for left in self.loose] if self.paired_threads else [],
            len(self.masks),
            self.cell.cpus.mask.bit_count(),
            self.cell.pinned.mask.bit_count(),
            [(pool.size_kb, pool.free_kb, pool.total) for pool in self.pools],
            self.l3,
            [domain.kind for domain in self.domains] if self.l3 > 1 else [],
        )


def rooms(host: Host) -> tuple[Room, ...]:
    """The host's rooms. Worked out once for a host, which never changes."""
    kept: tuple[Room, ...] | None = host.__dict__.get("_rooms")
    if kept is None:
        kept = host.__dict__["_rooms"] = tuple(Room.of(host, cell) for cell in host.cells)
    return kept


def ranked(host: Host) -> tuple[Room, ...]:
    """The rooms in an order that relabelling does not change: by what is free in them, and only
    among equals by cell id.
    """
    kept: tuple[Room, ...] | None = host.__dict__.get("_ranked")
    if kept is None:
        by_id = sorted(rooms(host), key=lambda room: room.cell.id)
        kept = host.__dict__["_ranked"] = tuple(sorted(by_id, key=attrgetter("signature")))
    return kept


def spanned(room: Room, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> int:
    """How many L3 domains so many vCPUs, and 0 or 1 emulator pCPU, are in where they are known.

    There must be some, and the room must have them.
    """
    return len(_domains(room, policy, vcpus, reserved)) if room.l3 > 1 else room.l3


def pick(room: Room, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> Pick:
    """The pCPUs themselves, of a room that has them."""
    if room.l3 > 1 and vcpus + reserved:
        cores = joined(_domains(room, policy, vcpus, reserved))
        return picking.pick(cores, policy, vcpus, reserved)
    return picking.pick(room, policy, vcpus, reserved)


def _domains(room: Room, policy: ThreadPolicy | None, vcpus: int, reserved: int) -> list[Cores]:
    """The fewest domains that take them. Worked out once for a room."""
    kept: dict[object, list[Cores]] = room.__dict__.setdefault("_fewest", {})
    asked = policy, vcpus, reserved
    if asked not in kept:
        kept[asked] = fewest(room, room.domains, policy, vcpus, reserved)
    return kept[asked]
