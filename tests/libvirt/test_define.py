"""A real libvirtd takes the domains that `mdsvc` writes, and gives back what they say."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.discovery.sysfs import local_host
from mdsvc.instance import PlacedInstance
from mdsvc.libvirt import VirtType, domain_xml
from mdsvc.topology import Host
from tests.libvirt.checks import CHECKS, parse
from tests.libvirt.daemon import Libvirtd
from tests.libvirt.guests import DEDICATED, KINDS, SHARED, guests, host, placed
from tests.strategies import grid, host_of

HOST = host()


def taken(guest: PlacedInstance, file: Path, on: Host = HOST, kind: VirtType = "qemu") -> list[str]:
    """The commands that define it, show it, and forget it again."""
    file.write_text(domain_xml(guest, on, kind))
    return [f"define --validate {file}", f"dumpxml {guest.uuid}", f"undefine {guest.uuid}"]


@pytest.mark.parametrize("kind", KINDS)
def test_libvirt_takes_every_combination_and_says_the_same(
    kind: str, libvirtd: Libvirtd, tmp_path: Path
) -> None:
    commands = [
        command
        for guest in guests(kind).values()
        for command in taken(guest, tmp_path / f"{guest.uuid}.xml")
    ]
    domains = parse(f"<all>{libvirtd.ask(*commands)}</all>")
    for xml, (words, guest) in zip(domains, guests(kind).items(), strict=True):
        for claim, check in CHECKS.items():
            try:
                check(guest, HOST, xml)
            except AssertionError as error:
                raise AssertionError(f"{words}: {claim}") from error
    assert libvirtd.ask("list --all --name").strip() == ""


def test_libvirt_takes_a_guest_of_each_type_that_it_has(libvirtd: Libvirtd, tmp_path: Path) -> None:
    """KVM is there on some machines only; QEMU alone on all."""
    types = {e.attrib["type"] for e in parse(libvirtd.ask("capabilities")).iter("domain")}
    assert "qemu" in types
    for kind in sorted(types & {"kvm", "qemu"}):
        for specs in (DEDICATED, SHARED):
            commands = taken(placed(specs), tmp_path / "guest.xml", kind=cast(VirtType, kind))
            assert parse(libvirtd.ask(*commands)).attrib["type"] == kind


@pytest.mark.parametrize("name", ["a<b&\"c'>]]>", "  ", "a\ufffe\uffff", "s\u00fcd/ost\U0001f600"])
def test_libvirt_takes_any_name(name: str, libvirtd: Libvirtd, tmp_path: Path) -> None:
    guest = placed(SHARED, name=name)
    xml = parse(libvirtd.ask(*taken(guest, tmp_path / "guest.xml")))
    assert xml.findtext("title") == name.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


def test_libvirt_takes_more_than_255_vcpus(libvirtd: Libvirtd, tmp_path: Path) -> None:
    on = host_of(grid(1, 256, shared=256))
    guest = placed({}, on, flavor={"vcpus": 256, "memory_mb": 1024})
    assert parse(libvirtd.ask(*taken(guest, tmp_path / "guest.xml", on))).findtext("vcpu") == "256"


def test_this_machine_is_the_same_by_libvirt_and_by_its_kernel(libvirtd: Libvirtd) -> None:
    by_libvirt = host_from_capabilities(libvirtd.ask("capabilities"), "h1").host
    by_kernel = local_host("h1").host
    assert by_libvirt.arch == by_kernel.arch
    assert [(c.id, c.socket, c.cores) for c in by_libvirt.cells] == [
        (c.id, c.socket, c.cores) for c in by_kernel.cells
    ]
    for one, other in zip(by_libvirt.cells, by_kernel.cells, strict=True):
        # a virtual machine can be given memory, and lose it, at any moment
        assert one.memory_mb == pytest.approx(other.memory_mb, rel=0.05)
        assert [p.size_kb for p in one.pages] == [p.size_kb for p in other.pages]
        assert one.pages[0].total == pytest.approx(other.pages[0].total, rel=0.05)
