"""Every host in figures, made once for each state of the store: 2,000 are no delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from mdsvc.amounts import dedicated_free, memory_used, shared_limit, shared_used
from mdsvc.control.hosts import list_hosts
from mdsvc.store import Store
from mdsvc.topology import Host


class HostRow(msgspec.Struct, frozen=True, kw_only=True):
    """A host with its fill: numbers of pCPUs and of shared vCPUs, MiB of memory."""

    name: str
    dedicated: int
    free: int
    shared_limit: int
    shared_used: int
    memory_mb: int
    memory_used_mb: int
    draining: bool
    knows_mixed: bool
    service_version: int


def host_row(host: Host) -> HostRow:
    """The figures of one host."""
    return HostRow(
        name=host.name,
        dedicated=len(host.cpu_dedicated_set),
        free=dedicated_free(host),
        shared_limit=shared_limit(host, host.cells),
        shared_used=shared_used(host),
        memory_mb=host.memory_mb,
        memory_used_mb=memory_used(host),
        draining=host.draining,
        knows_mixed=host.knows_mixed,
        service_version=host.service_version,
    )


Sort = Literal[
    "name",
    "-name",
    "pinned",
    "-pinned",
    "free",
    "-free",
    "shared",
    "-shared",
    "memory",
    "-memory",
]
"""By what hosts are sorted; with a ``-`` the greatest first."""

_KEYS: Mapping[str, Callable[[HostRow], float]] = {
    "pinned": lambda row: (row.dedicated - row.free) / max(1, row.dedicated),
    "free": lambda row: row.free,
    "shared": lambda row: row.shared_used / max(1, row.shared_limit),
    "memory": lambda row: row.memory_used_mb / max(1, row.memory_mb),
}


def sorted_rows(rows: Sequence[HostRow], sort: Sort) -> Sequence[HostRow]:
    """In that order, and by name where that is the same; the rows given are by name."""
    by, descending = sort.removeprefix("-"), sort.startswith("-")
    if by == "name":
        return rows[::-1] if descending else rows
    return sorted(rows, key=_KEYS[by], reverse=descending)


class Rows:
    """The rows of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._position: int | None = None
        self._rows: Sequence[HostRow] = ()

    async def read(self) -> Sequence[HostRow]:
        """Every host, by name, as it is now; read only where the store has changed since.

        The position is read before the hosts are, so that no change is missed.
        """
        position = await self._store.position()
        if position != self._position:
            hosts = await list_hosts(self._store)
            self._rows = await asyncio.to_thread(lambda: [host_row(host) for host in hosts])
            self._position = position
        return self._rows
