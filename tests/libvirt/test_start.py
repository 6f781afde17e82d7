"""Each thread of a guest that libvirt has started is, by the kernel's word, where it belongs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from mdsvc.cpuset import CpuSet
from mdsvc.discovery.sysfs import local_host
from mdsvc.instance import PlacedInstance
from mdsvc.libvirt import domain_xml
from mdsvc.topology import Host
from tests.libvirt.checks import emulator_pin, parse, pins
from tests.libvirt.daemon import Libvirtd
from tests.libvirt.guests import DEDICATED, MIXED, SHARED, placed

EMULATOR = "hw:emulator_threads_policy"
ONE_OF_TWO = {**MIXED, "hw:cpu_dedicated_mask": "1"}
REALTIME = {**MIXED, "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "1"}


def this_host(isolate: bool) -> Host:
    """Two CPUs of this machine: one shared and one dedicated, or both dedicated."""
    found = max(local_host("h1").host.cells, key=lambda cell: len(cell.cpus)).cpus
    assert len(found) > 1, "expected a machine with two CPUs that are near to one another"
    first, second = list(found)[:2]
    if isolate:
        return local_host("h1", CpuSet(), CpuSet.of([first, second])).host
    return local_host("h1", CpuSet.of([first]), CpuSet.of([second])).host


@contextmanager
def started(libvirtd: Libvirtd, guest: PlacedInstance, text: str, file: Path) -> Iterator[Path]:
    """The guest, before its first instruction; its process."""
    file.write_text(text)
    libvirtd.ask(f"create --paused --validate {file}")
    try:
        yield process(guest.uuid)
    finally:
        libvirtd.ask(f"destroy {guest.uuid}")


def process(uuid: str) -> Path:
    """Its QEMU; while libvirtd starts something, a fork of itself may look like it."""
    deadline = time.monotonic() + 60
    while True:
        found = [each for each in Path("/proc").glob("[0-9]*") if is_qemu(each, uuid)]
        if len(found) == 1:
            return found[0]
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def is_qemu(of: Path, uuid: str) -> bool:
    try:
        words = (of / "cmdline").read_bytes().split(b"\0")
    except OSError:  # it has ended since
        return False
    return b"qemu-system" in words[0] and uuid.encode() in words


def threads(of: Path) -> Mapping[str, list[int]]:
    """By what they are for: "CPU 0", "CPU 1", …, "IO iothread1" and "emulator"."""
    found: dict[str, list[int]] = {}
    for task in (of / "task").iterdir():
        name = (task / "comm").read_text().strip().split("/")[0]
        kind = name if name.startswith(("CPU ", "IO iothread")) else "emulator"
        found.setdefault(kind, []).append(int(task.name))
    return found


@pytest.mark.parametrize(
    ("specs", "vcpus"),
    [
        (ONE_OF_TWO, 2),
        ({**ONE_OF_TWO, EMULATOR: "share"}, 2),
        (REALTIME, 2),
        ({**DEDICATED, EMULATOR: "isolate"}, 1),
        ({**SHARED, "hw:numa_nodes": 1}, 1),
        (SHARED, 1),
    ],
    ids=["mixed", "emulator shares", "realtime", "emulator isolated", "shared", "no topology"],
)
def test_every_thread_is_where_it_belongs(
    specs: Mapping[str, object], vcpus: int, libvirtd: Libvirtd, tmp_path: Path
) -> None:
    on = this_host(isolate=specs.get(EMULATOR) == "isolate")
    flavor = {"vcpus": vcpus, "memory_mb": 64, "extra_specs": specs}
    guest = placed(specs, on, flavor=flavor)
    # to lock memory takes more rights than root has in a container
    text = domain_xml(guest, on, "qemu").replace("<locked />", "")
    xml, floats = parse(text), set(on.cpu_shared_set)
    expected = {f"CPU {vcpu}": pins(xml).get(vcpu, floats) for vcpu in range(vcpus)}
    expected["emulator"] = emulator_pin(xml) if guest.layout.cells else floats
    expected["IO iothread1"] = expected["emulator"]
    with started(libvirtd, guest, text, tmp_path / "guest.xml") as qemu:
        found = threads(qemu)
        assert found.keys() == expected.keys()
        for name, tids in found.items():
            assert [os.sched_getaffinity(tid) for tid in tids] == [expected[name]] * len(tids)
        realtime = [f"CPU {vcpu}" for vcpu in guest.layout.realtime_cpus]
        fifo = {tid for tids in found.values() for tid in tids if os.sched_getscheduler(tid)}
        assert fifo == {tid for name in realtime for tid in found[name]}
