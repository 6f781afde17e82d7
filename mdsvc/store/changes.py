"""What an engine of the store does: it reads, and it carries changes out, all or none.

A revision is a number of the whole store that never comes back: each transaction that changes
something takes the next one. So what was removed and stored anew is never taken for what it was
before, and the revisions are also the order in which changes happened.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from mdsvc.instance import PlacedInstance
from mdsvc.store.feed import Kind
from mdsvc.store.listing import Listing
from mdsvc.topology import Host

T = TypeVar("T")


class Stored(NamedTuple, Generic[T]):
    """A value, and the revision at which it was written."""

    revision: int
    value: T


class Reading(Protocol):
    """What an engine reads in one snapshot; listings by name and UUID. What cannot be read is
    BadRecord by its key, and among the damaged of a listing, whose pages are full without it.
    """

    async def host(self, name: str) -> Stored[Host] | None:
        """One host."""

    async def hosts(self) -> Listing[Stored[Host]]:
        """Every host."""

    async def hosts_after(self, after: str | None, limit: int) -> Listing[Stored[Host]]:
        """So many hosts at most, of those whose names follow this one."""

    async def instance(self, uuid: str) -> Stored[PlacedInstance] | None:
        """One guest."""

    async def instances(self, host: str | None) -> Listing[Stored[PlacedInstance]]:
        """Every guest, or every guest of one host."""

    async def instances_after(
        self, after: str | None, limit: int, *, host: str | None, project_id: str | None
    ) -> Listing[Stored[PlacedInstance]]:
        """So many guests at most, of those whose UUIDs follow this one; of a host, of a project."""

    async def owner(self, ip: str, network: str) -> str | None:
        """The UUID of the guest with that address."""

    async def fleet(self) -> int:
        """The revision at which a host was last added, or changed its service version."""


Key = tuple[Kind, str]


class Put(NamedTuple, Generic[T]):
    """A value to be stored, and the revision that it replaces; None where it is new."""

    replaces: int | None
    value: T


class Changes(msgspec.Struct, frozen=True):
    """What a transaction comes to, to be carried out in the order of the fields.

    ``read`` and ``fleet`` are the revisions that must still hold, None where nothing was stored,
    and where the whole fleet was not asked about. ``moves_fleet``: this changes it. Passwords and
    reports are ``forgotten`` with a change of the guests that have left them, and their user data
    opened anew.
    """

    read: Mapping[Key, int | None]
    fleet: int | None
    moves_fleet: bool
    removed_instances: Mapping[str, int]
    forgotten: Collection[str]
    put_hosts: Mapping[str, Put[Host]]
    put_instances: Mapping[str, Put[PlacedInstance]]
    removed_hosts: Mapping[str, int]

    def __bool__(self) -> bool:
        return any((self.removed_instances, self.put_hosts, self.put_instances, self.removed_hosts))


def addresses(instance: PlacedInstance) -> list[tuple[str, str]]:
    """The guest's addresses as they are found again: (ip, network)."""
    return [(address.ip, address.network) for address in instance.addresses]
