"""No false alarm: what is nobody's choice, or no choice of dedicated CPUs, is not named."""

from __future__ import annotations

import pytest
from mdguest.cpuset import CpuSet

from tests.guest.fake import guest
from tests.guest.fake.systemd import slice_path
from tests.guest.use import isolate, named, plan, view

each_kernel = pytest.mark.parametrize("kernel", ["5.15", "6.1", "6.12", "7.2"])


@each_kernel
@pytest.mark.parametrize("mode", ["partition", "fence", "kubernetes"])
def test_an_ordinary_guest_displaces_nobody(kernel: str, mode: str) -> None:
    made = guest(kernel)
    made.set_property("user.slice", "AllowedCPUs=0-3")
    made.spawn("every", "/system.slice/cron.service", CpuSet.parse("0-3"))
    made.spawn("shared", "/system.slice/cron.service", CpuSet.parse("0"))
    made.spawn_kernel("kswapd7", CpuSet.parse("3"))
    assert named(made, mode=mode) == []
    isolate(made, "2-3", mode=mode)
    assert named(made, mode=mode) == []
    assert not view(made, "2-3", mode=mode).plan.claims


def test_what_a_process_has_from_its_parent_is_named_once() -> None:
    made = guest()
    shell = made.spawn("bash", "/user.slice/user@0.service", CpuSet.parse("3"))
    child = made.spawn("make", "/system.slice/cron.service", CpuSet.parse("3"))
    child.parent = shell.tid
    assert named(made) == [("user@0.service", "affinity", "3")]


def test_isolcpus_is_nobodys_choice() -> None:
    made = guest(isolcpus="3")
    assert named(made) == []
    isolate(made, "2-3")
    assert named(made) == []


@pytest.mark.parametrize("runs", [True, False])
@pytest.mark.parametrize("name", ["dedicated.slice", "dedicated-dpdk.slice", "ovs-fast.slice"])
def test_a_unit_that_is_at_home_asks_for_nothing_whether_or_not_it_runs(
    name: str, runs: bool
) -> None:
    made = guest()
    assert made.systemd
    made.disk.put("/etc/systemd/system/vpp.service", "[Service]\nCPUAffinity=2\n")
    parent = slice_path(name)
    made.systemd.add("vpp.service", parent, active=runs)
    exempt = "ovs.slice=2" if name.startswith("ovs") else ""
    assert named(made, exempt=exempt) == []


CELLS = {
    "0-3": False,
    "4-7": False,
    "0-7": False,
    "0-2": True,
    "2-3": True,
    "0-3,6": True,
    "8-11": True,
    "0-3,10": True,
}


@pytest.mark.parametrize(("cpus", "is_named"), CELLS.items(), ids=CELLS)
def test_who_asks_for_whole_numa_cells_asks_for_memory_where_shared_cpus_are_near_it(
    cpus: str, is_named: bool
) -> None:
    made = guest(cpus="0-11", numa=("0-3", "4-7", "8-11"))
    made.spawn("postgres", "/system.slice/cron.service", CpuSet.parse(cpus))
    assert bool(plan(made, "2-3,6,8-11").claims) == is_named


@pytest.mark.parametrize("isolcpus", ["", "3", "2-3"])
def test_a_single_cpu_of_a_cell_is_a_choice_also_where_isolcpus_takes_it(isolcpus: str) -> None:
    made = guest(cpus="0-7", numa=("0-3", "4-7"), isolcpus=isolcpus)
    made.spawn("pmd", "/system.slice/cron.service", CpuSet.parse("3"))
    [claim] = plan(made, "2-3").claims
    assert str(claim.cpus) == "3"
