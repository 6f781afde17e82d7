"""A partition in a real guest: CPUs 2-3 of four, while everything else is busy."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.vm.snapshot import Task
from tests.vm.tool import PROGRAMS, Guest, cpus, until

DEDICATED = {2, 3}
HOGS = ["exec nice sh -c 'while :; do :; done'"] * 6
"""Nice, so that what the test does meanwhile takes no minutes."""
COUNTED = "/run/counted"
INSIDE = (
    "exec systemd-run --quiet --scope --slice=dedicated.slice"
    f" nice python3 {PROGRAMS}/count.py {COUNTED} 3"
)
INTERRUPTIONS = 100
HOSTILE = "hostile.slice"


@pytest.fixture(scope="module")
def undisturbed(guest: Guest) -> int:
    """How far a program on CPU 3 counts between so many interruptions, where nothing is isolated:
    its work is a clock that no load on this host makes run faster.
    """
    counting = f"exec nice python3 {PROGRAMS}/count.py {COUNTED} 3"
    with guest.spawned(*HOGS), guest.spawned(counting) as [pid]:
        until(lambda: guest.affinity(pid) == "3")
        start, before = guest.counted(COUNTED), interruptions(guest, pid)
        until(lambda: interruptions(guest, pid) - before >= INTERRUPTIONS)
        return guest.counted(COUNTED) - start


@pytest.fixture(scope="module")
def isolated(guest: Guest, undisturbed: int) -> Iterator[Guest]:
    """The guest with its CPUs 2-3 isolated; afterwards everything is as it was."""
    with guest.spawned("exec taskset -c 2 sleep inf") as [chosen]:
        until(lambda: guest.affinity(chosen) == "2")
        with guest.undone():
            guest.apply("2-3")
            yield guest


@pytest.fixture
def inside(isolated: Guest) -> Iterator[int]:
    """A busy program on CPU 3 in the pool."""
    with isolated.spawned(INSIDE) as [pid]:
        until(lambda: "dedicated.slice" in isolated.read(f"/proc/{pid}/cgroup"))
        until(lambda: isolated.affinity(pid) == "3")
        yield pid


def interruptions(guest: Guest, pid: int) -> int:
    """How often others have taken the CPU from a program."""
    status = guest.read(f"/proc/{pid}/status")
    return int(re.findall(r"nonvoluntary_ctxt_switches:\s+(\d+)", status)[0])


def others(guest: Guest) -> list[Task]:
    """Every task that is not in the pool."""
    return [task for task in guest.look().tasks if not task.group.startswith("/dedicated.slice")]


def test_the_partition_is_valid_and_exclusive(isolated: Guest) -> None:
    assert (isolated.pool(".partition"), isolated.pool(".effective")) == ("isolated", "2-3")
    assert isolated.read("/sys/fs/cgroup/cpuset.cpus.effective") == "0-1"
    assert isolated.problems == []


def test_nobody_outside_can_choose_a_cpu_of_the_partition(isolated: Guest) -> None:
    done = isolated.machine.run("taskset -c 2 true", check=False)
    assert done.code == 1
    assert "Invalid argument" in done.stderr


def test_no_task_outside_may_use_the_partition(isolated: Guest) -> None:
    assert [task for task in others(isolated) if task.may_use(DEDICATED)] == []


def test_no_device_interrupt_that_can_be_moved_comes_to_the_partition(isolated: Guest) -> None:
    """An edge-triggered line is moved as it happens, and may come once more to where it was."""
    immovable = isolated.json("status")["immovable_irqs"]
    work = "dd if=/dev/zero of=/srv/file bs=64k count=100 conv=fsync; echo x >/dev/ttyS0"
    first = device_interrupts(isolated, immovable)
    isolated.run(work)
    before = device_interrupts(isolated, immovable)
    isolated.run(work)
    after = device_interrupts(isolated, immovable)
    assert first.keys() == before.keys() == after.keys()
    assert sum(map(sum, after.values())) > sum(map(sum, before.values()))
    late = {irq: sum(after[irq][2:]) - sum(before[irq][2:]) for irq in after}
    moved = {irq for irq in after if sum(before[irq]) > sum(first[irq])}
    assert moved
    assert {irq: count for irq, count in late.items() if count > (irq not in moved)} == {}


def device_interrupts(guest: Guest, immovable: dict[str, str]) -> dict[str, list[int]]:
    """Of each movable device interrupt, how often it came to each CPU."""
    lines = guest.read("/proc/interrupts").splitlines()
    rows = {line.split(":")[0].strip(): line.split() for line in lines[1:]}
    return {
        irq: list(map(int, row[1:5]))
        for irq, row in rows.items()
        if irq.isdecimal() and irq not in immovable
    }


def test_busy_programs_outside_never_come_in(
    isolated: Guest, inside: int, undisturbed: int
) -> None:
    with isolated.spawned(*HOGS) as hogs:
        start, before = isolated.counted(COUNTED), interruptions(isolated, inside)
        until(lambda: isolated.counted(COUNTED) - start >= undisturbed)
        assert interruptions(isolated, inside) - before < INTERRUPTIONS / 4
        for _ in range(3):
            ran = [task for task in others(isolated) if task.state == "R" and not task.kernel]
            assert set(hogs) <= {task.pid for task in ran}
            assert [task for task in ran if task.processor in DEDICATED] == []


@pytest.mark.parametrize(
    "upheaval",
    [
        "systemctl daemon-reload",
        "systemctl daemon-reexec",
        "systemd-run --wait -p AllowedCPUs=0-1 true",
        "systemd-run --wait -p AllowedCPUs=1 --slice=other.slice true; systemctl stop other.slice",
    ],
)
def test_the_partition_survives(isolated: Guest, inside: int, upheaval: str) -> None:
    start = isolated.counted(COUNTED)
    isolated.run(upheaval)
    assert (isolated.pool(".partition"), isolated.pool(".effective")) == ("isolated", "2-3")
    assert isolated.affinity(inside) == "3"
    until(lambda: isolated.counted(COUNTED) > start)


def test_a_hostile_sibling_is_noticed_and_healed(isolated: Guest) -> None:
    with isolated.spawned(f"exec systemd-run --scope --slice={HOSTILE} sleep inf"):
        until(lambda: isolated.code(f"systemctl is-active {HOSTILE}") == 0)
        isolated.run(f"systemctl set-property --runtime {HOSTILE} AllowedCPUs=0-3")
        assert f"{HOSTILE} AllowedCPUs" in isolated.problems
        isolated.apply("2-3")
        assert isolated.problems == []
        assert isolated.pool(".partition") == "isolated"
        [hostile] = [task for task in others(isolated) if HOSTILE in task.group]
        assert hostile.cpus == [0, 1]
    isolated.run(f"systemctl stop {HOSTILE}; systemctl revert {HOSTILE}")


def test_a_dedicated_cpu_goes_offline_and_comes_back(isolated: Guest, inside: int) -> None:
    start = isolated.counted(COUNTED)
    switch(isolated, 2, "0")
    assert isolated.pool(".partition") == "isolated"
    switch(isolated, 2, "1")
    isolated.apply("2-3")
    until(lambda: isolated.problems == [])  # cpusets learn of it a moment later
    assert isolated.pool(".effective") == "2-3"
    # what the program had chosen itself was forgotten with CPU 2 by Linux before 6.2
    assert isolated.affinity(inside) in ("3", "2-3")
    until(lambda: isolated.counted(COUNTED) > start)


def test_all_dedicated_cpus_go_offline_and_come_back(isolated: Guest) -> None:
    for state in "01":
        for cpu in DEDICATED:
            switch(isolated, cpu, state)
        isolated.apply("2-3")
        until(lambda: isolated.problems == [])
    assert (isolated.pool(".partition"), isolated.pool(".effective")) == ("isolated", "2-3")
    assert [task for task in others(isolated) if task.may_use(DEDICATED)] == []


def switch(guest: Guest, cpu: int, state: str) -> None:
    guest.run(f"echo {state} > /sys/devices/system/cpu/cpu{cpu}/online")
    assert (cpu in cpus(guest.read("/sys/devices/system/cpu/online"))) == bool(int(state))


def test_measure_tells_how_quiet_each_cpu_is(isolated: Guest) -> None:
    assert isolated.json("measure --seconds 2")
