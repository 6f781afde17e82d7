"""One host: whose each of its pCPUs is, and its guests."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.amounts import dedicated_free, memory, memory_used, of
from mdsvc.control.hosts import get_host
from mdsvc.cpuset import CpuSet, union
from mdsvc.occupancy import Guest, guests_of
from mdsvc.topology import Host
from mdsvc.web.host_map import chip, host_map
from mdsvc.web.markup import Child, Html, foreign, h
from mdsvc.web.parts import Column, count, facts, filter_box, guest_link, table, unreadable
from mdsvc.web.visit import Page, Visit

_COLUMNS = (
    Column("Guest"),
    Column("Policy"),
    Column("Dedicated vCPUs", is_number=True),
    Column("Shared vCPUs", is_number=True),
    Column("pCPUs of its own"),
    Column("Memory", is_number=True),
    Column("Generation", is_number=True),
)


async def show_host(visit: Visit) -> Page:
    """What `/hosts/NAME` shows."""
    host, instances = await get_host(visit.store, visit.path["name"])
    guests = guests_of(host, instances)
    content = (
        h("h1", "Host ", foreign(host.name)),
        h("p", _summary(host), class_="summary"),
        *_states(host, guests),
        *unreadable(str(bad) for bad in instances.damaged),
        h("h2", "Whose each pCPU is"),
        host_map(host, guests),
        h("h2", "Guests"),
        filter_box("guests"),
        table(count(len(guests), "guest"), _COLUMNS, map(_row, guests)),
        h("h2", "Settings"),
        _settings(host),
    )
    return Page(title=f"Host {host.name}", content=content)


def _summary(host: Host) -> str:
    free = of(dedicated_free(host), len(host.cpu_dedicated_set))
    return f"{free} dedicated pCPUs free · {memory(memory_used(host), host.memory_mb)}"


def _states(host: Host, guests: Sequence[Guest]) -> Sequence[Html]:
    """What stands in the way of guests, and what to do about it."""
    told: list[Sequence[Child]] = []
    if host.draining:
        command = f"mdsvc host drain {host.name}"
        text = f"Draining: it takes no new guests; left to move: {len(guests)}. "
        told.append((text, h("code", f"{command} --move"), " or ", h("code", f"{command} --undo")))
    if not host.knows_mixed:
        version = host.service_version
        told.append(
            (
                f"It holds mixed guests back everywhere: its service version is {version}. "
                "Where it is newer by now, describe it so: ",
                h("code", "mdsvc host add FILE --replace"),
            )
        )
    return [h("p", text, class_="warning") for text in told]


def _row(guest: Guest) -> Sequence[Child]:
    instance = guest.instance
    layout = instance.layout
    own = union(cell.pcpus for cell in layout.cells)
    floating = len(layout.shared_cpus) if layout.cells else instance.flavor.vcpus
    return (
        [chip(guest), " ", guest_link(instance.uuid, instance.name)],
        layout.cpu_policy,
        len(layout.dedicated_cpus),
        floating,
        _cpus(own),
        f"{instance.flavor.memory_mb} MiB",
        instance.generation,
    )


def _settings(host: Host) -> Html:
    floating = f"{host.floating_vcpus} vCPUs, {host.floating_memory_mb} MiB"
    return facts(
        {
            "architecture": host.arch,
            "service version": host.service_version,
            "cpu_shared_set": _cpus(host.cpu_shared_set),
            "cpu_dedicated_set": _cpus(host.cpu_dedicated_set),
            "cpu_allocation_ratio": f"{host.cpu_allocation_ratio:g}",
            "ram_allocation_ratio": f"{host.ram_allocation_ratio:g}",
            "packing": host.packing,
            "guests without NUMA": floating,
        }
    )


def _cpus(cpus: CpuSet) -> str:
    return str(cpus) or "–"
