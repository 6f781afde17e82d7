"""Every guest, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mdsvc.api.instances import Instances, list_instances
from mdsvc.api.pages import InstancesQuery
from mdsvc.api.route import Call
from mdsvc.control.reports import drifts
from mdsvc.instance import PlacedInstance
from mdsvc.reports.drift import Drift
from mdsvc.web.markup import Child, Html, foreign, h
from mdsvc.web.named import Named, named
from mdsvc.web.parts import (
    Column,
    address,
    count,
    guest_link,
    host_link,
    pages,
    search,
    table,
    unreadable,
)
from mdsvc.web.visit import Page, Visit

_COLUMNS = (
    Column("Guest"),
    Column("Project"),
    Column("Host"),
    Column("Policy"),
    Column("Dedicated vCPUs"),
    Column("Shared vCPUs"),
    Column("Generation", is_number=True),
    Column("Drift"),
)

_PATIENCE_SECONDS = 2.0
"""For how long it is waited until it is known who drifts; then the page says how long that takes,
and looks again by itself.
"""

_LABELS = {"q": "Name or UUID contains", "host": "Host", "project_id": "Project"}


class InstancesView(InstancesQuery, frozen=True):
    """The API's parameters, and ``q``: those that have it in their name or UUID."""

    q: str = ""


async def show_instances(visit: Visit) -> Page:
    """What `/instances` shows: the API's listing, with its parameters."""
    asked = visit.asks(InstancesView)
    listed = await _listed(visit, asked)
    drifting = await drifts(visit.store, listed.guests)
    query = {"q": asked.q, "host": asked.host or "", "project_id": asked.project_id or ""}
    rows = (_row(guest, drifting.get(guest.uuid, ())) for guest in listed.guests)
    limit = visit.query.get("limit", "")
    here = {**query, "drifted": asked.drifted, "limit": limit}
    first = address("/instances", **here) if asked.marker else None
    following = address("/instances", **here, marker=listed.next) if listed.next else None
    content = (
        h("h1", "Guests"),
        search("", "/instances", query, drifted=asked.drifted, limit=limit, labels=_LABELS),
        _other_drift({**query, "limit": limit}, asked.drifted),
        *unreadable(listed.unreadable),
        table(_caption(listed, asked), _COLUMNS, rows),
        *filter(None, [pages(first=first, next=following)]),
    )
    is_searched = bool(asked.q or asked.drifted)  # too much to be done for each change
    return Page(title="Guests", content=content, is_live=not is_searched)


async def _listed(visit: Visit, asked: InstancesView) -> Named:
    if asked.q.strip():
        return await named(visit.store, asked.q, asked)
    if asked.drifted:
        await visit.backend.drifting.look_within(_PATIENCE_SECONDS)
    call = Call(backend=visit.backend, path={}, query=asked, body=None, headers={})
    listed = (await list_instances(call)).body
    assert isinstance(listed, Instances)
    unread = [bad.detail for bad in listed.damaged or ()]
    return Named(listed.instances, listed.next, unread)


def _other_drift(query: Mapping[str, str], drifted: str) -> Html:
    """The way to those guests alone that drift, and back."""
    link = address("/instances", **query, drifted="" if drifted else "true")
    text = "All of them" if drifted else "Only those that drift from what they are told"
    return h("p", h("a", text, href=link))


def _caption(listed: Named, asked: InstancesView) -> str:
    """Where a search went on for too long, it says so: there may be more."""
    if listed.next and len(listed.guests) < asked.limit:
        return f"{count(len(listed.guests), 'guest')} so far; Next looks at the others"
    return (
        f"{count(len(listed.guests), 'guest')} on this page" if listed.guests else "No such guest"
    )


def _row(guest: PlacedInstance, drift: Sequence[Drift]) -> Sequence[Child]:
    layout = guest.layout
    return (
        [guest_link(guest.uuid, guest.name), h("code", guest.uuid, class_="under")],
        foreign(guest.project_id),
        host_link(guest.host),
        layout.cpu_policy,
        str(layout.dedicated_cpus) or "–",
        str(layout.shared_cpus) or "–" if layout.cells else "all",
        guest.generation,
        h("span", _reasons(drift), class_="drift") if drift else "–",
    )


def _reasons(drift: Sequence[Drift]) -> str:
    return "; ".join(reason.message for reason in drift)
