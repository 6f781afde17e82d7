"""What the kernel tells in sysfs becomes a host: fake machines, and the one that this runs on."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from shutil import rmtree

import pytest

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.discovery.sysfs import Kernel, local_host
from mdsvc.errors import BadInput
from mdsvc.topology import Host
from tests.machines.caching import by_core
from tests.machines.facts import GIB, MIB, Cache, Cell, Machine
from tests.machines.numbering import cells_of, strides, threads_adjacent, threads_last
from tests.machines.sysfs import plant, put

PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024
CPUS = "sys/devices/system/cpu"
NODES = "sys/devices/system/node"

# Two nodes of two cores with two threads each, as most servers are; and one CPU.
SMT = Machine(cells_of((0, 1), 2, 2, threads_last(2, 2), memory_kb=(4 * GIB, 2 * GIB)))
ONE = Machine(cells_of([0], 1, 1, strides(core=1), memory_kb=GIB))


def read(root: Path, shared: CpuSet | None = None, dedicated: CpuSet | None = None) -> Host:
    """The host that the files below a folder tell of."""
    kernel = Kernel(root / "sys", root / "proc/meminfo")
    return local_host("me", shared, dedicated, kernel).host


def host_of(machine: Machine, root: Path) -> Host:
    plant(machine, root)
    return read(root)


@pytest.fixture
def smt(tmp_path: Path) -> Path:
    plant(SMT, tmp_path)
    return tmp_path


def test_each_node_is_a_cell(smt: Path) -> None:
    host = read(smt)
    cells = [(c.id, c.socket, c.memory_mb, str(c.cpus)) for c in host.cells]
    assert cells == [(0, 0, 4096, "0-1,4-5"), (1, 1, 2048, "2-3,6-7")]
    assert [str(core) for core in host.cells[0].cores] == ["0,4", "1,5"]


def test_what_is_not_in_huge_pages_is_in_base_pages(tmp_path: Path) -> None:
    cells = (replace(SMT.cells[0], huge=((GIB, 1), (2 * MIB, 512))),)
    host = host_of(replace(SMT, cells=cells), tmp_path)
    pools = [(pool.size_kb, pool.total, pool.used) for pool in host.cells[0].pages]
    small = (4194304 - 1048576 - 512 * 2048) // PAGE_KB
    assert pools == [(PAGE_KB, small, 0), (2048, 512, 0), (1048576, 1, 0)]


def test_without_sets_every_cpu_is_shared(smt: Path) -> None:
    host = read(smt)
    assert (str(host.cpu_shared_set), host.cpu_dedicated_set) == ("0-7", EMPTY)


def test_with_one_set_given_the_other_is_empty(smt: Path) -> None:
    host = read(smt, dedicated=CpuSet.parse("2-7"))
    assert (host.cpu_shared_set, str(host.cpu_dedicated_set)) == (EMPTY, "2-7")


def test_sets_must_be_cpus_that_are_online(smt: Path) -> None:
    with pytest.raises(BadInput, match="cpu_shared_set: CPUs 8 are not among the host's CPUs"):
        read(smt, shared=CpuSet.of([0, 8]))


def test_offline_cpus_are_left_out_of_cells_and_cores(smt: Path) -> None:
    """Also where a kernel goes on to name them in the lists of nodes and cores."""
    put(smt, f"{CPUS}/online", "0-4,6-7")
    host = read(smt)
    assert str(host.cpus) == "0-4,6-7"
    assert [str(core) for core in host.cells[0].cores] == ["0,4", "1"]


def test_a_set_that_names_offline_cpus_says_so(smt: Path) -> None:
    put(smt, f"{CPUS}/online", "0-4,6-7")
    with pytest.raises(BadInput, match="cpu_dedicated_set: CPUs 5 are offline; expected"):
        read(smt, dedicated=CpuSet.parse("4-6"))
    expected = "cpu_dedicated_set: CPUs 8 are not among the host's CPUs, and CPUs 5 are offline"
    with pytest.raises(BadInput, match=expected):
        read(smt, dedicated=CpuSet.parse("4-8"))


def test_what_a_kernel_leaves_room_for_is_not_offline_but_absent(smt: Path) -> None:
    """Of a virtual machine, CPUs that could be plugged in are possible and not present."""
    put(smt, f"{CPUS}/offline", "8-255")
    with pytest.raises(BadInput, match="CPUs 8-9 are not among the host's CPUs"):
        read(smt, shared=CpuSet.parse("8-9"))


def test_a_core_whose_other_thread_is_in_no_node_is_not_all_of_it_in_the_cell(smt: Path) -> None:
    put(smt, f"{NODES}/node0/cpulist", "0-1,5")
    cell = read(smt).cells[0]
    assert (str(cell.split), list(map(str, cell.siblings))) == ("0", ["1,5"])


def test_each_node_has_its_part_of_every_l3_cache(tmp_path: Path) -> None:
    l3 = ("0,4", "1-2,5-6", "3,7")
    caches = by_core(SMT.cells, 32, MIB)
    caches += tuple(Cache(3, CpuSet.parse(cpus), 16 * MIB) for cpus in l3)
    host = host_of(replace(SMT, caches=caches), tmp_path)
    assert [list(map(str, c.l3)) for c in host.cells] == [["0,4", "1,5"], ["2,6", "3,7"]]


def test_a_machine_without_an_l3_cache_has_no_domains(tmp_path: Path) -> None:
    host = host_of(replace(SMT, caches=by_core(SMT.cells, 32, MIB)), tmp_path)
    assert [cell.l3 for cell in host.cells] == [(), ()]


def test_a_node_may_have_memory_and_no_cpus(tmp_path: Path) -> None:
    far = Cell(255, memory_kb=15 * GIB)
    host = host_of(replace(ONE, cells=(*ONE.cells, far)), tmp_path)
    assert [(c.id, c.memory_mb, str(c.cpus)) for c in host.cells] == [
        (0, 1024, "0"),
        (255, 15360, ""),
    ]


def test_a_node_may_have_cpus_and_no_memory(tmp_path: Path) -> None:
    cells = (replace(ONE.cells[0], memory_kb=0),)
    cell = host_of(replace(ONE, cells=cells), tmp_path).cells[0]
    assert (cell.memory_mb, cell.pages[0].total) == (0, 0)


def test_a_kernel_without_numa_is_one_cell(tmp_path: Path) -> None:
    huge = ((2 * MIB, 256),)
    cells = cells_of([0], 1, 2, threads_adjacent(1, 2), memory_kb=2 * GIB, huge=huge)
    cell = host_of(Machine(cells, numa=False), tmp_path).cells[0]
    assert (cell.id, str(cell.cpus), cell.memory_mb, len(cell.cores)) == (0, "0-1", 2048, 1)
    assert [pool.total for pool in cell.pages] == [(2097152 - 256 * 2048) // PAGE_KB, 256]


def test_a_kernel_that_tells_no_topology_has_cores_of_one_thread(smt: Path) -> None:
    for cpu in range(8):
        rmtree(smt / f"{CPUS}/cpu{cpu}")
    cell = read(smt).cells[1]
    assert ([str(core) for core in cell.cores], cell.socket) == (["2", "3", "6", "7"], 1)


@pytest.mark.parametrize("socket", ["-1", "65536", ""])
def test_a_socket_that_makes_no_sense_is_the_cells_own(tmp_path: Path, socket: str) -> None:
    plant(replace(ONE, cells=(replace(ONE.cells[0], id=4),)), tmp_path)
    put(tmp_path, f"{CPUS}/cpu0/topology/physical_package_id", socket)
    assert read(tmp_path).cells[0].socket == 4


BAD = {
    "no sysfs": (
        f"{CPUS}/online",
        None,
        "cpu/online: expected to read it: No such file",
    ),
    "CPUs": (f"{CPUS}/online", "0-x", "cpu/online: expected a list of 0 to 8191: '0-x'"),
    "no cpulist": (f"{NODES}/node1/cpulist", None, "node1/cpulist: expected to read it"),
    "no memory": (f"{NODES}/node1/meminfo", "MemFree: 1 kB", "expected a line like"),
    "memory": (f"{NODES}/node1/meminfo", "MemTotal: lots kB", "expected a line like"),
    "siblings": (
        f"{CPUS}/cpu3/topology/thread_siblings_list",
        "3-",
        "thread_siblings_list: expected a list",
    ),
    "siblings that differ": (
        f"{CPUS}/cpu3/topology/thread_siblings_list",
        "3",
        "node 1: siblings: expected no CPU twice, but 3 is",
    ),
    "cache": (
        f"{CPUS}/cpu3/cache/index0/shared_cpu_list",
        "3-",
        "index0/shared_cpu_list: expected a list",
    ),
    "cache without CPUs": (
        f"{CPUS}/cpu3/cache/index0/shared_cpu_list",
        None,
        "index0/shared_cpu_list: expected to read it",
    ),
    "pages": (
        f"{NODES}/node1/hugepages/hugepages-2048kB/nr_hugepages",
        "-1",
        "nr_hugepages: expected a whole number, got '-1'",
    ),
    "two nodes": (f"{NODES}/node1/cpulist", "0-3", "expected no CPU twice, but 0-1 is"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_one_message_that_names_the_file(tmp_path: Path, case: str) -> None:
    path, text, expected = BAD[case]
    plant(replace(SMT, caches=(Cache(3, CpuSet.parse("3,7"), MIB),)), tmp_path)
    put(tmp_path, path, text or "")
    if text is None:
        (tmp_path / path).unlink()
    with pytest.raises(BadInput, match=re.escape(expected)):
        read(tmp_path)


def test_a_machine_that_nobody_knows_is_refused(smt: Path) -> None:
    kernel = Kernel(smt / "sys", smt / "proc/meminfo", "vax")
    with pytest.raises(BadInput, match=r"^uname -m: expected one of aarch64, .*, got 'vax'$"):
        local_host("me", kernel=kernel)


def test_this_machine_is_a_host() -> None:
    host = local_host("me").host
    assert host.arch == os.uname().machine
    assert len(host.cpus) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert sum(cell.memory_mb for cell in host.cells) > 0
    assert all(cell.pages[0].size_kb == PAGE_KB for cell in host.cells)
