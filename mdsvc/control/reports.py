"""What guests report back, and which of them drift from what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nsmallest
from operator import attrgetter
from typing import NamedTuple

import msgspec

from mdsvc.control.drifting import Drifter, Drifting
from mdsvc.control.instances import get_instance
from mdsvc.control.known import check_host
from mdsvc.errors import NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.reports import now_ms
from mdsvc.reports.drift import Drift, GuestStatus, Told, drift, guest_status
from mdsvc.store import Store
from mdsvc.store.listing import BadRecord, Listing

_PAGE, _MOST = 500, 5000
"""Guests that are looked at together, and in all, for a page of those that do not drift."""


async def find_status(store: Store, guest: PlacedInstance) -> GuestStatus | None:
    """What a guest has reported; None where it never has."""
    report = await store.report(guest.uuid)
    return None if report is None else guest_status(guest, report, now_ms())


async def get_status(store: Store, uuid: str) -> GuestStatus:
    """What a guest has reported. Raises NotFound where that is nothing."""
    status = await find_status(store, await get_instance(store, uuid))
    if status is None:
        raise NotFound(f"instance {uuid}: it has reported nothing")
    return status


async def drifts(store: Store, guests: Sequence[PlacedInstance]) -> Mapping[str, Sequence[Drift]]:
    """The reasons of those of these guests that drift, by UUID."""
    reports = await store.reports([guest.uuid for guest in guests]) if guests else {}
    now = now_ms()
    reasons = {g.uuid: drift(Told.of(g), reports.get(g.uuid), now) for g in guests}
    return {uuid: why for uuid, why in reasons.items() if why}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Guests that drift, or that do not, and what else ``Store.list_instances`` goes by."""

    drifted: bool
    host: str | None = None
    project_id: str | None = None
    after: str | None = None

    def is_of(self, drifter: Drifter) -> bool:
        """Whether its host and its project are those that are wanted."""
        is_there = self.host in {None, drifter.host}
        return is_there and self.project_id in {None, drifter.project_id}


class Page(NamedTuple):
    """Guests by UUID; ``next`` is after which of them it goes on, None where nothing follows."""

    guests: Listing[PlacedInstance]
    next: str | None


async def list_by_drift(
    store: Store,
    drifting: Drifting,
    wanted: Wanted,
    limit: int,
    patience: float | None = None,
) -> Page:
    """So many guests at most; fewer, and where to go on, where too many were looked at for them.
    Raises Unavailable where it is not known within so many seconds who drifts.
    """
    await drifting.look_within(patience)
    if wanted.drifted:
        return await _list_drifters(store, drifting, wanted, limit)
    return await _list_others(store, drifting, wanted, limit)


async def _list_drifters(store: Store, drifting: Drifting, wanted: Wanted, limit: int) -> Page:
    after = wanted.after or ""
    theirs = (u for u, each in drifting.guests.items() if u > after and wanted.is_of(each))
    uuids = nsmallest(limit + 1, theirs)
    following = uuids[limit - 1] if len(uuids) > limit else None
    unread = [bad for u, bad in drifting.damaged.items() if u > after]
    damaged = [bad for bad in unread if wanted.host in {None, bad.host}]
    guests: list[PlacedInstance] = []
    for uuid in uuids[:limit]:
        try:
            guest = await store.get_instance(uuid)
        except BadRecord as bad:
            damaged.append(bad)
        else:
            guests += [guest] if guest else []
    return Page(Listing(guests, sorted(damaged, key=attrgetter("key"))), following)


async def _list_others(store: Store, drifting: Drifting, wanted: Wanted, limit: int) -> Page:
    after, looked_at = wanted.after, 0
    guests: list[PlacedInstance] = []
    damaged: list[BadRecord] = []
    while True:
        page = await store.list_instances(wanted.host, wanted.project_id, after, _PAGE)
        damaged += page.damaged
        guests += [guest for guest in page if guest.uuid not in drifting.guests]
        looked_at += len(page)
        if len(guests) > limit:
            return Page(Listing(guests[:limit], damaged), guests[limit - 1].uuid)
        if len(page) < _PAGE:
            return Page(Listing(guests, damaged), None)
        after = page[-1].uuid
        if looked_at >= _MOST:
            return Page(Listing(guests, damaged), after)


async def list_drifted(store: Store, host: str | None = None) -> Listing[PlacedInstance]:
    """Every guest that drifts, or every one of one host, by UUID. Raises NotFound for the host."""
    if host is not None:
        async with store.snapshot() as snapshot:
            await check_host(snapshot, host)
    wanted = Wanted(drifted=True, host=host)
    return (await list_by_drift(store, Drifting(store), wanted, 2**31)).guests
