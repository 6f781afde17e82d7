"""The libvirt domain of a guest says just what its layout says, for every policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from msgspec.structs import replace

from mdsvc.errors import DoesNotFit, Refused
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.layout import fit
from mdsvc.libvirt import PARTS, VirtType, domain_xml
from mdsvc.libvirt.machines import MACHINES
from mdsvc.topology import Arch, Host, PagePool
from tests.cli import values
from tests.cli.command import Done, Mdsvc
from tests.libvirt.checks import CHECKS, emulator_pin, parse, pins
from tests.libvirt.guests import DEDICATED, KINDS, MASK, MIXED, SHARED, guests, host, placed
from tests.reference.generate import Case
from tests.strategies import QUICK, UUID, all_cases, grid, host_of, request_of

DATA = Path(__file__).parent / "data"
HOST = host()
VIRT_TYPES: tuple[VirtType, ...] = ("kvm", "qemu")
EMULATOR = "hw:emulator_threads_policy"
REALTIME = {"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0-3"}


def domain(guest: PlacedInstance, on: Host = HOST) -> Element:
    return parse(domain_xml(guest, on))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("check", CHECKS)
def test_of_every_combination(kind: str, check: str) -> None:
    for words, guest in guests(kind).items():
        try:
            CHECKS[check](guest, HOST, domain(guest))
        except AssertionError as error:
            raise AssertionError(words) from error


@QUICK
@given(case=all_cases())
def test_all_of_it_holds_on_any_host(case: Case) -> None:
    on, wanted = host_of(case[0]), request_of(case[1], case[2])
    form = {"uuid": UUID, "project_id": "p1", "name": "n", "flavor": case[1]}
    try:
        guest = place_instance(from_builtins(form, Instance), on.name, fit(on, wanted))
    except DoesNotFit:
        return
    for check in CHECKS.values():
        check(guest, on, domain(guest, on))


def test_pages_are_named_by_the_guest_s_node_and_judged_by_the_host_s_cell() -> None:
    """Here the host cell has another number, and smaller pages than the first one."""
    on = host_of(grid(2, 8))
    pages = [PagePool(size_kb=size, total=8192) for size in (2048, 4)]
    first, second = on.cells
    cells = (replace(first, pages=(pages[0],)), replace(second, id=7, pages=tuple(pages)))
    on = replace(on, cells=cells, cpu_dedicated_set=second.cpus)
    xml = domain(placed({**DEDICATED, "hw:mem_page_size": "2MB"}, on), on)
    (page,) = xml.findall("memoryBacking/hugepages/page")
    (node,) = xml.findall("numatune/memnode")
    assert page.attrib == {"size": "2048", "unit": "KiB", "nodeset": "0"}
    assert node.attrib == {"cellid": "0", "mode": "strict", "nodeset": "7"}


# What the host's cells list, in KiB; what the guest asks for; and whether these are huge pages.
PAGE_SIZES = {
    "huge alone": ((2048,), "2MB", True),
    "two huge ones alone": ((1048576, 2048), "large", True),
    "base and huge": ((4, 2048), "2MB", True),
    "base, of two": ((4, 2048), "small", False),
    "large base alone": ((64,), "small", False),
    "large base and huge": ((64, 2048), "64", False),
    "huge beside large base": ((64, 2048), "2MB", True),
    "64 KiB, where base is smaller": ((4, 64, 2048), "64", True),
    "any, of huge alone": ((2048,), "any", True),
}


@pytest.mark.parametrize(("sizes", "size", "huge"), PAGE_SIZES.values(), ids=PAGE_SIZES)
def test_huge_pages_that_are_booked_are_asked_for(
    sizes: Sequence[int], size: str, huge: bool
) -> None:
    on = host_of(grid(2, 8))
    pools = tuple(PagePool(size_kb=size, total=2**24 // len(sizes) // size) for size in sizes)
    on = replace(on, cells=tuple(replace(cell, pages=pools) for cell in on.cells))
    guest = placed({**DEDICATED, "hw:mem_page_size": size}, on)
    xml = domain(guest, on)
    (cell,) = guest.layout.cells
    expected = [{"size": str(cell.pagesize_kb), "unit": "KiB", "nodeset": "0"}]
    pages = [page.attrib for page in xml.findall("memoryBacking/hugepages/page")]
    assert pages == (expected if huge else [])
    assert (xml.find("cpu/numa/cell[@memAccess='shared']") is not None) is huge


def test_only_the_cells_that_have_huge_pages_ask_for_them() -> None:
    """`any` takes huge pages in one cell, and base pages where the other has no more."""
    on = host_of(grid(2, 8))
    first, second = on.cells
    base, huge = PagePool(size_kb=4, total=2**20), PagePool(size_kb=2048, total=1024)
    cells = (replace(first, pages=(base, huge)), replace(second, pages=(base,)))
    on = replace(on, cells=cells)
    guest = placed({**DEDICATED, "hw:numa_nodes": 2, "hw:mem_page_size": "any"}, on)
    node = {cell.pagesize_kb: cell.id for cell in guest.layout.cells}
    (page,) = domain(guest, on).findall("memoryBacking/hugepages/page")
    assert page.attrib == {"size": "2048", "unit": "KiB", "nodeset": str(node[2048])}


# ---- the architecture ----


def test_a_domain_for_an_architecture_that_none_is_known_for_is_refused() -> None:
    on = replace(HOST, arch="ia64")
    message = r"^host h1: arch ia64: domains are known for x86_64, aarch64, ppc64, ppc64le, s390x"
    with pytest.raises(Refused, match=message):
        domain_xml(placed(SHARED), on)


@pytest.mark.parametrize("arch", MACHINES)
def test_each_has_its_machine_and_only_its_features(arch: Arch) -> None:
    on = replace(HOST, arch=arch)
    found = {
        kind: (
            [each.tag + each.get("version", "") for each in xml.findall("features/*")],
            [each.get("mode") for each in xml.findall("cpu")],
        )
        for kind in VIRT_TYPES
        for xml in [parse(domain_xml(placed(SHARED), on, kind))]
    }
    assert found == {
        "x86_64": {"kvm": (["acpi", "apic"], ["host-model"]), "qemu": (["acpi", "apic"], [])},
        "aarch64": {
            "kvm": (["acpi", "gic"], ["host-passthrough"]),
            "qemu": (["acpi", "gic3"], ["maximum"]),
        },
    }.get(arch, {"kvm": ([], ["host-model"]), "qemu": ([], [])})


REALTIME_ON_CORES = {
    **DEDICATED,
    **REALTIME,
    "hw:cpu_thread_policy": "require",
    EMULATOR: "share",
}
PAGES = {**MIXED, **MASK, "hw:mem_page_size": "2MB"}
GOLDEN: Mapping[str, tuple[Arch, Mapping[str, object]]] = {
    "mixed": ("x86_64", {**PAGES, "hw:numa_nodes": 2, EMULATOR: "isolate"}),
    "realtime": ("x86_64", REALTIME_ON_CORES),
    "aarch64": ("aarch64", {**PAGES, "hw:numa_nodes": 2}),
    "ppc64le": ("ppc64le", {**DEDICATED, "hw:numa_nodes": 2}),
    "s390x": ("s390x", PAGES),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_text_is_as_agreed(name: str) -> None:
    arch, specs = GOLDEN[name]
    on = replace(HOST, arch=arch)
    assert domain_xml(placed(specs), on) == (DATA / f"domain.{name}.xml").read_text()


# ---- guests without a NUMA topology ----


@pytest.mark.parametrize("specs", [SHARED, {}])
def test_without_a_topology_all_floats_over_the_shared_cpus(specs: Mapping[str, object]) -> None:
    xml = domain(placed(specs))
    assert xml.find("vcpu[@cpuset='0-3,16-19,32-35,48-51']") is not None
    assert [xml.find(name) for name in ("cputune", "numatune", "memoryBacking", "cpu/numa")] == (
        [None] * 4
    )


def test_without_a_topology_emulator_threads_are_pinned_where_they_are_to_be_shared() -> None:
    xml = domain(placed({EMULATOR: "share"}))
    assert emulator_pin(xml) == set(HOST.cpu_shared_set)
    assert pins(xml) == {}


def test_with_a_topology_the_pins_alone_say_where_vcpus_run() -> None:
    assert domain(placed(DEDICATED)).find("vcpu[@cpuset]") is None


# ---- emulator threads ----


def test_without_shared_cpus_shared_emulator_threads_are_where_the_guest_is() -> None:
    on = host_of(grid(1, 8, 2))
    xml = domain(placed({**DEDICATED, EMULATOR: "share"}, on), on)
    assert emulator_pin(xml) == set().union(*pins(xml).values()) == set(range(8))


# ---- the rest ----


@pytest.mark.parametrize("name", ["a<b&\"c'>]]>", "  ", "süd/ost\U0001f600", "x" * 255])
def test_any_name_is_the_title_and_never_the_name(name: str) -> None:
    guest = placed(SHARED, name=name)
    text = domain_xml(guest, HOST)
    xml = parse(text)
    assert text.isascii()
    assert [xml.findtext(tag) for tag in ("title", "name", "uuid")] == [name, *[guest.uuid] * 2]


@pytest.mark.parametrize("arch", MACHINES)
def test_its_dmi_says_whom_to_ask_where_there_is_one(arch: Arch) -> None:
    """By these words cloud-init and, by the guest tool's record, systemd-imdsd know us."""
    xml = domain(placed(SHARED), replace(HOST, arch=arch))
    said = [entry.text for entry in xml.iterfind("sysinfo[@type='smbios']/system/entry")]
    passed_on = xml.find("os/smbios[@mode='sysinfo']") is not None
    if arch in ("x86_64", "aarch64"):
        assert (said, passed_on) == (["OpenStack Foundation", "OpenStack Nova"], True)
    else:
        assert (said, passed_on) == ([], False)


def test_what_xml_cannot_hold_is_replaced_in_the_title() -> None:
    assert domain(placed(SHARED, name="a\ufffeb\uffff")).findtext("title") == "a\ufffdb\ufffd"


@pytest.mark.parametrize("kind", ["kvm", "qemu"])
def test_one_element_alone_is_that_of_the_whole(kind: Literal["kvm", "qemu"]) -> None:
    for guest in map(placed, [*(specs for _, specs in GOLDEN.values()), SHARED]):
        xml = parse(domain_xml(guest, HOST, kind))
        assert xml.attrib["type"] == kind
        assert (xml.find("cpu[@mode='host-model']") is not None) == (kind == "kvm")
        ET.indent(xml, "")
        for part in PARTS:
            alone, found = domain_xml(guest, HOST, kind, part), xml.find(part)
            assert alone.split() == ("" if found is None else ET.tostring(found).decode()).split()


@pytest.mark.parametrize(("vcpus", "needs"), [(255, False), (256, True)])
def test_more_than_255_vcpus_have_an_iommu(vcpus: int, needs: bool) -> None:
    on = host_of(grid(1, 256, shared=256))
    flavor = {"vcpus": vcpus, "memory_mb": 1024}
    xml = domain(placed({}, on, flavor=flavor), on)
    found = [xml.find(path) is not None for path in ("devices/iommu/driver", "features/ioapic")]
    assert found == [needs, needs]


# ---- the command ----


@pytest.fixture
def mdsvc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mdsvc:
    """The command on a store with a mixed guest."""
    run = Mdsvc(monkeypatch, f"sqlite:///{tmp_path}/store.db")
    assert run("host", "add", "-", stdin=values.host()).code == 0
    assert run("instance", "create", "-", stdin=values.guest()).code == 0
    return run


def test_the_command_prints_the_domain(mdsvc: Mdsvc) -> None:
    done = mdsvc("instance", "xml", UUID.upper(), "--type", "qemu")
    assert (done.code, done.err, done.out[-1:]) == (0, "", "\n")
    assert parse(done.out).attrib == {"type": "qemu"}
    assert sorted(pins(parse(done.out))) == list(range(8))


def test_the_command_prints_one_element(mdsvc: Mdsvc) -> None:
    done = mdsvc("instance", "xml", UUID, "--only", "cputune")
    assert (done.code, done.err, parse(done.out).tag) == (0, "", "cputune")


def test_an_element_that_is_not_needed_is_a_message(mdsvc: Mdsvc) -> None:
    done = mdsvc("instance", "xml", UUID, "--only", "memoryBacking")
    assert done == Done(0, "", "mdsvc: this guest needs no <memoryBacking>\n")


def test_a_guest_that_is_not_stored_is_not_found(mdsvc: Mdsvc) -> None:
    done = mdsvc("instance", "xml", values.OTHER_UUID)
    assert (done.code, done.out) == (4, "")
    assert done.err == f"mdsvc: instance {values.OTHER_UUID}: no such instance is stored\n"
