"""Every host in figures, kept up with the store's changes, so that 2,000 are no delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from mdsvc.amounts import dedicated_free, memory_used, shared_limit, shared_used
from mdsvc.control.hosts import list_hosts
from mdsvc.store import Store
from mdsvc.store.listing import BadRecord
from mdsvc.topology import Host

_MOST_AT_ONCE = 100
"""Hosts that are read one by one."""


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
    "state",
    "-state",
]
"""By what hosts are sorted; with a ``-`` the greatest first."""

_KEYS: Mapping[str, Callable[[HostRow], float]] = {
    "pinned": lambda row: (row.dedicated - row.free) / max(1, row.dedicated),
    "free": lambda row: row.free,
    "shared": lambda row: row.shared_used / max(1, row.shared_limit),
    "memory": lambda row: row.memory_used_mb / max(1, row.memory_mb),
    "state": lambda row: row.draining + 2 * (not row.knows_mixed),
}


def sorted_rows(rows: Sequence[HostRow], sort: Sort) -> Sequence[HostRow]:
    """In that order, and by name where that is the same; the rows given are by name."""
    by, descending = sort.removeprefix("-"), sort.startswith("-")
    if by == "name":
        return rows[::-1] if descending else rows
    return sorted(rows, key=_KEYS[by], reverse=descending)


class _State(msgspec.Struct, frozen=True):
    """The rows by name, at a position of the store or a little later."""

    position: int
    rows: Mapping[str, HostRow]
    unreadable: Mapping[str, str]


class Rows:
    """The rows of a store, of which those are read again that have changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._state: _State | None = None

    @property
    def unreadable(self) -> Sequence[str]:
        """Of the hosts whose records could not be read, why."""
        return [why for _, why in sorted(self._state.unreadable.items())] if self._state else ()

    async def read(self) -> Sequence[HostRow]:
        """Every host, by name, as it is now.

        A position is read before the hosts are, so that no change is missed.
        """
        position = await self._store.position()
        state = self._state
        if state is None or state.position != position:
            state = (state and await self._caught_up(state, position)) or await self._all(position)
            self._state = state
        return [state.rows[name] for name in sorted(state.rows)]

    async def _all(self, position: int) -> _State:
        hosts = await list_hosts(self._store)
        rows = await asyncio.to_thread(lambda: {host.name: host_row(host) for host in hosts})
        return _State(position, rows, {bad.key: str(bad) for bad in hosts.damaged})

    async def _caught_up(self, state: _State, position: int) -> _State | None:
        """None where so much has changed that all may as well be read, or it cannot be told."""
        page = await self._store.changes(state.position)
        names = {change.key for change in page.changes if change.kind == "host"}
        if page.reset or page.position < position or len(names) > _MOST_AT_ONCE:
            return None
        rows, unreadable = dict(state.rows), dict(state.unreadable)
        async with self._store.snapshot() as snapshot:
            for name in names:
                rows.pop(name, None)
                unreadable.pop(name, None)
                try:
                    host = await snapshot.get_host(name)
                except BadRecord as damaged:
                    unreadable[name] = str(damaged)
                    continue
                if host is not None:
                    rows[name] = host_row(host)
        return _State(page.position, rows, unreadable)
