"""One set of dedicated CPUs after another in a guest that runs on; each test's undo is checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.machine import Machine
from tests.vm.tool import PROGRAMS, Guest, until

POOL = "exec systemd-run --quiet --scope --slice=dedicated.slice"
COUNTED = "/run/counted"
LOOPS = "sh -c 'for i in 1 2 3; do while :; do :; done & done; wait'"


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    """Without a network card, whose driver spreads its interrupts anew when a CPU comes or goes."""
    with Machine(suite) as machine:
        yield Guest(machine, pyz)


@pytest.fixture(autouse=True)
def undone(guest: Guest) -> Iterator[None]:
    """Each test begins in the same guest, because undo leaves it so."""
    with guest.undone():
        yield


def is_isolated(guest: Guest, cpus: str, rest: str) -> bool:
    assert guest.problems == []
    assert (guest.pool(".partition"), guest.pool(".effective")) == ("isolated", cpus)
    return guest.read("/sys/fs/cgroup/cpuset.cpus.effective") == rest


def test_programs_go_on_while_the_partition_changes_under_them(guest: Guest) -> None:
    guest.apply("2-3")
    counting = [f"{POOL} python3 {PROGRAMS}/count.py {COUNTED}{cpu} {cpu} 0.01" for cpu in (2, 3)]
    with guest.spawned(*counting) as [second, third]:
        until(lambda: [guest.affinity(pid) for pid in (second, third)] == ["2", "3"])
        for cpus, rest, affinities in (
            ("1-3", "0", ["2", "3"]),
            ("3", "0-2", ["3", "3"]),
            ("1-2", "0,3", ["2", "1-2"]),
        ):
            start = [guest.counted(f"{COUNTED}{cpu}") for cpu in (2, 3)]
            guest.apply(cpus)
            assert is_isolated(guest, cpus, rest)
            assert [guest.affinity(pid) for pid in (second, third)] == affinities
            for cpu, before in zip((2, 3), start, strict=True):
                until(lambda: guest.counted(f"{COUNTED}{cpu}") > before)  # noqa: B023  # at once


def test_cpu_0_can_be_dedicated(guest: Guest) -> None:
    guest.apply("0-1")
    assert is_isolated(guest, "0-1", "2-3")
    assert not [task for task in guest.look().tasks if task.may_use({0, 1})]


def test_no_cpu_is_lost_by_a_partition_that_was_invalid(guest: Guest) -> None:
    guest.apply("1-3")
    with guest.spawned("exec systemd-run --scope --slice=hostile.slice sleep inf"):
        until(lambda: guest.code("systemctl is-active hostile.slice") == 0)
        guest.run("systemctl set-property --runtime hostile.slice AllowedCPUs=0-3")
        guest.apply("2-3")
        assert is_isolated(guest, "2-3", "0-1")
        guest.apply("1-3")
        assert is_isolated(guest, "1-3", "0")
        # the same by somebody else: then Linux 6.12 has lost CPU 1
        for unit, cpus in (("hostile", "0-3"), ("hostile", "0-1"), ("dedicated", "2-3")):
            guest.run(f"systemctl set-property --runtime {unit}.slice AllowedCPUs={cpus}")
        guest.apply("2-3")
        assert is_isolated(guest, "2-3", "0-1")
    guest.run("systemctl stop hostile.slice; systemctl revert hostile.slice")
    guest.tool("undo")
    assert guest.read("/sys/fs/cgroup/cpuset.cpus.effective") == "0-3"
    assert guest.problems == []


@pytest.mark.parametrize(
    ("flags", "cpus", "kept"), [("", "1-3", "0"), ("--housekeeping last", "0-2", "3")]
)
def test_where_all_cpus_are_dedicated_one_stays(
    guest: Guest, flags: str, cpus: str, kept: str
) -> None:
    done = guest.apply("0-3", flags)
    assert is_isolated(guest, cpus, kept)
    assert done["notes"][0] == f"all CPUs are dedicated; CPU {kept} stays for housekeeping"


def test_a_root_partition_balances_what_an_isolated_one_does_not(guest: Guest) -> None:
    guest.apply("2-3")
    with guest.spawned(f"{POOL} {LOOPS}"):
        until(lambda: len(running(guest)) == 3)
        assert len(set(running(guest))) == 1
        guest.apply("2-3", "--partition root")
        assert guest.pool(".partition") == "root"
        assert guest.problems == []
        until(lambda: set(running(guest)) == {2, 3})


def running(guest: Guest) -> list[int]:
    """The CPUs of the programs that run in the pool."""
    tasks = [task for task in guest.look().tasks if task.state == "R"]
    return [task.processor for task in tasks if "/dedicated.slice/" in task.group]


def test_a_layout_of_another_guest_changes_nothing(guest: Guest) -> None:
    before = guest.look().values
    message = guest.tool(f"apply {guest.layout('2-9')}", code=2).stderr
    assert message == "mdguest: dedicated_cpus 2-9: this guest has no CPU 4-9, only 0-3\n"
    assert guest.look().values == before


def test_a_cpu_that_is_offline_joins_once_it_is_online(guest: Guest) -> None:
    online = "/sys/devices/system/cpu/cpu3/online"
    guest.run(f"echo 0 > {online}")
    done = guest.apply("2-3")
    assert done["notes"][0] == "CPU 3 is dedicated, but offline; it joins once it is online"
    assert is_isolated(guest, "2", "0-1")
    guest.run(f"echo 1 > {online}")
    guest.apply("2-3")
    assert is_isolated(guest, "2-3", "0-1")


OWN_SETTINGS = """
set -e
systemctl set-property --runtime system.slice AllowedCPUs=0-3
systemctl set-property --runtime user.slice AllowedCPUs=1-2
echo 7 > /proc/irq/default_smp_affinity
echo 0,2 > /proc/sys/kernel/watchdog_cpumask
echo e > /sys/devices/virtual/workqueue/cpumask
echo 6 > /sys/devices/virtual/workqueue/writeback/cpumask
echo 4 > /sys/class/net/lo/queues/rx-0/rps_cpus
for file in /proc/irq/*/smp_affinity_list; do echo 1-2 > $file || :; done 2>&-
"""
AFTERWARDS = """
systemctl revert system.slice user.slice
echo f > /proc/irq/default_smp_affinity
echo 0-3 > /proc/sys/kernel/watchdog_cpumask
echo f > /sys/devices/virtual/workqueue/cpumask
echo f > /sys/devices/virtual/workqueue/writeback/cpumask
echo 0 > /sys/class/net/lo/queues/rx-0/rps_cpus
for file in /proc/irq/*/smp_affinity_list; do echo 0-3 > $file || :; done 2>&-
"""


def test_undo_restores_values_that_are_not_the_usual_ones(guest: Guest) -> None:
    guest.run(OWN_SETTINGS)
    sleepers = [f"exec taskset -c {cpus} sleep inf" for cpus in ("2", "1-2", "0", "2-3")]
    with guest.spawned(*sleepers) as pids:
        found = ["2", "1-2", "0", "2-3"]
        until(lambda: [guest.affinity(pid) for pid in pids] == found)
        with guest.undone():
            guest.apply("2-3")
            assert is_isolated(guest, "2-3", "0-1")
            assert [guest.affinity(pid) for pid in pids] == ["0-1", "1", "0", "0-1"]
        assert [guest.affinity(pid) for pid in pids] == found
    guest.run(AFTERWARDS)
