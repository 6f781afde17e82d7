"""libvirt and the kernel tell the same of a machine, as far as they can: both make one host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from mdsvc.discovery import Discovered
from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.discovery.sysfs import Kernel, local_host
from mdsvc.errors import BadInput
from mdsvc.topology import Host
from tests.machines.capabilities import capabilities
from tests.machines.facts import Machine
from tests.machines.known import MACHINES
from tests.machines.sysfs import plant

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024

NESTED = {name for name in MACHINES if name.startswith("nested-")}
"""Difference: a CPU is in two cells. libvirt may tell so, and the kernel never does."""

OTHER_PAGES = {name for name, machine in MACHINES.items() if machine.page_kb != PAGE_KB}
"""Difference: sysfs does not tell how large a base page is. It is asked of the running kernel."""

NO_PAGES = {name for name, machine in MACHINES.items() if "pages" in machine.untold}
"""Difference: libvirt tells no pages where it is old, or where the kernel knows no nodes."""


def told_by_libvirt(machine: Machine) -> Discovered:
    return host_from_capabilities(capabilities(machine), "h1")


def told_by_kernel(machine: Machine, root: Path) -> Discovered:
    plant(machine, root)
    kernel = Kernel(root / "sys", root / "proc/meminfo", machine.arch)
    return local_host("h1", kernel=kernel)


def by_libvirt(machine: Machine) -> Host:
    return told_by_libvirt(machine).host


def by_kernel(machine: Machine, root: Path) -> Host:
    return told_by_kernel(machine, root).host


def without_pages(host: Host, *sizes: int) -> Host:
    """The host without its pools of these sizes, or without any."""
    cells = [
        replace(cell, pages=tuple(p for p in cell.pages if sizes and p.size_kb not in sizes))
        for cell in host.cells
    ]
    return replace(host, cells=tuple(cells))


@pytest.mark.parametrize("name", sorted(MACHINES.keys() - NESTED - OTHER_PAGES - NO_PAGES))
def test_both_tell_the_same_host(tmp_path: Path, name: str) -> None:
    assert by_kernel(MACHINES[name], tmp_path) == by_libvirt(MACHINES[name])


@pytest.mark.parametrize("name", sorted(OTHER_PAGES - NO_PAGES))
def test_both_tell_the_same_but_for_the_size_of_base_pages(tmp_path: Path, name: str) -> None:
    hosts = by_kernel(MACHINES[name], tmp_path), by_libvirt(MACHINES[name])
    sizes = [host.cells[0].pages[0].size_kb for host in hosts]
    assert sizes == [PAGE_KB, MACHINES[name].page_kb]
    kernel, libvirt = (without_pages(host, *sizes) for host in hosts)
    assert kernel == libvirt


@pytest.mark.parametrize("name", sorted(NO_PAGES))
def test_both_tell_the_same_but_for_pages_that_libvirt_leaves_out(
    tmp_path: Path, name: str
) -> None:
    kernel, libvirt = by_kernel(MACHINES[name], tmp_path), by_libvirt(MACHINES[name])
    assert without_pages(kernel) == libvirt
    assert kernel != libvirt


@pytest.mark.parametrize("name", sorted(NESTED))
def test_a_cpu_in_two_cells_is_told_by_libvirt_alone(tmp_path: Path, name: str) -> None:
    assert len(by_libvirt(MACHINES[name]).cpus) == 20
    with pytest.raises(BadInput, match="cells: cpus: expected no CPU twice"):
        by_kernel(MACHINES[name], tmp_path)


NOTES = {
    "guest-crossing-2n-8": [
        f"cell {cell}: the cores of CPUs {cpus} reach into another cell, "
        "so these are single threads, and none for `isolate`"
        for cell, cpus in enumerate(("0-3", "4-7"))
    ],
    "guest-cut-1n-8": [
        "cell 0 is taken without its L3 caches: expected whole cores, but 0-4 has a part of one"
    ],
}


@pytest.mark.parametrize("name", sorted(MACHINES.keys() - NESTED))
def test_both_say_what_is_odd_of_the_odd_machines_and_nothing_of_others(
    tmp_path: Path, name: str
) -> None:
    expected = NOTES.get(name, [])
    assert told_by_libvirt(MACHINES[name]).notes == expected
    assert told_by_kernel(MACHINES[name], tmp_path).notes == expected


@pytest.mark.parametrize("name", MACHINES)
def test_the_facts_are_those_that_the_name_says(name: str) -> None:
    *_, cells, online = name.split("-")
    machine = MACHINES[name]
    assert (cells, online) == (f"{len(machine.cells)}n", f"{len(machine.online)}")
    assert all(cell.base_kb >= 0 for cell in machine.cells)
    assert all(cpu.number in cpu.siblings for cpu in machine.running())
