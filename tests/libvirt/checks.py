"""What is true of the domain of each guest, as `mdsvc` writes it and as libvirt gives it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

from mdsvc.cpuset import CpuSet
from mdsvc.instance import PlacedInstance
from mdsvc.topology import Host

Check = Callable[[PlacedInstance, Host, Element], None]


def parse(xml: str) -> Element:
    return ET.fromstring(xml)  # noqa: S314 - of the code under test, or of libvirt


def cpus(element: Element, name: str = "cpuset") -> set[int]:
    return set(CpuSet.parse(element.attrib[name]))


def pins(xml: Element) -> dict[int, set[int]]:
    """vCPU → the pCPUs it may use; none twice."""
    found = xml.findall("cputune/vcpupin")
    by_vcpu = {int(pin.attrib["vcpu"]): cpus(pin) for pin in found}
    assert len(by_vcpu) == len(found)
    return by_vcpu


def emulator_pin(xml: Element) -> set[int]:
    (pin,) = xml.findall("cputune/emulatorpin")
    return cpus(pin)


def mib(amount: str | None, unit: str) -> float:
    """libvirt gives in KiB what it took in MiB."""
    return int(amount or "0") / {"KiB": 1024, "MiB": 1}[unit]


def every_vcpu_has_one_pin(guest: PlacedInstance, on: Host, xml: Element) -> None:
    """A dedicated vCPU one pCPU that no other has; a shared one its cell's shared pCPUs."""
    found, layout = pins(xml), guest.layout
    assert xml.findtext("vcpu") == str(guest.flavor.vcpus)
    assert sorted(found) == list(range(guest.flavor.vcpus if layout.cells else 0))
    for cell in layout.cells:
        shared = set(on.by_id[cell.host_cell].cpus) & set(on.cpu_shared_set)
        assert all(found[vcpu] == shared for vcpu in cell.cpuset)
        assert all(found[vcpu] == {cell.cpu_pinning[vcpu]} for vcpu in cell.pcpuset)
    own = [pcpu for vcpu in layout.dedicated_cpus for pcpu in found[vcpu]]
    assert len(own) == len(set(own))
    assert set(own) <= set(on.cpu_dedicated_set)


def the_io_thread_is_where_the_emulator_threads_are(
    guest: PlacedInstance, on: Host, xml: Element
) -> None:
    """As in Nova 34; where nothing pins them, both float as the vCPUs do."""
    assert xml.findtext("iothreads") == "1"
    pinned = [cpus(pin) for pin in xml.findall("cputune/iothreadpin[@iothread='1']")]
    assert pinned == [cpus(pin) for pin in xml.findall("cputune/emulatorpin")]


def emulator_threads_are_where_their_policy_says(
    guest: PlacedInstance, on: Host, xml: Element
) -> None:
    """R11 a pCPU of their own, R12 the host's shared ones, R13 where the vCPUs are."""
    vcpus = set().union(*pins(xml).values())
    policy = guest.layout.emulator_threads_policy
    if policy == "isolate":
        assert len(emulator_pin(xml)) == 1
        assert emulator_pin(xml) <= set(on.cpu_dedicated_set) - vcpus
    elif policy == "share":
        assert emulator_pin(xml) == (set(on.cpu_shared_set) or vcpus)
    elif guest.layout.cells:
        assert emulator_pin(xml) == vcpus


def memory_is_that_of_the_cells(guest: PlacedInstance, on: Host, xml: Element) -> None:
    """Of each guest node: its vCPUs' pCPUs and its memory are on one and the same host node."""
    (memory,) = xml.findall("memory")
    assert mib(memory.text, memory.attrib["unit"]) == guest.flavor.memory_mb
    nodes = xml.findall("cpu/numa/cell")
    if not on.gives_nodes:
        assert (nodes, xml.findall("numatune/memnode")) == ([], [])
        host_nodes = [cell.host_cell for cell in guest.layout.cells]
        bound = [cpus(each, "nodeset") for each in xml.findall("numatune/memory[@mode='strict']")]
        assert bound == ([set(host_nodes)] if host_nodes else [])
        return
    amounts = [mib(node.attrib["memory"], node.attrib["unit"]) for node in nodes]
    assert amounts == [cell.memory_mb for cell in guest.layout.cells]
    binds = xml.findall("numatune/memnode[@mode='strict']")
    host_nodes = [int(bind.attrib["nodeset"]) for bind in binds]
    assert [int(b.attrib["cellid"]) for b in binds] == [int(n.attrib["id"]) for n in nodes]
    for node, cell, host_node in zip(nodes, guest.layout.cells, host_nodes, strict=True):
        assert cpus(node, "cpus") == {*cell.cpuset, *cell.pcpuset}
        used = set().union(*(pins(xml)[vcpu] for vcpu in cpus(node, "cpus")))
        assert used <= set(on.by_id[host_node].cpus)
    bound = [cpus(each, "nodeset") for each in xml.findall("numatune/memory[@mode='strict']")]
    assert bound == ([set(host_nodes)] if nodes else [])


def only_huge_pages_are_asked_for(guest: PlacedInstance, on: Host, xml: Element) -> None:
    """Base pages, of 64 KiB at most, are what a guest has without asking."""
    sizes = {cell.id: [p.size_kb for p in cell.pages if p.size_kb <= 64] for cell in on.cells}
    expected = {
        (cell.id, str(cell.pagesize_kb))
        for cell in guest.layout.cells
        if cell.pagesize_kb and cell.pagesize_kb > min([64, *sizes[cell.host_cell]])
    }
    pages = xml.findall("memoryBacking/hugepages/page[@unit='KiB']")
    if not on.gives_nodes:
        assert {page.attrib["size"] for page in pages} == {size for _, size in expected}
        shared = xml.find("memoryBacking/access[@mode='shared']") is not None
        assert (shared, len(pages)) == (bool(expected), bool(expected))
        return
    found = {(node, page.attrib["size"]) for page in pages for node in cpus(page, "nodeset")}
    assert found == expected
    mapped = xml.findall("cpu/numa/cell[@memAccess='shared']")
    assert {int(cell.attrib["id"]) for cell in mapped} == {cell for cell, _ in expected}


def realtime_vcpus_are_scheduled_so(guest: PlacedInstance, on: Host, xml: Element) -> None:
    """And no others; their memory stays. libvirt has one element for each run of vCPUs."""
    found = xml.findall("cputune/vcpusched[@scheduler='fifo'][@priority='1']")
    realtime = sorted(guest.layout.realtime_cpus)
    assert sorted(vcpu for each in found for vcpu in cpus(each, "vcpus")) == realtime
    stays = [xml.find(f"memoryBacking/{name}") is not None for name in ("nosharepages", "locked")]
    assert stays == [bool(realtime)] * 2


def threads_that_a_guest_sees_are_threads_of_its_host(
    guest: PlacedInstance, on: Host, xml: Element
) -> None:
    """And its sockets are its NUMA nodes, where flavor and image do not wish otherwise."""
    topology = xml.find("cpu/topology")
    if topology is None:
        return
    sockets, cores, threads = (int(topology.attrib[n]) for n in ("sockets", "cores", "threads"))
    assert sockets * cores * threads == guest.flavor.vcpus
    siblings = [set(core) for cell in on.cells for core in cell.cores]
    found, dedicated = pins(xml), set(guest.layout.dedicated_cpus)
    for first in range(0, guest.flavor.vcpus if threads > 1 else 0, threads):
        vcpus = range(first, first + threads)
        if dedicated & set(vcpus):
            core = set().union(*(found[vcpu] for vcpu in vcpus))
            assert len(core) == threads
            assert any(core <= each for each in siblings)
    if any(key.endswith(("_sockets", "_cores", "_threads")) for key in guest.flavor.extra_specs):
        return
    assert (threads > 1, sockets) == (True, len(guest.layout.cells))
    for at, node in enumerate(xml.findall("cpu/numa/cell")):
        size = cores * threads
        assert cpus(node, "cpus") == set(range(at * size, (at + 1) * size))


CHECKS: Mapping[str, Check] = {
    check.__name__: check
    for check in (
        every_vcpu_has_one_pin,
        the_io_thread_is_where_the_emulator_threads_are,
        emulator_threads_are_where_their_policy_says,
        memory_is_that_of_the_cells,
        only_huge_pages_are_asked_for,
        realtime_vcpus_are_scheduled_so,
        threads_that_a_guest_sees_are_threads_of_its_host,
    )
}
