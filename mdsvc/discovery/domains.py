"""A running guest's CPUs from what its domain says: `virsh dumpxml` → RunningGuest.

One function per element; libvirt's "Domain XML format" says what each means. A defined domain, the
status of a running one (``<domstatus>``, as libvirtd keeps it in /run/libvirt/qemu) and what Nova
writes (``metadata``) are all read. Each error is a BadInput that names the element.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from xml.etree.ElementTree import Element

from msgspec.structs import replace

from mdsvc.cpuset import EMPTY, CpuSet, union
from mdsvc.discovery import metadata
from mdsvc.discovery.markup import MAX_KB, attribute, document, in_kb, number, shown
from mdsvc.errors import BadInput
from mdsvc.names import canonical_uuid
from mdsvc.running import RunningCell, RunningGuest, RunningPort

_MAX_VCPUS, _MAX_IOTHREADS, _MAX_CELL = 4096, 1024, 65535


def guest_from_domain(xml: str | bytes) -> RunningGuest:
    """The guest that a domain's XML describes. Raises BadInput."""
    domain = _domain(document(xml, "`virsh dumpxml`"))
    vcpu = domain.find("vcpu")
    vcpus = 1 if vcpu is None else number(vcpu.text, "<vcpu>", _MAX_VCPUS)
    uuid = canonical_uuid((domain.findtext("uuid") or "").strip())
    told = metadata.of(domain)
    cells = domain.findall("cpu/numa/cell")
    return RunningGuest(
        uuid=uuid,
        name=told.name or _name(domain, uuid),
        vcpus=vcpus,
        memory_mb=_memory_mb(domain.find("memory"), "<memory>"),
        unplugged=_unplugged(domain, vcpus),
        pins=_pins(domain, vcpus),
        floats=None if vcpu is None else _cpus(vcpu, "cpuset", "<vcpu>"),
        emulator=_one_set(domain.find("cputune/emulatorpin"), "<emulatorpin>"),
        iothreads=_iothreads(domain),
        realtime=_realtime(domain),
        cells=tuple(_cell(domain, cell, at) for at, cell in enumerate(cells)),
        strict_nodes=_strict_nodes(domain.find("numatune/memory"), "<numatune><memory>"),
        pagesize_kb=_page_size(domain, None),
        flavor=told.flavor,
        image=told.image,
        project_id=told.project_id,
        ports=_ports(domain, told.ports),
    )


def _domain(root: Element) -> Element:
    domain = root.find("domain") if root.tag == "domstatus" else root
    if domain is None or domain.tag != "domain":
        raise BadInput(f"<{shown(root.tag)}>: expected <domain>, as `virsh dumpxml` prints it")
    return domain


def _name(domain: Element, uuid: str) -> str:
    """The domain's; where that is but its UUID, as in what mdsvc writes, its title."""
    name = (domain.findtext("name") or "").strip()
    if not name:
        raise BadInput("<domain>: expected <name> in it")
    title = (domain.findtext("title") or "").strip()
    return title if title and name == uuid else name


# ---- CPUs ----


def _unplugged(domain: Element, vcpus: int) -> CpuSet:
    """Those that ``<vcpus>`` says are not enabled; without it, those above ``current``."""
    listed = domain.findall("vcpus/vcpu")
    if listed:
        off = [vcpu for vcpu in listed if vcpu.get("enabled") == "no"]
        ids = [attribute(vcpu, "id", "<vcpus><vcpu>", _MAX_VCPUS) for vcpu in off]
        return CpuSet.of(ids) & CpuSet.first(vcpus)
    vcpu = domain.find("vcpu")
    if vcpu is None or vcpu.get("current") is None:
        return EMPTY
    current = attribute(vcpu, "current", "<vcpu>", _MAX_VCPUS)
    return CpuSet.first(vcpus) - CpuSet.first(current)


def _pins(domain: Element, vcpus: int) -> Mapping[int, CpuSet]:
    """Those of vCPUs that are there; a pin to nothing is none."""
    pins = {}
    for pin in domain.iterfind("cputune/vcpupin"):
        vcpu = attribute(pin, "vcpu", "<vcpupin>", _MAX_VCPUS)
        pcpus = _cpus(pin, "cpuset", f"<vcpupin vcpu='{vcpu}'>")
        if pcpus and vcpu < vcpus:
            pins[vcpu] = pcpus
    return dict(sorted(pins.items()))


def _iothreads(domain: Element) -> tuple[CpuSet | None, ...]:
    """Those that nothing pins float as the vCPUs do. One that is pinned is there."""
    count = domain.findtext("iothreads")
    ids = [attribute(e, "id", "<iothread>", 2**31) for e in domain.iterfind("iothreadids/iothread")]
    total = 0 if count is None else number(count, "<iothreads>", _MAX_IOTHREADS)
    spare = (at for at in range(1, total + len(ids) + 1) if at not in ids)
    pins = {
        attribute(pin, "iothread", "<iothreadpin>", 2**31): _one_set(pin, "<iothreadpin>")
        for pin in domain.iterfind("cputune/iothreadpin")
    }
    ids = [*ids, *islice(spare, max(0, total - len(ids)))]
    return tuple(pins.get(at) for at in sorted({*ids, *pins}))


def _realtime(domain: Element) -> CpuSet:
    real = ("fifo", "rr")
    runs = domain.iterfind("cputune/vcpusched")
    scheduled = [e for e in runs if e.get("scheduler") in real]
    return union(_cpus(e, "vcpus", "<vcpusched>") or EMPTY for e in scheduled)


def _one_set(element: Element | None, what: str) -> CpuSet | None:
    return None if element is None else _cpus(element, "cpuset", what)


def _cpus(element: Element, name: str, what: str) -> CpuSet | None:
    """A set in libvirt's grammar, which knows ``^N``; None where none is given, or an empty one."""
    text = element.get(name)
    try:
        return None if text is None else CpuSet.parse_spec(text) or None
    except ValueError as error:
        raise BadInput(f"{what} {name}: {error}") from None


# ---- memory ----


def _cell(domain: Element, cell: Element, at: int) -> RunningCell:
    """A guest NUMA node; without an id it is the next one."""
    own = at if cell.get("id") is None else attribute(cell, "id", "<cell>", _MAX_CELL)
    what = f"<numa><cell id='{own}'>"
    amount = attribute(cell, "memory", what, MAX_KB)
    node = domain.find(f"numatune/memnode[@cellid='{own}']")
    return RunningCell(
        id=own,
        vcpus=_cpus(cell, "cpus", what) or EMPTY,
        memory_mb=in_kb(amount, cell.get("unit"), f"{what} memory") // 1024,
        strict_nodes=_strict_nodes(
            domain.find("numatune/memory") if node is None else node, "<numatune>"
        ),
        pagesize_kb=_page_size(domain, own),
    )


def _strict_nodes(element: Element | None, what: str) -> CpuSet | None:
    """The host cells that alone may hold it; None where others may too."""
    if element is None or element.get("mode", "strict") != "strict":
        return None
    return _cpus(element, "nodeset", what)


def _page_size(domain: Element, cell: int | None) -> int | None:
    """In KiB, of a guest node's huge pages: those for it by name, or those for all."""
    pages = domain.find("memoryBacking/hugepages")
    if pages is None:
        return None
    for page in pages.iterfind("page"):
        nodes = _cpus(page, "nodeset", "<page>")
        if nodes is None or cell is None or cell in nodes:
            size = attribute(page, "size", "<page>", MAX_KB)
            return in_kb(size, page.get("unit"), "<page> size")
    return None if pages.find("page") is not None else 0


def _memory_mb(memory: Element | None, what: str) -> int:
    if memory is None:
        raise BadInput(f"<domain>: expected {what} in it")
    return in_kb(number(memory.text, what, MAX_KB), memory.get("unit"), what) // 1024


# ---- devices ----


def _ports(domain: Element, told: tuple[RunningPort, ...]) -> tuple[RunningPort, ...]:
    """The interfaces, with the addresses that Nova tells of them in the same order."""
    ports = tuple(map(_port, domain.iterfind("devices/interface")))
    if len(told) != len(ports):
        return ports
    return tuple(
        replace(port, ips=port.ips or more.ips) for port, more in zip(ports, told, strict=True)
    )


def _port(interface: Element) -> RunningPort:
    """With the address that a network filter lets it have, where one says so."""
    source, mac = interface.find("source"), interface.find("mac")
    ips = interface.iterfind("filterref/parameter[@name='IP']")
    return RunningPort(
        network=None if source is None else source.get("network") or source.get("bridge"),
        mac=None if mac is None else mac.get("address"),
        ips=tuple(value for ip in ips if (value := ip.get("value"))),
    )
