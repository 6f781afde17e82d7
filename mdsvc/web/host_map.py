"""A host's cells, L3 domains, cores and threads; each pCPU a tile that says whose it is.

A guest is a letter, as in the terminal; patterns tell the kinds, and colour only repeats both. Each
tile can be reached by keyboard and has a name for who does not see it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import quote

from mdsvc.amounts import memory, of, page_size, shared_limit
from mdsvc.cpuset import CpuSet
from mdsvc.occupancy import Guest, Kind, Use, uses_of
from mdsvc.topology import Host, HostCell
from mdsvc.web.markup import Child, Html, h
from mdsvc.web.parts import bar, facts

COLOURS = 12
"""Of guests, as the style has them."""

_LEGEND: Sequence[tuple[Kind, str, str]] = (
    ("pinned", "A3", "pinned to A's vCPU 3"),
    ("emulator", "Ae", "reserved for A's emulator threads"),
    ("idle", "A·", "idle: kept free for A (isolate)"),
    ("free", ".", "free to dedicate"),
    ("shared", "~", "shared: vCPUs float over it"),
    ("outside", " ", "not for guests"),
    ("unknown", "?", "taken, not by these guests"),
    ("twice", "!", "given to two guests"),
)

_SIGNS: Mapping[Kind, str] = {kind: sign for kind, sign, _ in _LEGEND[3:]}


class _Map(NamedTuple):
    """What a map is drawn of. ``only`` is the UUID of the guest that it is about, if it is."""

    host: Host
    uses: Mapping[int, Use]
    only: str | None


def host_map(host: Host, guests: Sequence[Guest], only: str | None = None) -> Html:
    """The whole drawing, and its legend with how many there are. With ``only`` all that is not that
    guest's stands back.
    """
    uses = uses_of(host, guests)
    drawn = _Map(host, uses, only)
    kind = "map of-one" if only else "map"
    cells = h("div", [_cell(drawn, cell) for cell in host.cells], class_=kind, data_map=True)
    return h("div", cells, _legend(Counter(use.kind for use in uses.values())))


def _legend(counts: Mapping[Kind, int]) -> Html:
    """What the signs mean that are there."""
    items = [
        h(
            "li",
            h("span", sign, class_=f"cpu {kind} g0", aria_hidden="true"),
            h("span", meaning),
            " ",
            h("b", counts[kind]),
        )
        for kind, sign, meaning in _LEGEND
        if counts.get(kind)
    ]
    return h("ul", items, class_="legend", aria_label="pCPUs by what they are used for")


def chip(guest: Guest) -> Html:
    """A guest's letter in its colour."""
    return h("span", guest.tag, class_=f"chip {_colour(guest)}")


def _colour(guest: Guest) -> str:
    return f"g{guest.number % COLOURS}"


def _cell(drawn_of: _Map, cell: HostCell) -> Html:
    where = f"socket {cell.socket}" if cell.cpus else "memory only"
    l3 = cell.l3_cores if cell.l3 else (cell.core_masks,)
    drawn = [
        _domain(drawn_of, cell, [CpuSet(mask) for mask in cores], f"L3 domain {at}")
        for at, cores in enumerate(l3)
    ]
    domains = h("div", drawn, class_="domains")
    heading = f"cell-{cell.id}"
    title = h("h3", f"Cell {cell.id}", h("small", f" {where}"), id=heading)
    gauges = _gauges(drawn_of.host, cell)
    return h("section", title, gauges, domains, aria_labelledby=heading, class_="cell")


def _domain(drawn_of: _Map, cell: HostCell, cores: Sequence[CpuSet], name: str) -> Html:
    tiles = [
        h("div", [_tile(drawn_of, cell, cpu) for cpu in core], class_="core") for core in cores
    ]
    drawn = h("div", tiles, class_="cores")
    if not cell.l3:
        return drawn
    return h("div", h("p", name), drawn, role="group", aria_label=name, class_="domain")


def _tile(drawn_of: _Map, cell: HostCell, cpu: int) -> Html:
    use = drawn_of.uses[cpu]
    split = ", its core reaches into another cell" if cpu in cell.split else ""
    name = f"pCPU {cpu}, {_meaning(drawn_of.host, cell, use)}{split}"
    inside = (h("small", cpu), h("b", _sign(use)))
    colour = f" {_colour(use.guest)}" if use.guest else ""
    uuid = use.guest.instance.uuid if use.guest else None
    its = " its" if uuid and uuid == drawn_of.only else ""
    kind, number = f"cpu {use.kind}{colour}{its}", f"cpu-{cpu}"
    if use.guest and not its:
        where = f"/instances/{quote(use.guest.instance.uuid, safe='')}"
        return h(
            "a",
            inside,
            href=where,
            class_=kind,
            id=number,
            aria_label=name,
            title=name,
            data_guest=use.guest.tag,
        )
    tile: dict[str, str] = {"class_": kind, "id": number, "aria_label": name, "title": name}
    return h("span", inside, tabindex="0", role="img", **tile)


def _sign(use: Use) -> str:
    if use.guest is None:
        return _SIGNS[use.kind]
    ends: Mapping[Kind, str] = {"pinned": str(use.vcpu), "emulator": "e", "idle": "·"}
    return f"{use.guest.tag}{ends[use.kind]}"


def _meaning(host: Host, cell: HostCell, use: Use) -> str:
    name = use.guest.instance.name if use.guest else ""
    meanings: Mapping[Kind, str] = {
        "pinned": f"pinned: vCPU {use.vcpu} of {name}",
        "emulator": f"reserved for the emulator threads of {name}",
        "idle": f"idle: kept free for {name} (isolate)",
        "free": "free to dedicate",
        "shared": f"shared: {of(cell.shared_used, shared_limit(host, [cell]))} vCPUs on the cell",
        "outside": "not for guests",
        "unknown": "taken, not by these guests",
        "twice": "given to two guests",
    }
    return meanings[use.kind]


def _gauges(host: Host, cell: HostCell) -> Html:
    base = cell.base
    used_mb, total_mb = base.used_kb // 1024, base.capacity_kb // 1024
    gauges: dict[str, Child] = {}
    if dedicated := len(host.dedicated(cell)):
        pinned = dedicated - len(host.free(cell))
        gauges["pinned"] = bar(pinned, dedicated, of(pinned, dedicated))
    if limit := shared_limit(host, [cell]):
        gauges["shared"] = bar(cell.shared_used, limit, f"{of(cell.shared_used, limit)} vCPUs")
    gauges["memory"] = bar(used_mb, total_mb, memory(used_mb, total_mb))
    for pool in sorted(cell.pages, key=lambda pool: pool.size_kb):
        if pool.size_kb != base.size_kb and pool.total:
            gauges[page_size(pool.size_kb)] = bar(pool.used, pool.total, of(pool.used, pool.total))
    return facts(gauges)
