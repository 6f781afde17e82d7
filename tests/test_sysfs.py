"""What the kernel tells in sysfs becomes a host: fake machines, and the one that this runs on."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.discovery.sysfs import local_host
from mdsvc.errors import BadInput
from mdsvc.topology import Host, HostCell

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024


class Machine:
    """A tree of files as the kernel shows them below /sys, and a /proc/meminfo."""

    def __init__(self, root: Path, online: str) -> None:
        self.root = root / "sys"
        self.meminfo = root / "meminfo"
        self.write("devices/system/cpu/online", online)

    def write(self, path: str, text: str) -> Machine:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
        return self

    def cpu(self, number: int, siblings: str, socket: str = "0") -> Machine:
        topology = f"devices/system/cpu/cpu{number}/topology"
        self.write(f"{topology}/thread_siblings_list", siblings)
        return self.write(f"{topology}/physical_package_id", socket)

    def cache(self, number: int, index: int, level: str, cpus: str) -> Machine:
        directory = f"devices/system/cpu/cpu{number}/cache/index{index}"
        return self.write(f"{directory}/level", level).write(f"{directory}/shared_cpu_list", cpus)

    def node(self, number: int, cpus: str, memory_kb: int) -> Machine:
        """A node; those before it stay online."""
        online = self.root / "devices/system/node/online"
        others = f"{online.read_text().strip()}," if online.exists() else ""
        self.write("devices/system/node/online", f"{others}{number}")
        node = f"devices/system/node/node{number}"
        self.write(f"{node}/cpulist", cpus)
        lines = f"Node {number} MemTotal:       {memory_kb} kB\nNode {number} MemFree: 1 kB"
        return self.write(f"{node}/meminfo", lines)

    def huge(self, node: int | None, size_kb: int, count: object) -> Machine:
        where = "kernel/mm" if node is None else f"devices/system/node/node{node}"
        return self.write(f"{where}/hugepages/hugepages-{size_kb}kB/nr_hugepages", f"{count}")

    def host(self, shared: CpuSet | None = None, dedicated: CpuSet | None = None) -> Host:
        return local_host("me", shared, dedicated, self.root, self.meminfo)

    def cell(self) -> HostCell:
        return self.host().cells[0]


@pytest.fixture
def smt(tmp_path: Path) -> Machine:
    """Two nodes of two cores with two threads each, as most servers are."""
    machine = Machine(tmp_path, "0-7").node(0, "0-1,4-5", 4194304).node(1, "2-3,6-7", 2097152)
    for cpu in range(8):
        machine.cpu(cpu, f"{cpu % 4},{cpu % 4 + 4}", str(cpu // 2 % 2))
    return machine


def test_each_node_is_a_cell(smt: Machine) -> None:
    cells = [(c.id, c.socket, c.memory_mb, str(c.cpus)) for c in smt.host().cells]
    assert cells == [(0, 0, 4096, "0-1,4-5"), (1, 1, 2048, "2-3,6-7")]
    assert [str(core) for core in smt.cell().cores] == ["0,4", "1,5"]


def test_what_is_not_in_huge_pages_is_in_base_pages(smt: Machine) -> None:
    smt.huge(0, 1048576, 1).huge(0, 2048, 512)
    pools = [(pool.size_kb, pool.total, pool.used) for pool in smt.cell().pages]
    small = (4194304 - 1048576 - 512 * 2048) // PAGE_KB
    assert pools == [(PAGE_KB, small, 0), (2048, 512, 0), (1048576, 1, 0)]


def test_without_sets_every_cpu_is_shared(smt: Machine) -> None:
    host = smt.host()
    assert (str(host.cpu_shared_set), host.cpu_dedicated_set) == ("0-7", EMPTY)


def test_with_one_set_given_the_other_is_empty(smt: Machine) -> None:
    host = smt.host(dedicated=CpuSet.parse("2-7"))
    assert (host.cpu_shared_set, str(host.cpu_dedicated_set)) == (EMPTY, "2-7")


def test_sets_must_be_cpus_that_are_online(smt: Machine) -> None:
    with pytest.raises(BadInput, match="cpu_shared_set: CPUs 8 are not of this host"):
        smt.host(shared=CpuSet.of([0, 8]))


def test_offline_cpus_are_left_out_of_cells_and_cores(smt: Machine) -> None:
    smt.write("devices/system/cpu/online", "0-4,6-7")
    host = smt.host()
    assert str(host.cpus) == "0-4,6-7"
    assert [str(core) for core in host.cells[0].cores] == ["0,4", "1"]


def test_each_node_has_its_part_of_every_l3_cache(smt: Machine) -> None:
    for cpu in range(8):
        smt.cache(cpu, 0, "1", f"{cpu}").cache(cpu, 2, "2", f"{cpu % 4},{cpu % 4 + 4}")
        smt.cache(cpu, 3, "3", "1-2,5-6" if cpu % 4 in (1, 2) else f"{cpu % 4},{cpu % 4 + 4}")
    assert [list(map(str, c.l3)) for c in smt.host().cells] == [["0,4", "1,5"], ["2,6", "3,7"]]


def test_a_machine_without_an_l3_cache_has_no_domains(smt: Machine) -> None:
    smt.cache(0, 0, "1", "0").cache(1, 2, "2", "1,5")
    assert [cell.l3 for cell in smt.host().cells] == [(), ()]


def test_a_node_may_have_memory_and_no_cpus(tmp_path: Path) -> None:
    host = Machine(tmp_path, "0").cpu(0, "0").node(0, "0", 1048576).node(255, "", 15728640).host()
    assert [(c.id, c.memory_mb, str(c.cpus)) for c in host.cells] == [
        (0, 1024, "0"),
        (255, 15360, ""),
    ]


def test_a_node_may_have_cpus_and_no_memory(tmp_path: Path) -> None:
    cell = Machine(tmp_path, "0").cpu(0, "0").node(1, "0", 0).cell()
    assert (cell.memory_mb, cell.pages[0].total) == (0, 0)


def test_a_kernel_without_numa_is_one_cell(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "0-1").cpu(0, "0-1").cpu(1, "0-1").huge(None, 2048, 256)
    machine.meminfo.write_text("MemTotal:        2097152 kB\nMemFree:  1 kB\n")
    cell = machine.cell()
    assert (cell.id, str(cell.cpus), cell.memory_mb, len(cell.cores)) == (0, "0-1", 2048, 1)
    assert [pool.total for pool in cell.pages] == [(2097152 - 256 * 2048) // PAGE_KB, 256]


def test_a_kernel_that_tells_no_topology_has_cores_of_one_thread(tmp_path: Path) -> None:
    cell = Machine(tmp_path, "0-1").node(3, "0-1", 1024).cell()
    assert ([str(core) for core in cell.cores], cell.socket) == (["0", "1"], 3)


@pytest.mark.parametrize("socket", ["-1", "65536", ""])
def test_a_socket_that_makes_no_sense_is_the_cells_own(tmp_path: Path, socket: str) -> None:
    assert Machine(tmp_path, "0").cpu(0, "0", socket).node(4, "0", 1024).cell().socket == 4


BAD = {
    "no sysfs": (
        "devices/system/cpu/online",
        None,
        "cpu/online: expected to read it: No such file",
    ),
    "CPUs": ("devices/system/cpu/online", "0-x", "cpu/online: expected a list of 0 to 8191: '0-x'"),
    "no cpulist": ("devices/system/node/node1/cpulist", None, "node1/cpulist: expected to read it"),
    "no memory": ("devices/system/node/node1/meminfo", "MemFree: 1 kB", "expected a line like"),
    "memory": ("devices/system/node/node1/meminfo", "MemTotal: lots kB", "expected a line like"),
    "siblings": (
        "devices/system/cpu/cpu3/topology/thread_siblings_list",
        "3-",
        "thread_siblings_list: expected a list",
    ),
    "siblings that differ": (
        "devices/system/cpu/cpu3/topology/thread_siblings_list",
        "3",
        "node 1: siblings: expected no CPU twice, but 3 is",
    ),
    "cache": (
        "devices/system/cpu/cpu3/cache/index3/shared_cpu_list",
        "3-",
        "index3/shared_cpu_list: expected a list",
    ),
    "cache without CPUs": (
        "devices/system/cpu/cpu3/cache/index3/shared_cpu_list",
        None,
        "index3/shared_cpu_list: expected to read it",
    ),
    "cache of half a core": (
        "devices/system/cpu/cpu3/cache/index3/shared_cpu_list",
        "3",
        "node 1: l3: expected whole cores, but 3 has a part of one",
    ),
    "pages": (
        "devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages",
        "-1",
        "nr_hugepages: expected a whole number, got '-1'",
    ),
    "two nodes": ("devices/system/node/node1/cpulist", "0-3", "expected no CPU twice, but 0-1 is"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_message_that_names_the_file(smt: Machine, case: str) -> None:
    path, text, expected = BAD[case]
    smt.cache(3, 3, "3", "3,7")
    smt.write(path, text or "")
    if text is None:
        (smt.root / path).unlink()
    with pytest.raises(BadInput, match=re.escape(expected)):
        smt.host()


def test_this_machine_is_a_host() -> None:
    host = local_host("me")
    assert len(host.cpus) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert sum(cell.memory_mb for cell in host.cells) > 0
    assert all(cell.pages[0].size_kb == PAGE_KB for cell in host.cells)
