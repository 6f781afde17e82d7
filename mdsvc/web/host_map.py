"""A host's cells, L3 domains, cores and threads; each pCPU a tile that says whose it is.

A guest is a letter, as in the terminal; patterns tell the kinds, and colour only repeats both. Each
tile can be reached by keyboard and has a name for who does not see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def host_map(host: Host, guests: Sequence[Guest]) -> Html:
    """The whole drawing, and its legend."""
    uses = uses_of(host, guests)
    cells = [_cell(host, cell, uses) for cell in host.cells]
    return h("div", h("div", cells, class_="map", data_map=True), legend())


def legend() -> Html:
    """What the signs mean."""
    items = [
        h("li", h("span", sign, class_=f"cpu {kind} g0", aria_hidden="true"), h("span", meaning))
        for kind, sign, meaning in _LEGEND
    ]
    return h("ul", items, class_="legend", aria_label="Legend")


def chip(guest: Guest) -> Html:
    """A guest's letter in its colour."""
    return h("span", guest.tag, class_=f"chip {_colour(guest)}")


def _colour(guest: Guest) -> str:
    return f"g{guest.number % COLOURS}"


def _cell(host: Host, cell: HostCell, uses: Mapping[int, Use]) -> Html:
    where = f"socket {cell.socket}" if cell.cpus else "memory only"
    l3 = cell.l3_cores if cell.l3 else (cell.core_masks,)
    drawn = [
        _domain(host, cell, [CpuSet(mask) for mask in cores], f"L3 domain {at}", uses)
        for at, cores in enumerate(l3)
    ]
    domains = h("div", drawn, class_="domains")
    heading = f"cell-{cell.id}"
    title = h("h3", f"Cell {cell.id}", h("small", f" {where}"), id=heading)
    return h("section", title, _gauges(host, cell), domains, aria_labelledby=heading, class_="cell")


def _domain(
    host: Host, cell: HostCell, cores: Sequence[CpuSet], name: str, uses: Mapping[int, Use]
) -> Html:
    tiles = [
        h("div", [_tile(host, cell, cpu, uses[cpu]) for cpu in core], class_="core")
        for core in cores
    ]
    drawn = h("div", tiles, class_="cores")
    if not cell.l3:
        return drawn
    return h("div", h("p", name), drawn, role="group", aria_label=name, class_="domain")


def _tile(host: Host, cell: HostCell, cpu: int, use: Use) -> Html:
    split = ", its core reaches into another cell" if cpu in cell.split else ""
    name = f"pCPU {cpu}, {_meaning(host, cell, use)}{split}"
    inside = (h("small", cpu), h("b", _sign(use)))
    colour = f" {_colour(use.guest)}" if use.guest else ""
    kind, number = f"cpu {use.kind}{colour}", f"cpu-{cpu}"
    if use.guest:
        where = f"/instances/{quote(use.guest.instance.uuid, safe='')}"
        return h("a", inside, href=where, class_=kind, id=number, aria_label=name, title=name)
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
