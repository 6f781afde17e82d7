"""The best host for a guest: ranked on a snapshot, and looked at again before it is taken.

Ranking a fleet takes its time, and holds nobody up: it is done in a thread, on hosts that were read
together. When a host has changed since, that host alone is ranked anew. So of many that place at
the same time, each loses a moment and not a look at the fleet; and no host is taken that is not,
as it is then, the best of those that were looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from mdsvc.control import persist
from mdsvc.control.fleet import look_at_fleet
from mdsvc.control.known import known_host
from mdsvc.errors import Conflict, DoesNotFit, Reason
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout
from mdsvc.placing.choice import Ranked, best, rank
from mdsvc.policy.flavor import Request
from mdsvc.store import Snapshot, Stale, Store, Transaction
from mdsvc.store.listing import BadRecord
from mdsvc.topology import Host

T = TypeVar("T")


class Seen(msgspec.Struct, frozen=True):
    """What a guest asks for, and the hosts that may take it, as they were at one moment; of the
    fleet the revision where that matters, and of a guest that has a place what it was. ``unread``:
    hosts that may take nothing, as nobody knows what they have free.
    """

    request: Request
    hosts: Sequence[Host]
    fleet: int | None
    guest: PlacedInstance | None = None
    unread: Sequence[BadRecord] = ()

    def reasons_unread(self) -> Sequence[Reason]:
        """Why those hosts take nothing."""
        return [Reason(host=bad.key, rule="record", message=str(bad)) for bad in self.unread]

    def refused(self, refusal: DoesNotFit) -> DoesNotFit:
        """The refusal, which names the hosts too whose records cannot be read."""
        unread = self.reasons_unread()
        if not unread:
            return refusal
        message = f"{len(unread)} hosts cannot be read, and of the others: {refusal}"
        return DoesNotFit(message, lambda: [*refusal.reasons, *unread])


class NoHost(Conflict):
    """There is no host that could be asked."""


async def look(
    snapshot: Snapshot, request: Request, name: str | None, guest: PlacedInstance | None = None
) -> Seen:
    """Every host, or the one of that name; for a guest that has a place, but its own host.

    Raises NotFound, and Conflict where none may take it.
    """
    fleet = await look_at_fleet(snapshot, request)
    revision = fleet.revision if fleet else None
    if name is not None:
        return Seen(request, [await known_host(snapshot, name)], revision, guest)
    listing = fleet.hosts if fleet else await snapshot.list_hosts()
    hosts = [host for host in listing if guest is None or host.name != guest.host]
    if listing.damaged and not hosts:
        raise NoHost(f"there is no host whose record can be read: {listing.damaged[0]}")
    if guest and not hosts:
        raise NoHost(f"instance {guest.uuid}: expected another host that it could go to, got none")
    if not hosts:
        raise NoHost("no host is registered yet, so there is no place for a guest")
    return Seen(request, hosts, revision, guest, listing.damaged)


async def with_candidates(
    store: Store,
    look_anew: Callable[[Snapshot], Awaitable[Seen]],
    use_case: Callable[[Transaction, Candidates], Awaitable[T]],
) -> T:
    """Run a use case in one transaction, with the hosts that were looked at before it. They are
    looked at once, and anew where that was not enough. Raises what ``persist`` raises.
    """
    candidates: Candidates | None = None

    async def attempt() -> T:
        nonlocal candidates
        if candidates is None:
            async with store.snapshot() as snapshot:
                seen = await look_anew(snapshot)
            candidates = await Candidates.ranked(seen)
        try:
            async with store.transaction() as tx:
                return await use_case(tx, candidates)
        except Outdated:
            candidates = None
            raise
        except DoesNotFit as refusal:
            raise candidates.refused(refusal) from None

    return await persist(attempt)


class Candidates:
    """Hosts that were looked at for a request, the best one first."""

    def __init__(self, seen: Seen, ranking: Sequence[Ranked]) -> None:
        self._seen = seen
        self._request = seen.request
        self._unchanged = list(ranking)
        self._changed: dict[str, Host] = {}

    @classmethod
    async def ranked(cls, seen: Seen) -> Candidates:
        """Rank what was seen, beside the event loop."""
        return cls(seen, await asyncio.to_thread(rank, seen.hosts, seen.request))

    @property
    def hosts(self) -> Sequence[Host]:
        """Those that were looked at, as they were then."""
        return self._seen.hosts

    def refused(self, refusal: DoesNotFit) -> DoesNotFit:
        """The refusal with all that was seen."""
        return self._seen.refused(refusal)

    async def best(self, tx: Transaction) -> tuple[Host, Layout]:
        """The best host as it is in this transaction, with the layout on it. Raises DoesNotFit.

        Raises Outdated where the fleet, or the guest, has to be looked at anew.
        """
        await self._check(tx)
        while True:
            host, layout = await asyncio.to_thread(self._best)
            now = await tx.get_host(host.name)
            if now == host:
                return host, layout
            self._replace(host.name, now)

    async def _check(self, tx: Transaction) -> None:
        """What was seen beside the hosts is so in this transaction too, which relies on it."""
        if self._seen.fleet is not None and await tx.fleet() != self._seen.fleet:
            raise Outdated("the fleet has changed")
        guest = self._seen.guest
        if guest and await tx.get_instance(guest.uuid) != guest:
            raise Outdated("the guest has changed")

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
