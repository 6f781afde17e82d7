"""What guests report back, and which of them drift from what they are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from mdsvc.control.instances import get_instance
from mdsvc.control.known import check_host
from mdsvc.errors import NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.reports import Report, now_ms
from mdsvc.reports.drift import Drift, GuestStatus, Told, drift, guest_status
from mdsvc.store import Store
from mdsvc.store.listing import BadRecord, Listing

_PAGE = 500
"""Guests that are looked at together, where only those are wanted that drift."""

_FEW = 1000
"""So many guests that report are looked at one by one: nobody drifts who has not reported."""


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

    def is_of(self, guest: PlacedInstance) -> bool:
        """Whether its host and its project are those that are wanted."""
        return self.host in {None, guest.host} and self.project_id in {None, guest.project_id}


async def list_by_drift(store: Store, wanted: Wanted, limit: int) -> Listing[PlacedInstance]:
    """So many guests at most, by UUID."""
    if wanted.drifted:
        reports = await store.reports()
        if len(reports) <= _FEW:
            return await _drifted_of(store, reports, wanted, limit)
    return await _of_all(store, wanted, limit)


async def _drifted_of(
    store: Store, reports: Mapping[str, Report], wanted: Wanted, limit: int
) -> Listing[PlacedInstance]:
    now = now_ms()
    listed: list[PlacedInstance] = []
    damaged: list[BadRecord] = []
    for uuid in sorted(uuid for uuid in reports if uuid > (wanted.after or "")):
        try:
            guest = await store.get_instance(uuid)
        except BadRecord as bad:
            if wanted.host in {None, bad.host}:
                damaged.append(bad)
            continue
        if guest and wanted.is_of(guest) and drift(Told.of(guest), reports[uuid], now):
            listed.append(guest)
        if len(listed) == limit:
            break
    return Listing(listed, damaged)


async def _of_all(store: Store, wanted: Wanted, limit: int) -> Listing[PlacedInstance]:
    after = wanted.after
    listed: list[PlacedInstance] = []
    damaged: list[BadRecord] = []
    while len(listed) < limit:
        page = await store.list_instances(wanted.host, wanted.project_id, after, _PAGE)
        damaged += page.damaged
        drifting = await drifts(store, page)
        listed += [guest for guest in page if (guest.uuid in drifting) == wanted.drifted]
        if len(page) < _PAGE:
            break
        after = page[-1].uuid
    return Listing(listed[:limit], damaged)


async def list_drifted(store: Store, host: str | None = None) -> Listing[PlacedInstance]:
    """Every guest that drifts, or every one of one host, by UUID. Raises NotFound for the host."""
    if host is not None:
        async with store.snapshot() as snapshot:
            await check_host(snapshot, host)
    return await list_by_drift(store, Wanted(drifted=True, host=host), limit=2**31)
