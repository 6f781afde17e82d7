"""One guest: where each of its vCPUs runs, what it is told, and what it has reported back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from mdsvc.amounts import moment
from mdsvc.control.hosts import get_host
from mdsvc.control.instances import get_instance
from mdsvc.control.reports import find_status
from mdsvc.control.user_data import find_lock
from mdsvc.forms import to_json
from mdsvc.guarding.tokens import SHUT_OUT
from mdsvc.instance import PlacedInstance
from mdsvc.layout import LayoutCell
from mdsvc.locking import UserDataLock, lock_text
from mdsvc.occupancy import guests_of
from mdsvc.reports.drift import GuestStatus
from mdsvc.topology import Host
from mdsvc.web.host_map import host_map
from mdsvc.web.markup import Child, Html, foreign, h
from mdsvc.web.parts import Column, address, count, facts, host_link, table
from mdsvc.web.visit import Page, Visit

_LONGEST_ADDRESS = 4000
"""Half of what a server reads as one line."""

_COLUMNS = (
    Column("vCPU", is_number=True),
    Column("Kind"),
    Column("NUMA node", is_number=True),
    Column("Host cell", is_number=True),
    Column("Runs on"),
)


_TOLD = (Column("What"), Column("It is told"), Column("It has reported"), Column("Agrees"))


async def show_instance(visit: Visit) -> Page:
    """What `/instances/UUID` shows."""
    guest = await get_instance(visit.store, visit.path["uuid"])
    host, instances = await get_host(visit.store, guest.host)
    status = await find_status(visit.store, guest)
    lock = await find_lock(visit.store, guest)
    content = (
        h("h1", "Guest ", foreign(guest.name)),
        h("p", "on ", host_link(guest.host), f" · {_summary(guest)}", class_="summary"),
        *_drift(status),
        h("h2", "vCPUs and where each runs"),
        *_drawn(guest, host, instances),
        table(count(guest.flavor.vcpus, "vCPU"), _COLUMNS, _vcpus(guest, host)),
        *_elsewhere(guest),
        h("h2", "What it is told, and what it has reported back"),
        _told(guest, status),
        h("h2", "What it is"),
        *_shut_out(guest, proxied=visit.backend.proxied),
        _described(guest, lock),
    )
    return Page(title=f"Guest {guest.name}", content=content)


def _summary(guest: PlacedInstance) -> str:
    flavor = guest.flavor
    size = f"{count(flavor.vcpus, 'vCPU')}, {flavor.memory_mb} MiB"
    return f"{size} · {guest.layout.cpu_policy} · generation {guest.generation}"


def _drift(status: GuestStatus | None) -> Sequence[Html]:
    if status is None or not status.drift:
        return ()
    reasons = "; ".join(reason.message for reason in status.drift)
    return (h("p", "It drifts from what it is told: ", foreign(reasons), ".", class_="warning"),)


def _drawn(guest: PlacedInstance, host: Host, on_it: Sequence[PlacedInstance]) -> Sequence[Html]:
    """Its pCPUs among those of the host; none where it floats over all shared ones."""
    if not guest.layout.cells:
        return ()
    return (host_map(host, guests_of(host, on_it), only=guest.uuid),)


def _vcpus(guest: PlacedInstance, host: Host) -> Iterator[Sequence[Child]]:
    if not guest.layout.cells:
        over = f"floats over pCPUs {host.cpu_shared_set}"
        yield from ((vcpu, "shared", "–", "–", over) for vcpu in range(guest.flavor.vcpus))
    for cell in guest.layout.cells:
        for vcpu in cell.cpuset | cell.pcpuset:
            kind = "dedicated" if vcpu in cell.pcpuset else "shared"
            realtime = ", realtime" if vcpu in guest.layout.realtime_cpus else ""
            where = _place(cell, vcpu, host)
            yield vcpu, f"{kind}{realtime}", cell.id, cell.host_cell, where


def _place(cell: LayoutCell, vcpu: int, host: Host) -> Child:
    pcpu = cell.cpu_pinning.get(vcpu)
    if pcpu is not None:
        return h("a", f"pCPU {pcpu}", href=f"/hosts/{quote(host.name, safe='')}#cpu-{pcpu}")
    there = host.by_id.get(cell.host_cell)
    return f"floats over pCPUs {host.shared(there)}" if there else "–"


def _elsewhere(guest: PlacedInstance) -> Sequence[Html]:
    """The way to what-if with its flavor and image, where an address can hold them."""
    texts = {"flavor": to_json(guest.flavor).decode(), "image": to_json(guest.image).decode()}
    link = address("/what-if", **texts)
    if len(link) > _LONGEST_ADDRESS:
        return ()
    return (
        h("p", h("a", "Where would another one like it go, and why not elsewhere?", href=link)),
    )


def _told(guest: PlacedInstance, status: GuestStatus | None) -> Html:
    """Both beside one another, and whether they agree."""
    layout = guest.layout
    dedicated = str(layout.dedicated_cpus) or "none"
    told = {
        "generation": guest.generation,
        "dedicated_cpus": dedicated,
        "isolated_cpus": dedicated,
        "shared_cpus": str(layout.shared_cpus) or ("none" if layout.cells else "all"),
        "realtime_cpus": str(layout.realtime_cpus) or "none",
        "state": "isolated" if layout.dedicated_cpus else "–",
    }
    caption = f"reported {moment(status.reported_at)}" if status else "nothing reported yet"
    return table(caption, _TOLD, [_compared(name, str(it), status) for name, it in told.items()])


def _compared(name: str, told: str, status: GuestStatus | None) -> Sequence[Child]:
    value = getattr(status, name, None)
    if value is None:
        return name, told, "–", ""
    reported = str(value) or "none"
    agrees = told in {reported, "–"}
    word = h("span", "the same", class_="good") if agrees else h("strong", "≠ not the same")
    return name, told, reported, word


def _shut_out(guest: PlacedInstance, *, proxied: bool) -> Sequence[Html]:
    if not proxied or guest.tokens != "required":
        return ()
    return (h("p", f"{SHUT_OUT}.", class_="warning"),)


def _described(guest: PlacedInstance, lock: UserDataLock) -> Html:
    flavor, layout = guest.flavor, guest.layout
    where = [f"{address.ip} on {address.network}" for address in guest.addresses]
    specs = [h("li", foreign(f"{key}={value}")) for key, value in flavor.extra_specs.items()]
    props = [h("li", foreign(f"{key}={value}")) for key, value in guest.image.properties.items()]
    emulator = f"{layout.emulator_threads_policy or 'no policy'}, on pCPUs {layout.emulator_cpus}"
    return facts(
        {
            "UUID": h("code", guest.uuid),
            "project": foreign(guest.project_id),
            "hostname": foreign(guest.hostname or "–"),
            "addresses": h("ul", [h("li", foreign(text)) for text in where]) if where else "–",
            "flavor": foreign(f"{flavor.name} ({flavor.vcpus} vCPUs, {flavor.memory_mb} MiB)"),
            "extra specs": h("ul", specs) if specs else "–",
            "image properties": h("ul", props) if props else "–",
            "CPU policy": layout.cpu_policy,
            "thread policy": layout.cpu_thread_policy or "–",
            "emulator threads": emulator if layout.cells else "–",
            "session tokens": guest.tokens or "as is set for all guests",
            "user data": "–" if guest.user_data is None else lock_text(lock),
        }
    )
