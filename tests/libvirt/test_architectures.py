"""libvirt takes guests of every architecture that domains are known for, with that one's QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from mdsvc.libvirt import domain_xml
from mdsvc.libvirt.machines import MACHINES
from mdsvc.topology import Arch, Host
from tests.libvirt.checks import CHECKS, parse
from tests.libvirt.daemon import Libvirtd
from tests.libvirt.guests import DEDICATED, MASK, MIXED, REALTIME, SHARED, Specs, host, placed
from tests.strategies import grid, host_of

TWO_NODES = {"hw:numa_nodes": 2}
HUGE = {"hw:mem_page_size": "2MB"}
GUESTS: dict[str, Specs] = {
    "no topology": SHARED,
    "shared": {**SHARED, "hw:numa_nodes": 1},
    "dedicated": DEDICATED,
    "mixed in huge pages": {**MIXED, **MASK, **HUGE},
    "realtime": {**DEDICATED, **REALTIME, "hw:emulator_threads_policy": "isolate"},
    "on two nodes": {**DEDICATED, **TWO_NODES, **HUGE},
    "with threads": {**DEDICATED, "hw:cpu_sockets": 1, "hw:cpu_cores": 4, "hw:cpu_threads": 2},
}


def on(arch: Arch) -> Host:
    return replace(host(), arch=arch)


def cases() -> list[tuple[Arch, str]]:
    return [
        (arch, name)
        for arch in MACHINES
        for name in GUESTS
        if on(arch).gives_nodes or name != "on two nodes"
    ]


@pytest.mark.parametrize(("arch", "name"), cases())
def test_libvirt_takes_it_and_says_the_same(
    arch: Arch, name: str, libvirtd: Libvirtd, tmp_path: Path
) -> None:
    """By QEMU alone, as KVM has one architecture only."""
    guest, file = placed(GUESTS[name]), tmp_path / "guest.xml"
    file.write_text(domain_xml(guest, on(arch), "qemu"))
    commands = [f"define --validate {file}", f"dumpxml {guest.uuid}"]
    xml = parse(libvirtd.ask(*commands, f"undefine --nvram {guest.uuid}"))
    (kind,) = xml.findall("os/type")
    assert kind.attrib["arch"] == arch
    assert MACHINES[arch].type.removesuffix("q35") in kind.attrib["machine"]
    for check in CHECKS.values():
        check(guest, on(arch), xml)


@pytest.mark.parametrize("arch", MACHINES)
def test_its_qemu_starts_it(arch: Arch, libvirtd: Libvirtd, tmp_path: Path) -> None:
    """With ten vCPUs: the interrupt controller that libvirt takes for ARM by itself has eight."""
    here = replace(host_of(grid(1, 1, shared=1)), arch=arch)
    guest = placed({}, here, flavor={"vcpus": 1, "memory_mb": 256})
    many = replace(guest, flavor=replace(guest.flavor, vcpus=10))
    file = tmp_path / "guest.xml"
    file.write_text(domain_xml(many, here, "qemu"))
    state = libvirtd.ask(
        f"create --paused --validate {file}", f"domstate {many.uuid}", f"destroy {many.uuid}"
    )
    assert "paused" in state
