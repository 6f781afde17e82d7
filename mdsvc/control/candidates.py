"""The best host for a guest: ranked on a snapshot, and looked at again before it is taken.

Ranking a fleet takes its time, and holds nobody up: it is done in a thread, on hosts that were read
together. When a host has changed since, that host alone is ranked anew. So of many that place at
the same time, each loses a moment and not a look at the fleet; and no host is taken that is not,
as it is then, the best of those that were looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from mdsvc.errors import Conflict, DoesNotFit, NotFound
from mdsvc.layout import Layout
from mdsvc.placing.choice import Ranked, best, rank
from mdsvc.policy.flavor import Request
from mdsvc.store import Snapshot, Stale, Transaction
from mdsvc.topology import MIXED_SERVICE_VERSION, Host


class Seen(msgspec.Struct, frozen=True):
    """The hosts that may take a guest, as they were at one moment, and the fleet's revision."""

    hosts: Sequence[Host]
    fleet: int


async def look(snapshot: Snapshot, request: Request, name: str | None) -> Seen:
    """Every host, or the one of that name. Raises NotFound, and Conflict where none may take it."""
    everywhere = name is None or request.cpu_policy == "mixed"
    hosts = await snapshot.list_hosts() if everywhere else ()
    if request.cpu_policy == "mixed":
        _check_service_versions(hosts)
    if name is not None:
        host = await snapshot.get_host(name)
        if host is None:
            raise NotFound(f"host {name}: no such host is registered")
        hosts = [host]
    if not hosts:
        raise Conflict("no host is registered yet, so there is no place for a guest")
    return Seen(hosts, await snapshot.fleet())


class Candidates:
    """Hosts that were looked at for a request, the best one first."""

    def __init__(self, request: Request, seen: Seen, ranking: Sequence[Ranked]) -> None:
        self._request = request
        self._fleet = seen.fleet
        self._unchanged = list(ranking)
        self._changed: dict[str, Host] = {}

    @classmethod
    async def ranked(cls, request: Request, seen: Seen) -> Candidates:
        """Rank what was seen, beside the event loop."""
        return cls(request, seen, await asyncio.to_thread(rank, seen.hosts, request))

    async def best(self, tx: Transaction) -> tuple[Host, Layout]:
        """The best host as it is in this transaction, with the layout on it. Raises DoesNotFit.

        Raises Outdated where the fleet has to be looked at anew.
        """
        if self._request.cpu_policy == "mixed" and await tx.fleet() != self._fleet:
            raise Outdated("the fleet has changed")
        while True:
            host, layout = await asyncio.to_thread(self._best)
            now = await tx.get_host(host.name)
            if now == host:
                return host, layout
            self._replace(host.name, now)

    def _best(self) -> tuple[Host, Layout]:
        """Of the unchanged hosts the first, and all that have changed, ranked again."""
        if not self._changed and self._unchanged:
            return best(self._unchanged, self._request)
        first = [ranked.host for ranked in self._unchanged[:1]]
        try:
            return best(rank([*first, *self._changed.values()], self._request), self._request)
        except DoesNotFit:
            raise Outdated("the hosts that had room have none any more") from None

    def _replace(self, name: str, now: Host | None) -> None:
        self._unchanged = [ranked for ranked in self._unchanged if ranked.host.name != name]
        self._changed.pop(name, None)
        if now:
            self._changed[name] = now


class Outdated(Stale):
    """What was seen of the fleet is no longer enough to choose by."""


def _check_service_versions(hosts: Sequence[Host]) -> None:
    """R17: one old host could be chosen for such a guest later, by whoever migrates it."""
    old = [f"{host.name} ({host.service_version})" for host in hosts if not host.knows_mixed]
    if old:
        expected = f"every host at service version {MIXED_SERVICE_VERSION} or later"
        raise Conflict(
            f"mixed guests are refused: expected {expected}, but not yet: {', '.join(old)}"
        )
