"""What has changed lately, the last first."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.instance import PlacedInstance
from mdsvc.store import Store
from mdsvc.store.feed import Change, ChangePage
from mdsvc.web.markup import Child, h
from mdsvc.web.parts import Column, count, filter_box, guest_link, host_link, table
from mdsvc.web.visit import Page, Visit

_REVISIONS = 100
"""How far back it is looked, and how many changes are shown."""

_COLUMNS = (
    Column("Revision", is_number=True),
    Column("What"),
    Column("Which"),
    Column("Now"),
    Column("On"),
)


async def show_changes(visit: Visit) -> Page:
    """What `/changes` shows."""
    recent = await _recent(visit.store)
    changes = recent.changes[::-1][:_REVISIONS]
    caption = f"{count(len(changes), 'change')}, the last first" if changes else "No change yet"
    lost = "What changed before the last moment cannot be told: the store is another one."
    about = "Each thing once, as it is since its last change; what was removed is told too."
    content = (
        h("h1", "Recent changes"),
        h("p", lost if recent.reset else about, class_="summary"),
        filter_box("changes"),
        table(caption, _COLUMNS, await _rows(visit.store, changes)),
    )
    return Page(title="Recent changes", content=content)


async def _recent(store: Store) -> ChangePage:
    """The changes of the last revisions: of fewer, where these have more than can be shown."""
    now = await store.position()
    revisions = min(_REVISIONS, now)
    page = await store.changes(now - revisions)
    while page.position < now and not page.reset and revisions > 1:
        revisions //= 2
        page = await store.changes(now - revisions)
    changes = list(page.changes)
    while page.position < now and not page.reset:
        page = await store.changes(page.position)
        changes += page.changes
    return ChangePage(page.position, changes, page.reset)


async def _rows(store: Store, changes: Sequence[Change]) -> Sequence[Sequence[Child]]:
    """Each change, of a guest that is there with its name and host."""
    async with store.snapshot() as snapshot:
        keys = [change.key for change in changes if change.kind == "instance"]
        guests = {key: await snapshot.get_instance(key) for key in dict.fromkeys(keys)}
    return [_row(change, guests.get(change.key)) for change in changes]


def _row(change: Change, guest: PlacedInstance | None) -> Sequence[Child]:
    if change.kind == "host":
        now = "removed" if change.deleted else "changed"
        return change.revision, "host", host_link(change.key), now, ""
    if guest is None or change.deleted:
        return change.revision, "guest", guest_link(change.key, change.key), "removed", ""
    link = [guest_link(guest.uuid, guest.name), h("code", guest.uuid, class_="under")]
    return change.revision, "guest", link, _generation(change), host_link(guest.host)


def _generation(change: Change) -> str:
    return "placed" if change.generation == 1 else f"changed, generation {change.generation}"
