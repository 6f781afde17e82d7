"""Guests by a part of their name or UUID: looked for page by page, for no longer than a moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

import msgspec

from mdsvc.api.pages import InstancesQuery
from mdsvc.control.reports import drifts
from mdsvc.instance import PlacedInstance
from mdsvc.store import Store

_PAGE = 500
SECONDS = 1.0
"""For how long it is looked; then whoever looks may go on."""


class Named(msgspec.Struct, frozen=True):
    """Those that were found, by UUID; after ``next`` it goes on, None where all were looked at."""

    guests: Sequence[PlacedInstance]
    next: str | None
    unreadable: Sequence[str] = ()


async def named(
    store: Store, text: str, asked: InstancesQuery, clock: Callable[[], float] = monotonic
) -> Named:
    """Those of the guests asked for that have the text in their name or UUID, in any case."""
    until = clock() + SECONDS
    wanted = text.strip().lower()
    after = asked.marker and asked.marker.lower()
    found: list[PlacedInstance] = []
    unread: list[str] = []
    while True:
        page = await store.list_instances(asked.host, asked.project_id, after, _PAGE)
        unread += map(str, page.damaged)
        matching = [guest for guest in page if wanted in f"{guest.name}\n{guest.uuid}".lower()]
        found += await _by_drift(store, matching, asked.drifted)
        if len(found) > asked.limit:
            return Named(found[: asked.limit], found[asked.limit - 1].uuid, unread)
        if len(page) < _PAGE:
            return Named(found, None, unread)
        after = page[-1].uuid
        if clock() >= until:
            return Named(found, after, unread)


async def _by_drift(
    store: Store, guests: Sequence[PlacedInstance], drifted: str
) -> Sequence[PlacedInstance]:
    if not drifted:
        return guests
    drifting = await drifts(store, guests)
    return [guest for guest in guests if (guest.uuid in drifting) == (drifted == "true")]
