"""What people read: hosts, guests and layouts as tables for rich to print.

Each function returns a renderable and prints nothing. CPU sets are in the kernel's list form.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from mdsvc.amounts import (
    dedicated_free,
    memory,
    memory_used,
    moment,
    of,
    page_size,
    shared_limit,
    shared_used,
)
from mdsvc.bearer import Listed
from mdsvc.cpuset import CpuSet
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout, LayoutCell
from mdsvc.terminal.words import Printable, plain
from mdsvc.topology import MIXED_SERVICE_VERSION, Host, HostCell


def hosts_table(hosts: Sequence[Host]) -> Printable:
    """One line a host: how much there is, and how much of it is in use."""
    if not hosts:
        return Printable("no hosts; `mdsvc host add FILE` registers one")
    states = {host.name: ", ".join(_states(host)) for host in hosts}
    has_state = ["state!"] if any(states.values()) else []
    names = ("host", ">cells", ">dedicated free", ">shared used", ">memory used", ">service")
    table = columns(*names, *has_state)
    for host in hosts:
        table.add_row(
            plain(host.name, "bold"),
            str(len(host.cells)),
            of(dedicated_free(host), len(host.cpu_dedicated_set)),
            of(shared_used(host), shared_limit(host, host.cells)),
            memory(memory_used(host), host.memory_mb),
            f"v{host.service_version}",
            *[states[host.name] for _ in has_state],
        )
    return Printable(table, *_held_back(hosts))


def _states(host: Host) -> Iterable[str]:
    if host.draining:
        yield "draining"
    if not host.knows_mixed:
        yield "holds mixed guests back"


def _held_back(hosts: Sequence[Host]) -> Sequence[RenderableType]:
    """R17, in words: which hosts are in the way of mixed guests, and what they lack."""
    old = [f"{host.name} ({host.service_version})" for host in hosts if not host.knows_mixed]
    if not old:
        return ()
    expected = f"expected service version {MIXED_SERVICE_VERSION} or later of every host"
    return "", plain(f"mixed guests are refused: {expected}, but not yet: {', '.join(old)}")


def host_detail(host: Host) -> Printable:
    """One host: its settings, then a line for each of its cells."""
    knows = "knows mixed guests" if host.knows_mixed else "from before mixed guests"
    described = {
        "host": host.name,
        "arch": host.arch,
        "service_version": f"{host.service_version}, {knows}",
        "cpu_shared_set": _cpus(host.cpu_shared_set),
        "cpu_dedicated_set": _cpus(host.cpu_dedicated_set),
        "cpu_allocation_ratio": f"{host.cpu_allocation_ratio:g}",
        "ram_allocation_ratio": f"{host.ram_allocation_ratio:g}",
        "packing": host.packing,
        **({"draining": "yes, it takes no new guests"} if host.draining else {}),
        "guests without NUMA": f"{host.floating_vcpus} vCPUs, {host.floating_memory_mb} MiB",
    }
    table = columns(">cell", ">socket", "pCPUs", "cores", "free", ">shared!", ">memory!", ">pages!")
    for cell in host.cells:
        table.add_row(
            str(cell.id),
            str(cell.socket),
            _cpus(cell.cpus),
            _cores(cell),
            _cpus(host.free(cell)),
            of(cell.shared_used, shared_limit(host, [cell])),
            memory(cell.base.used_kb // 1024, cell.base.capacity_kb // 1024),
            _pages(cell),
        )
    return Printable(facts(described), "", table)


def tokens_table(tokens: Sequence[Listed]) -> Printable:
    """One line a token."""
    if not tokens:
        return Printable("no tokens; `mdsvc token create NAME` makes one")
    table = columns("token", "may", "created", "last used")
    for token in tokens:
        may = "read" if token.read_only else "change everything"
        used = "never" if token.used_at is None else moment(token.used_at)
        table.add_row(plain(token.name, "bold"), may, moment(token.created_at), used)
    return Printable(table)


def left_to_move(host: Host, guests: Sequence[PlacedInstance]) -> Sequence[RenderableType]:
    """Which guests a draining host still has; nothing for others."""
    if not host.draining:
        return ()
    if not guests:
        return "", plain("nothing is left to move: no guest is on it, and it takes no new ones")
    left = f"left to move: {len(guests)}; `mdsvc host drain {host.name} --move` moves what fits"
    return "", plain(f"{left} elsewhere"), instances_table(guests)


def instances_table(instances: Sequence[PlacedInstance]) -> Printable:
    """One line a guest, or two where the console is narrow."""
    if not instances:
        return Printable("no guests; `mdsvc instance create FILE` places one")
    names = ("uuid!", "name", "project", "host", "policy!", "dedicated_cpus", "shared_cpus")
    wide = columns(*names)
    narrow = columns("name\nuuid!", "host\nproject", "policy!", "dedicated_cpus\nshared_cpus")
    for guest in instances:
        name, project = plain(guest.name, "bold"), plain(guest.project_id)
        host, policy = plain(guest.host), guest.layout.cpu_policy
        dedicated, shared = _cpus(guest.layout.dedicated_cpus), _cpus(guest.layout.shared_cpus)
        wide.add_row(guest.uuid, name, project, host, policy, dedicated, shared)
        guest_lines = Text("\n").join([name, Text(guest.uuid)])
        host_lines = Text("\n").join([host, project])
        narrow.add_row(guest_lines, host_lines, policy, f"{dedicated}\n{shared}")
    return Printable(_Either(wide, narrow))


def instance_detail(instance: PlacedInstance) -> Printable:
    """One guest: what it is, and where."""
    flavor = instance.flavor
    described = {
        "instance": instance.name,
        "uuid": instance.uuid,
        "project": instance.project_id,
        "hostname": instance.hostname or "-",
        "addresses": ", ".join(f"{a.ip} on {a.network}" for a in instance.addresses) or "-",
        "flavor": f"{flavor.name} ({flavor.vcpus} vCPUs, {flavor.memory_mb} MiB)".lstrip(),
        "host": instance.host,
        "generation": str(instance.generation),
        "session tokens": _TOKENS.get(instance.tokens, instance.tokens or ""),
    }
    return Printable(facts(described), layout_table(instance.layout))


_TOKENS = {
    None: "as is set for all guests",
    "required": "required, which behind Neutron's agent shuts it out",
}


def layout_table(layout: Layout) -> Printable:
    """A layout: its policies and sets, then a line for each guest cell."""
    policies = {
        "cpu_policy": layout.cpu_policy,
        "cpu_thread_policy": layout.cpu_thread_policy or "-",
        "emulator_threads_policy": layout.emulator_threads_policy or "-",
    }
    if not layout.cells:
        return Printable(facts({**policies, "cells": "none, floats over the host's shared CPUs"}))
    sets = {
        "emulator_cpus": f"{_cpus(layout.emulator_cpus)} of the host",
        "dedicated_cpus": _cpus(layout.dedicated_cpus),
        "shared_cpus": _cpus(layout.shared_cpus),
        "realtime_cpus": _cpus(layout.realtime_cpus),
    }
    table = columns(
        ">cell", ">host cell", "vCPU→pCPU", "shared vCPUs", "emulator pCPU", ">memory!", ">pages!"
    )
    for cell in layout.cells:
        table.add_row(*_layout_row(cell))
    return Printable(facts({**policies, **sets}), "", table)


def _layout_row(cell: LayoutCell) -> Iterable[str]:
    yield str(cell.id)
    yield str(cell.host_cell)
    yield " ".join(f"{vcpu}→{pcpu}" for vcpu, pcpu in cell.cpu_pinning.items()) or "-"
    yield _cpus(cell.cpuset)
    yield _cpus(cell.cpuset_reserved)
    yield f"{cell.memory_mb} MiB"
    yield page_size(cell.pagesize_kb) if cell.pagesize_kb else "-"


# ---- pieces ----


class _Either:
    """The first table where the console is wide enough for it, else the second."""

    def __init__(self, wide: Table, narrow: Table) -> None:
        self.wide, self.narrow = wide, narrow

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        roomy = options.update(max_width=10_000)
        needed = Measurement.get(console, roomy, self.wide).maximum
        yield self.wide if needed <= options.max_width else self.narrow


def _cpus(cpus: CpuSet) -> str:
    return str(cpus) or "-"


def _cores(cell: HostCell) -> str:
    threads = max(map(len, cell.cores), default=0)
    cores = f"{len(cell.cores)} × {threads}" if threads > 1 else str(len(cell.cores))
    return f"{cores}, {len(cell.split)} split" if cell.split else cores


def _pages(cell: HostCell) -> str:
    """The huge pages; what is in other ones is the memory that is told beside them."""
    huge = (p for p in cell.pages if p.size_kb != cell.base.size_kb and (p.used or p.total))
    return "\n".join(f"{page_size(p.size_kb)}: {of(p.used, p.total)}" for p in huge) or "-"


def facts(by_name: Mapping[str, str]) -> Table:
    """One line for each fact."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", min_width=len("emulator_threads_policy"))
    table.add_column(overflow="fold")
    for name, value in by_name.items():
        table.add_row(name, plain(value))
    return table


def columns(*names: str) -> Table:
    """An empty table: ``>NAME`` is set to the right, the lines of ``NAME!`` are kept whole."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, pad_edge=False)
    for name in names:
        table.add_column(
            name.strip(">!"),
            justify="right" if name.startswith(">") else "left",
            overflow="fold",
            no_wrap=name.endswith("!"),
        )
    return table
