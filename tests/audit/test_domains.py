"""A running guest is read from its domain as libvirt means it, whoever wrote that."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import CpuSet
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.discovery.markup import MAX_XML
from mdsvc.errors import BadInput
from mdsvc.libvirt import domain_xml
from mdsvc.running import RunningPort
from tests.audit.fleets import domain, random_fleet
from tests.libvirt.guests import KINDS, guests, host
from tests.strategies import QUICK


def wrapped(inside: str, name: str = "a") -> str:
    return f"<domain><name>{name}</name><memory unit='MiB'>64</memory>{inside}</domain>"


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_domains_read_as_their_layouts(kind: str) -> None:
    on = host()
    for guest in guests(kind).values():
        read, layout = guest_from_domain(domain_xml(guest, on)), guest.layout
        assert (read.uuid, read.name) == (guest.uuid, guest.name)
        assert (read.vcpus, read.memory_mb) == (guest.flavor.vcpus, guest.flavor.memory_mb)
        pins = {v: p for cell in layout.cells for v, p in cell.cpu_pinning.items()}
        assert read.pinned(on.cpu_shared_set, on.cpu_dedicated_set) == pins
        assert read.realtime == layout.realtime_cpus
        assert (read.emulator or CpuSet()) == layout.emulator_cpus or not layout.cells
        for node, cell in zip(read.cells, layout.cells, strict=True):
            assert node.vcpus == cell.cpuset | cell.pcpuset
            assert node.strict_nodes == CpuSet.of([cell.host_cell])
            assert node.memory_mb == cell.memory_mb


ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "one vCPU where none is told": ("", {"vcpus": 1, "floats": None, "iothreads": ()}),
    "a set for all threads": ("<vcpu cpuset='0-7,^2'>2</vcpu>", {"floats": "0-1,3-7"}),
    "an empty set is none": ("<vcpu cpuset=''>2</vcpu>", {"floats": None}),
    "pins of vCPUs that are not there": (
        "<vcpu>1</vcpu><cputune><vcpupin vcpu='3' cpuset='4'/></cputune>",
        {"pins": {}},
    ),
    "I/O threads with ids of their own": (
        "<iothreads>2</iothreads><iothreadids><iothread id='7'/></iothreadids>"
        "<cputune><iothreadpin iothread='7' cpuset='3'/></cputune>",
        {"iothreads": (None, CpuSet.of([3]))},
    ),
    "huge pages of the default size": (
        "<memoryBacking><hugepages/></memoryBacking>",
        {"pagesize_kb": 0},
    ),
    "huge pages with a unit": (
        "<memoryBacking><hugepages><page size='1' unit='G'/></hugepages></memoryBacking>",
        {"pagesize_kb": 1048576},
    ),
    "memory that is preferred is not strict": (
        "<numatune><memory mode='preferred' nodeset='1'/></numatune>",
        {"strict_nodes": None},
    ),
    "memory is strict where nothing else is said": (
        "<numatune><memory nodeset='1'/></numatune>",
        {"strict_nodes": "1"},
    ),
    "vCPUs that may be plugged in": (
        "<vcpu current='2'>8</vcpu>",
        {"vcpus": 8, "unplugged": "2-7"},
    ),
    "vCPUs of which some are plugged in": (
        "<vcpu current='2'>4</vcpu><vcpus><vcpu id='0' enabled='yes'/><vcpu id='1' enabled='no'/>"
        "<vcpu id='2' enabled='no'/><vcpu id='3' enabled='yes'/></vcpus>",
        {"unplugged": "1-2"},
    ),
    "batch is not realtime": (
        "<vcpu>2</vcpu><cputune><vcpusched vcpus='0' scheduler='batch'/>"
        "<vcpusched vcpus='1' scheduler='rr' priority='2'/></cputune>",
        {"realtime": "1"},
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_domains(name: str) -> None:
    inside, expected = ODD[name]
    read = guest_from_domain(wrapped(inside))
    for attribute, value in expected.items():
        wanted = CpuSet.parse_spec(value) if isinstance(value, str) else value
        assert getattr(read, attribute) == wanted


def test_the_status_of_a_running_domain_is_read_too() -> None:
    status = f"<domstatus state='running' pid='7'>{domain('a', '2')}</domstatus>"
    assert guest_from_domain(status) == guest_from_domain(domain("a", "2"))


def test_a_domain_s_name_is_its_own_and_a_title_counts_where_that_is_the_uuid() -> None:
    uuid = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"
    inside = f"<uuid>{uuid}</uuid><title>web</title>"
    assert guest_from_domain(wrapped(inside, "vm1")).name == "vm1"
    assert guest_from_domain(wrapped(inside, uuid)).name == "web"


def test_nova_s_metadata_says_which_vcpus_are_dedicated() -> None:
    specs = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"}
    read = guest_from_domain(domain("a", "0", "5", specs=specs))
    assert read.asked
    assert read.asked.dedicated == CpuSet.of([1])
    assert read.pinned(None, None) == {1: 5}


def test_nova_s_metadata_says_which_addresses_the_interfaces_have() -> None:
    ports = (
        "<nova:ports><nova:port uuid='p'><nova:ip type='fixed' address='10.0.0.5' ipVersion='4'/>"
        "<nova:ip type='floating' address='192.0.2.5' ipVersion='4'/></nova:port></nova:ports>"
        "<nova:owner><nova:project uuid='p1'>demo</nova:project></nova:owner></nova:instance>"
    )
    interface = (
        "<devices><interface type='bridge'><mac address='fa:16:3e:00:00:01'/>"
        "<source bridge='br-int'/></interface></devices></domain>"
    )
    xml = domain("a", "2", specs={}).replace("</nova:instance>", ports)
    read = guest_from_domain(xml.replace("</domain>", interface))
    assert read.project_id == "p1"
    assert read.ports == (
        RunningPort(network="br-int", mac="fa:16:3e:00:00:01", ips=("10.0.0.5",)),
    )


def test_image_properties_count_as_the_flavor_does() -> None:
    image = (
        "<nova:image uuid='i'><nova:properties><nova:property name='hw_cpu_policy'>dedicated"
        "</nova:property></nova:properties></nova:image></nova:instance>"
    )
    read = guest_from_domain(domain("a", "2", specs={}).replace("</nova:instance>", image))
    assert read.asked
    assert read.asked.dedicated == CpuSet.of([0])


def test_metadata_that_nobody_understands_says_nothing() -> None:
    read = guest_from_domain(domain("a", "0", specs={"hw:cpu_policy": "odd"}))
    assert read.asked is None


HOSTILE = {
    "no XML": "a text",
    "nothing": "",
    "another document": "<network><name>n</name></network>",
    "no name": "<domain><memory>1</memory></domain>",
    "no memory": "<domain><name>a</name></domain>",
    "half of one": domain("a", "2")[:200],
    "entities": '<!DOCTYPE d [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>' + domain("&b;", "2"),
    "a file": '<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + wrapped("&a;"),
    "huge": " " * (MAX_XML + 1),
    "too many vCPUs": wrapped("<vcpu>99999999</vcpu>"),
    "no number": wrapped("<vcpu>many</vcpu>"),
    "no CPU set": wrapped("<vcpu cpuset='a-b'>1</vcpu>"),
    "a CPU that no machine has": wrapped("<vcpu cpuset='0-99999'>1</vcpu>"),
    "no number of vCPUs that run": wrapped("<vcpu current='x'>2</vcpu>"),
    "a pin of no vCPU": wrapped("<cputune><vcpupin cpuset='1'/></cputune>"),
    "an odd unit": "<domain><name>a</name><memory unit='stone'>1</memory></domain>",
    "too many I/O threads": wrapped("<iothreads>1000000000</iothreads>"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_broken_documents_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(BadInput) as raised:
        guest_from_domain(HOSTILE[name])
    assert "expected" in str(raised.value) or "CPU" in str(raised.value)
    assert len(str(raised.value)) < 300


@QUICK
@given(seed=st.integers(0, 2**32), data=st.data())
def test_a_domain_with_bytes_changed_is_read_or_refused(seed: int, data: st.DataObject) -> None:
    on, placed = random_fleet(seed)
    xml = domain_xml(placed[0], on) if placed else domain("a", "2", specs={})
    at = data.draw(st.integers(0, len(xml)))
    odd = data.draw(st.sampled_from(["", "<", "9" * 12, "-", "&", "'", "٣", "\x00", "cpuset=''"]))
    with contextlib.suppress(BadInput):
        guest_from_domain(xml[:at] + odd + xml[at + data.draw(st.integers(0, 9)) :])
