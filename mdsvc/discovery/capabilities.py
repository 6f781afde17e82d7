"""What libvirt tells of a host: the XML that ``virsh capabilities`` prints → Discovered.

One function per element. CPU numbers are host CPUs. Memory is read in whatever unit the XML names
(libvirt itself writes KiB) and kept in MiB, rounded down. Each error is a BadInput that names the
element and says what was expected there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from xml.etree.ElementTree import Element

from mdsvc.cpuset import EMPTY, MAX_CPU, CpuSet
from mdsvc.discovery import Cores, Discovered, Machine, arch_of, cores_of, discovered
from mdsvc.discovery.markup import MAX_KB, attribute, document, in_kb, number, shown
from mdsvc.errors import BadInput
from mdsvc.topology import Arch, HostCell, PagePool

_MAX_CELL, _MAX_PAGES = 65535, 2**40


def host_from_capabilities(
    xml: str | bytes, name: str, shared: CpuSet | None = None, dedicated: CpuSet | None = None
) -> Discovered:
    """The host that a ``<capabilities>`` document describes, or its ``<host>`` or ``<topology>``.

    ``shared`` and ``dedicated`` become ``cpu_shared_set`` and ``cpu_dedicated_set``; without
    either every CPU is shared, as in Nova. Offline CPUs are left out. Raises BadInput.
    """
    root = document(xml, "`virsh capabilities`")
    machine = _machine(_topology_of(root), _l3_of(root))._replace(arch=_arch_of(root))
    return discovered(name, machine, shared, dedicated)


# ---- the document ----


def _topology_of(root: Element) -> Element:
    """The host's ``<topology>``. That of the ``<cpu>``, which has no cells, is another."""
    paths = {"capabilities": "host/topology", "host": "topology", "topology": "."}
    if root.tag not in paths:
        raise BadInput(f"<{shown(root.tag)}>: expected <capabilities>, or its <host>, as the root")
    topology = root.find(paths[root.tag])
    if topology is None:
        raise BadInput(f"<{root.tag}>: expected a host with <topology> in it")
    return topology


def _arch_of(root: Element) -> Arch:
    """The host's architecture; x86_64 where a part of the document was given that has none."""
    path = "host/cpu/arch" if root.tag == "capabilities" else "cpu/arch"
    arch = root.findtext(path)
    return "x86_64" if arch is None else arch_of(arch.strip(), "<cpu><arch>")


def _l3_of(root: Element) -> list[CpuSet]:
    """The CPUs of each L3 cache, wherever they are; none where libvirt tells of no caches."""
    path = "host/cache" if root.tag == "capabilities" else "cache"
    return [_bank(bank) for bank in root.iterfind(f"{path}/bank[@level='3'][@type='both']")]


def _bank(bank: Element) -> CpuSet:
    try:
        return CpuSet.parse(bank.get("cpus", ""))
    except ValueError as error:
        raise BadInput(f"<bank id='{shown(bank.get('id'))}'> cpus: {error}") from None


# ---- its elements ----


def _machine(topology: Element, caches: Sequence[CpuSet]) -> Machine:
    """libvirt names an offline CPU by its id alone; very old ones do so with every CPU."""
    cells = topology.findall("cells/cell")
    if not cells:
        raise BadInput("<topology>: expected <cells> with at least one <cell>")
    knows_threads = topology.find("cells/cell/cpus/cpu[@siblings]") is not None
    known = list(map(_cpus, cells))
    threads = [
        {at: cpu for at, cpu in cpus.items() if not knows_threads or "siblings" in cpu.attrib}
        for cpus in known
    ]
    nearest = _nearest(threads)
    named = {
        cpu: _named(threads[at][cpu], f"{_place(cells[at])}<cpu id='{cpu}'>")
        for at, cpus in enumerate(nearest)
        for cpu in cpus
    }
    online = CpuSet.of(named)
    cores = cores_of(named, nearest, online)
    offline = CpuSet.of(cpu for cpus in known for cpu in cpus) - online
    return Machine(tuple(map(_cell, cells, threads, nearest, cores)), caches, offline)


def _cpus(cell: Element) -> dict[int, Element]:
    where = f"{_place(cell)}<cpu>"
    return {attribute(cpu, "id", where, MAX_CPU): cpu for cpu in cell.findall("cpus/cpu")}


def _named(cpu: Element, where: str) -> CpuSet:
    """The threads that a CPU names as its core's."""
    try:
        return CpuSet.parse(cpu.get("siblings", ""))
    except ValueError as error:
        raise BadInput(f"{where} siblings: {error}") from None


def _nearest(cells: Sequence[Iterable[int]]) -> list[CpuSet]:
    """Each CPU in one cell only: the smallest that names it, and of equal ones the first.

    Where cells lie within one another, a CPU is near to the memory of each.
    """
    nearest, taken = [CpuSet.of(cpus) for cpus in cells], EMPTY
    for at in sorted(range(len(nearest)), key=lambda at: len(nearest[at])):
        nearest[at] -= taken
        taken |= nearest[at]
    return nearest


def _place(cell: Element) -> str:
    return f"<cell id='{attribute(cell, 'id', '<cell>', _MAX_CELL)}'>"


def _cell(cell: Element, threads: Mapping[int, Element], cpus: CpuSet, cores: Cores) -> HostCell:
    where = _place(cell)
    pages = [_pages(element, where) for element in cell.findall("pages")]
    try:
        return HostCell(
            id=int(cell.attrib["id"]),
            socket=_socket([threads[cpu] for cpu in cpus]),
            memory_mb=_memory(cell.find("memory"), pages, where) // 1024,
            cpus=cpus,
            siblings=cores.siblings,
            split=cores.split,
            pages=tuple(pages),
        )
    except ValueError as error:
        raise BadInput(f"{where} {error}") from None


def _memory(memory: Element | None, pages: Sequence[PagePool], where: str) -> int:
    """A cell's memory, in KiB: that of its pages, where they alone are told."""
    if memory is None:
        return sum(pool.total * pool.size_kb for pool in pages)
    what = f"{where}<memory>"
    return in_kb(number(memory.text, what, MAX_KB), memory.get("unit"), what)


def _pages(pages: Element, where: str) -> PagePool:
    """The pages of one size. A pool of none stays: it says which size is the smallest."""
    what = f"{where}<pages>"
    size_kb = in_kb(attribute(pages, "size", what, MAX_KB), pages.get("unit"), f"{what} size")
    if not size_kb:
        raise BadInput(f"{what} size: expected 1 KiB or more")
    return PagePool(size_kb=size_kb, total=number(pages.text, what, _MAX_PAGES))


def _socket(threads: Sequence[Element]) -> int | None:
    """The socket of a cell; None where libvirt tells none, no sensible one, or several."""
    sockets = {cpu.get("socket_id", "") for cpu in threads}
    only = sockets.pop() if len(sockets) == 1 else ""
    return int(only) if re.fullmatch("[0-9]{1,5}", only) and int(only) <= _MAX_CELL else None
