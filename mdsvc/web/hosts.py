"""Every host and how full it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from mdsvc.amounts import memory, of
from mdsvc.forms import Form
from mdsvc.topology import MIXED_SERVICE_VERSION
from mdsvc.web.markup import Child, Html, h
from mdsvc.web.parts import Column, address, bar, count, host_link, pages, search, table, unreadable
from mdsvc.web.rows import HostRow, Rows, Sort, sorted_rows
from mdsvc.web.visit import Page, Visit

_PAGE = 100
_NAMED = 10
"""Of the hosts that hold something up, how many are named."""

_COLUMNS: Sequence[tuple[str, str]] = (
    ("Host", "name"),
    ("Dedicated pCPUs pinned", "pinned"),
    ("Free", "free"),
    ("Shared vCPUs", "shared"),
    ("Memory", "memory"),
    ("State", "state"),
)


class HostsView(Form, frozen=True):
    """Which hosts: those with ``q`` in their names; which page of them, from 1."""

    q: str = ""
    sort: Sort = "name"
    page: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1


async def show_hosts(rows: Rows, visit: Visit) -> Page:
    """What `/` shows."""
    asked = visit.asks(HostsView)
    every = await rows.read()
    wanted = asked.q.strip().lower()
    matching = [row for row in every if wanted in row.name.lower()]
    start = (asked.page - 1) * _PAGE
    on_page = sorted_rows(matching, asked.sort)[start : start + _PAGE]
    more = _at(asked, asked.page + 1) if start + _PAGE < len(matching) else None
    content = (
        h("h1", "Hosts"),
        _summary(every),
        *_held_back(every),
        *unreadable(rows.unreadable),
        search("Name contains", "/", {"q": asked.q}, is_instant=True, sort=asked.sort),
        table(_caption(matching, start, on_page), _columns(asked), map(_row, on_page)),
        *filter(None, [pages(previous=_at(asked, asked.page - 1), next=more)]),
    )
    return Page(title="Hosts", content=content)


def _at(asked: HostsView, page: int) -> str | None:
    return address("/", q=asked.q, sort=asked.sort, page=page) if page else None


def _caption(matching: Sequence[HostRow], start: int, on_page: Sequence[HostRow]) -> str:
    if not on_page:
        return "No such host"
    if len(on_page) == len(matching):
        return count(len(matching), "host")
    return f"Hosts {start + 1} to {start + len(on_page)} of {len(matching)}"


def _summary(rows: Sequence[HostRow]) -> Html:
    free, dedicated = sum(row.free for row in rows), sum(row.dedicated for row in rows)
    draining = sum(row.draining for row in rows)
    parts = [count(len(rows), "host"), f"{of(free, dedicated)} dedicated pCPUs free"]
    to_them = h("a", f"{draining} draining", href=address("/", sort="-state"))
    return h("p", " · ".join(parts), [" · ", to_them] if draining else None, class_="summary")


def _held_back(rows: Sequence[HostRow]) -> Sequence[Html]:
    """R17: who is in the way of mixed guests."""
    old = [row for row in rows if not row.knows_mixed]
    if not old:
        return ()
    names: list[Child] = []
    for row in old[:_NAMED]:
        names += [", " if names else "", host_link(row.name), f" ({row.service_version})"]
    more = f" and {len(old) - _NAMED} more" if len(old) > _NAMED else ""
    expected = f"expected service version {MIXED_SERVICE_VERSION} or later of every host"
    text = f"Mixed guests are refused: {expected}, but not yet: "
    return (h("p", text, names, more, class_="warning"),)


def _columns(asked: HostsView) -> Sequence[Column]:
    return [_column(name, key, asked) for name, key in _COLUMNS]


def _column(name: str, key: str, asked: HostsView) -> Column:
    """Its link sorts by it; by what is greatest first, but for names, and then the other way."""
    first, then = (key, f"-{key}") if key == "name" else (f"-{key}", key)
    link = address("/", q=asked.q, sort=then if asked.sort == first else first)
    ways = {key: "ascending", f"-{key}": "descending"}
    return Column(name, key == "free", link, ways.get(asked.sort))


def _row(row: HostRow) -> Sequence[Child]:
    pinned = row.dedicated - row.free
    return (
        host_link(row.name),
        bar(pinned, row.dedicated, of(pinned, row.dedicated)),
        row.free,
        bar(row.shared_used, row.shared_limit, of(row.shared_used, row.shared_limit)),
        bar(row.memory_used_mb, row.memory_mb, memory(row.memory_used_mb, row.memory_mb)),
        ", ".join(_states(row)) or "–",
    )


def _states(row: HostRow) -> Sequence[str]:
    draining = ["draining"] if row.draining else []
    return [*draining, *([] if row.knows_mixed else ["holds mixed guests back"])]
