"""A placed guest as a libvirt domain (R11-R13, R18): what `virsh define` takes. Pure.

One function per element; libvirt's "Domain XML format" says what each means. `<cputune>`,
`<numatune>` and `<memoryBacking>` keep the guest where its layout says that it is; a guest without
a NUMA topology floats over the host's ``cpu_shared_set``. ``machines`` has what depends on the
host's architecture. Disks, network interfaces and the path
of the emulator are left to libvirt and its operator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element, SubElement

from mdsvc.cpuset import CpuSet
from mdsvc.instance import PlacedInstance
from mdsvc.layout import Layout
from mdsvc.libvirt.guest_cpu import cpu, is_huge
from mdsvc.libvirt.machines import VirtType, machine_of
from mdsvc.topology import Host

REALTIME_PRIORITY = 1
"""Of SCHED_FIFO, as in Nova: the lowest is above all that is not realtime."""


def domain_xml(
    guest: PlacedInstance, host: Host, kind: VirtType = "kvm", only: str | None = None
) -> str:
    """The guest on its host, as indented ASCII text that ends in a newline.

    ``only`` names one element of PARTS; the text is empty where the guest needs no such element.
    Raises Refused where no domain is known for the host's architecture.
    """
    element = PARTS[only](guest, host, kind) if only else _domain(guest, host, kind)
    if element is None:
        return ""
    ET.indent(element)
    return f"{ET.tostring(element, encoding='us-ascii').decode()}\n"


# ---- the domain ----


def _domain(guest: PlacedInstance, host: Host, kind: VirtType) -> Element:
    """libvirt wants a name that is unique and can be a file's, so it is the UUID. The guest's own
    is the title: `virsh list --title`.
    """
    domain = Element("domain", type=kind)
    SubElement(domain, "name").text = guest.uuid
    SubElement(domain, "uuid").text = guest.uuid
    SubElement(domain, "title").text = re.sub("[\ufffe\uffff]", "\ufffd", guest.name)
    SubElement(domain, "memory", unit="MiB").text = str(guest.flavor.memory_mb)
    parts = [part(guest, host, kind) for part in PARTS.values()]
    domain.extend([part for part in parts if part is not None])
    iommu = machine_of(host).iommu if guest.flavor.vcpus > _MAX_WITHOUT_IOMMU else None
    clock = Element("clock", offset="utc")
    system = (*_sysinfo(host), _os(host), *_features(host, kind, iommu))
    domain.extend((*system, clock, _devices(iommu)))
    return domain


_MAX_WITHOUT_IOMMU = 255
"""More vCPUs have numbers that interrupts reach only through an IOMMU's tables."""


def _os(host: Host) -> Element:
    machine = machine_of(host)
    system = Element("os", {"firmware": machine.firmware} if machine.firmware else {})
    SubElement(system, "type", arch=host.arch, machine=machine.type).text = "hvm"
    SubElement(system, "boot", dev="hd")
    if machine.dmi:
        SubElement(system, "smbios", mode="sysinfo")
    return system


_DMI = {"manufacturer": "OpenStack Foundation", "product": "OpenStack Nova"}
"""As in Nova. By nothing else do cloud-init on x86 and systemd-imdsd know whom to ask."""


def _sysinfo(host: Host) -> Sequence[Element]:
    """What the guest's DMI says that it is."""
    if not machine_of(host).dmi:
        return []
    info = Element("sysinfo", type="smbios")
    system = SubElement(info, "system")
    for name, value in _DMI.items():
        SubElement(system, "entry", name=name).text = value
    return [info]


def _features(host: Host, kind: VirtType, iommu: str | None) -> Sequence[Element]:
    """With KVM the GIC is the host's; the one that libvirt takes without it has only 8 vCPUs."""
    features = Element("features")
    for name in machine_of(host).features:
        version = {"version": "3"} if (name, kind) == ("gic", "qemu") else {}
        SubElement(features, name, version)
    if iommu:
        SubElement(features, "ioapic", driver="qemu")
    return [features] if len(features) else []


def _devices(iommu: str | None) -> Element:
    """A serial console; without it nobody could look into the guest."""
    devices = Element("devices")
    SubElement(SubElement(devices, "serial", type="pty"), "target", port="0")
    SubElement(SubElement(devices, "console", type="pty"), "target", type="serial", port="0")
    if iommu:
        SubElement(SubElement(devices, "iommu", model=iommu), "driver", intremap="on", eim="on")
    return devices


# ---- memory ----


def _memory_backing(guest: PlacedInstance, host: Host, _kind: VirtType) -> Element | None:
    """Huge pages; and for realtime guests memory that is neither swapped nor merged."""
    backing = Element("memoryBacking")
    huge = [cell for cell in guest.layout.cells if is_huge(cell, host)]
    if huge:
        pages = SubElement(backing, "hugepages")
        for cell in huge if host.gives_nodes else huge[:1]:
            node = {"nodeset": str(cell.id)} if host.gives_nodes else {}
            SubElement(pages, "page", {"size": str(cell.pagesize_kb), "unit": "KiB"} | node)
        if not host.gives_nodes:
            SubElement(backing, "access", mode="shared")  # what a node's memAccess says elsewhere
    if guest.layout.realtime_cpus:
        SubElement(backing, "nosharepages")
        SubElement(backing, "locked")
    return backing if len(backing) else None


def _numatune(guest: PlacedInstance, host: Host, _kind: VirtType) -> Element | None:
    """Each guest cell has its memory from its host cell, and never from another one."""
    cells = guest.layout.cells
    if not cells:
        return None
    tune = Element("numatune")
    nodes = ",".join(map(str, sorted(cell.host_cell for cell in cells)))
    SubElement(tune, "memory", mode="strict", nodeset=nodes)
    for cell in cells if host.gives_nodes else ():
        SubElement(tune, "memnode", cellid=str(cell.id), mode="strict", nodeset=str(cell.host_cell))
    return tune


# ---- CPUs ----


def _vcpu(guest: PlacedInstance, host: Host, _kind: VirtType) -> Element:
    vcpu = Element("vcpu", placement="static")
    if not guest.layout.cells:
        vcpu.set("cpuset", str(host.cpu_shared_set))
    vcpu.text = str(guest.flavor.vcpus)
    return vcpu


def _iothreads(_guest: PlacedInstance, _host: Host, _kind: VirtType) -> Element:
    """One, as in Nova, for the disks that its operator gives to it."""
    iothreads = Element("iothreads")
    iothreads.text = "1"
    return iothreads


def _cputune(guest: PlacedInstance, host: Host, _kind: VirtType) -> Element | None:
    """The pCPUs of every vCPU, of the emulator threads and, with these, of the I/O thread; and
    which vCPUs are realtime.
    """
    tune = Element("cputune")
    pins = _pins(guest.layout, host)
    for vcpu in sorted(pins):
        SubElement(tune, "vcpupin", vcpu=str(vcpu), cpuset=str(pins[vcpu]))
    emulator = _emulator(guest.layout, host)
    if emulator:
        SubElement(tune, "emulatorpin", cpuset=str(emulator))
        SubElement(tune, "iothreadpin", iothread="1", cpuset=str(emulator))
    realtime = str(guest.layout.realtime_cpus)
    if realtime:
        SubElement(
            tune, "vcpusched", vcpus=realtime, scheduler="fifo", priority=str(REALTIME_PRIORITY)
        )
    return tune if len(tune) else None


def _pins(layout: Layout, host: Host) -> dict[int, CpuSet]:
    """A dedicated vCPU has its pCPU alone; a shared one floats over its cell's shared pCPUs."""
    pins = {}
    for cell in layout.cells:
        pins.update(dict.fromkeys(cell.cpuset, host.shared(host.by_id[cell.host_cell])))
        pins.update((vcpu, CpuSet.of([pcpu])) for vcpu, pcpu in cell.cpu_pinning.items())
    return pins


def _emulator(layout: Layout, host: Host) -> CpuSet:
    """Empty where nothing is to be said: such threads float as the vCPUs of their guest do."""
    if layout.emulator_threads_policy == "share" and not layout.cells:
        return host.cpu_shared_set
    return layout.emulator_cpus


PARTS: Mapping[str, Callable[[PlacedInstance, Host, VirtType], Element | None]] = {
    "memoryBacking": _memory_backing,
    "vcpu": _vcpu,
    "iothreads": _iothreads,
    "cputune": _cputune,
    "numatune": _numatune,
    "cpu": cpu,
}
"""The elements that placing a guest decides, by their names."""
