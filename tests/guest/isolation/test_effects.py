"""What the kernel makes of what it was told: interrupts, CPUs that get lost, containers."""

from __future__ import annotations

import pytest
from mdguest import control
from mdguest.cpuset import CpuSet
from mdguest.errors import Refused
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, Killed, guest, snapshot
from tests.guest.fake.devices import Irq
from tests.guest.use import changed, isolate, plan, problems, undo, view

each_kernel = pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])


def device(made: FakeGuest, number: int = 26) -> Irq:
    return next(irq for irq in made.devices.irqs if irq.number == number)


def healed(made: FakeGuest) -> control.Healing:
    """What ``watch`` does at its next look."""
    return control.heal(made, Settings(), lambda _: None)


# ---- interrupts ----


def test_a_line_that_moves_at_its_next_interrupt_is_no_problem() -> None:
    made = guest()
    isolate(made, "2-3")
    device(made).comes_to = CpuSet.parse("3")
    assert problems(made, "2-3") == []
    device(made).busy = True  # and moves while it is looked at
    assert problems(made, "2-3") == []


def test_an_interrupt_that_comes_elsewhere_than_it_was_told_is_named() -> None:
    made = guest()
    isolate(made, "2-3")
    irq = device(made)
    irq.comes_to, irq.busy, irq.stuck = CpuSet.parse("3"), True, True
    [problem] = problems(made, "2-3")
    assert (problem.what, problem.found) == ("irq 26 (virtio1-input.0)", "it comes to CPU 3")
    assert "no interrupt vector is left on CPU 0-1: give devices fewer queues" in problem.why


def test_one_that_comes_to_a_shared_cpu_is_nobodys_problem() -> None:
    made = guest()
    isolate(made, "2-3", housekeeping="0-1")
    irq = device(made, 24)
    irq.cpus, irq.comes_to, irq.busy, irq.stuck = *map(CpuSet.parse, ("0", "1")), True, True
    assert problems(made, "2-3") == []


def test_an_interrupt_without_a_vector_is_an_error_of_apply_and_not_tried_for_ever() -> None:
    made = guest()
    made.devices.full = CpuSet.parse("0-1")
    outcome = isolate(made, "2-3")
    lines = {knob.target: message for knob, message in outcome.failures.items()}
    assert "no interrupt vector is left on CPU 0-1" in lines["/proc/irq/26/smp_affinity_list"]
    found = {problem.what: problem.heals for problem in problems(made, "2-3")}
    assert found["irq 26 (virtio1-input.0)"] is False
    made.count_anew()
    assert healed(made).outcome is None
    assert made.changes == 0


def test_once_there_is_a_vector_apply_moves_it() -> None:
    made = guest()
    before = snapshot(made)
    made.devices.full = CpuSet.parse("0-1")
    isolate(made, "2-3")
    made.devices.full = CpuSet()
    assert isolate(made, "2-3").failures == {}
    assert problems(made, "2-3") == []
    undo(made)
    assert changed(made, before) == {}


def test_one_for_which_no_vector_is_left_now_goes_back_where_it_was_at_first() -> None:
    made = guest(worker="3")
    before = snapshot(made)
    isolate(made, "2-3")
    made.devices.full = CpuSet.parse("0,3")
    isolate(made, "1-2")
    assert problems(made, "1-2") != []
    made.devices.full = CpuSet()
    undo(made)
    assert changed(made, before) == {}


def test_another_device_with_the_number_of_one_that_could_not_be_moved_is_moved() -> None:
    made = guest()
    isolate(made, "2-3")
    made.devices.irqs.remove(device(made, 25))
    made.devices.irqs.append(Irq(25, "virtio5-input.0", CpuSet.parse("3")))
    made.tree.version += 1
    assert [problem.what for problem in problems(made, "2-3")] == ["irq 25 (virtio5-input.0)"]
    assert not [note for note in view(made, "2-3").plan.notes if "managed" in note]
    healed(made)
    assert str(device(made, 25).cpus) == "0-1"


# ---- CPUs that the kernel loses ----


def root(made: FakeGuest) -> str:
    return made.read("/sys/fs/cgroup/cpuset.cpus.effective")


def broken(made: FakeGuest) -> None:
    """CPUs 1-3 are isolated, and then a neighbour makes the partition invalid."""
    isolate(made, "1-3")
    made.set_property("user.slice", "AllowedCPUs=0-3")


def lossy(made: FakeGuest) -> None:
    """Somebody else makes a partition smaller that is invalid: CPU 1 is lost."""
    broken(made)
    made.set_property("user.slice", "AllowedCPUs=0-1")
    made.set_property("dedicated.slice", "AllowedCPUs=2-3")


@each_kernel
def test_no_cpu_is_lost_by_a_partition_that_was_invalid(kernel: str) -> None:
    made = guest(kernel)
    broken(made)
    assert isolate(made, "2-3").failures == {}
    assert (root(made), problems(made, "2-3")) == ("0-1", [])
    undo(made)
    assert root(made) == "0-3"


def test_a_cpu_that_belongs_to_nobody_is_a_problem_and_apply_has_it_back() -> None:
    made = guest("6.12")
    lossy(made)
    assert root(made) == "0"
    outcome = isolate(made, "2-3")
    assert outcome.failures == {}
    assert (root(made), problems(made, "2-3")) == ("0-1", [])
    assert not made.exists("/sys/fs/cgroup/mdguest-spare")


def test_verify_says_that_a_cpu_belongs_to_nobody() -> None:
    made = guest("6.12")
    isolate(made, "2-3")
    made.tree.lost = CpuSet.parse("1")
    made.tree.settle()
    found = {problem.what: problem.why for problem in problems(made, "2-3")}
    assert "CPU 1 belongs to nobody" in found["the root's cpuset.cpus.effective"]
    assert healed(made).outcome is not None
    assert (root(made), problems(made, "2-3")) == ("0-1", [])


def test_a_run_that_is_killed_on_the_way_back_leaves_nothing() -> None:
    start = guest("6.12")
    isolate(start, "2-3")
    start.set_property("user.slice", "AllowedCPUs=0-1")
    start.tree.lost = CpuSet.parse("1")
    start.tree.settle()
    for number in range(1, 40):
        made = start.copy()
        made.kill_at(number)
        try:
            isolate(made, "2-3")
        except Killed:
            made.revive()
        else:
            break
        assert isolate(made, "2-3").failures == {}
        assert (root(made), problems(made, "2-3")) == ("0-1", [])
        assert made.read("/sys/fs/cgroup/user.slice/cpuset.cpus") == "0-1", number
        assert not made.exists("/sys/fs/cgroup/mdguest-spare")
        assert not made.exists("/run/mdguest/room.json")
    assert number > 10


def test_undo_has_a_lost_cpu_back() -> None:
    made = guest("6.12")
    before = snapshot(made)
    isolate(made, "2-3")
    made.tree.lost = CpuSet.parse("1")
    made.tree.settle()
    assert undo(made).failures == {}
    assert root(made) == "0-3"
    assert changed(made, before) == {}


# ---- containers ----


def container(kernel: str = "6.1") -> FakeGuest:
    """One that systemd runs."""
    made = guest(kernel)
    made.disk.put("/run/systemd/container", "lxc\n")
    return made


@each_kernel
def test_in_a_container_what_is_the_hosts_is_left_alone_and_that_is_said(kernel: str) -> None:
    made = container(kernel)
    before = snapshot(made)
    outcome = isolate(made, "2-3")
    assert outcome.failures == {}
    assert "in a container (lxc): interrupts, workqueues and kernel threads" in " ".join(
        outcome.plan.notes
    )
    assert outcome.plan.reboot == ()
    after = snapshot(made)
    touched = {name for name in before if before[name] != after.get(name)}
    assert not [name for name in touched if "/irq/" in name or "watchdog" in name]
    assert problems(made, "2-3") == []


@pytest.mark.parametrize(
    ("path", "text", "name"),
    [
        ("/run/systemd/container", "systemd-nspawn\n", "systemd-nspawn"),
        ("/proc/1/environ", "PATH=/bin\0container=lxc\0", "lxc"),
        ("/.dockerenv", "", "docker"),
        ("/run/.containerenv", "", "podman"),
    ],
)
def test_a_container_is_known_by(path: str, text: str, name: str) -> None:
    made = guest()
    made.disk.put(path, text)
    assert view(made, "2-3").facts.container == name


def test_a_pod_is_known_by_what_it_does_not_see() -> None:
    made = guest(systemd=None)
    assert view(made, "2-3").facts.container == ""
    for task in [task for task in made.tasks if task.kernel]:
        made.end(task)
    assert view(made, "2-3").facts.container == "of unknown kind"
    before = snapshot(made)
    assert "in a container (of unknown kind)" in " ".join(isolate(made, "2-3").plan.notes)
    touched = {name for name, now in snapshot(made).items() if before.get(name) != now}
    assert not [name for name in touched if "/irq/" in name or "watchdog" in name]


def test_who_may_not_see_other_processes_takes_no_machine_for_a_container() -> None:
    made = guest()
    for task in [task for task in made.tasks if task.kernel or task.tid == 1]:
        made.end(task)
    assert view(made, "2-3").facts.container == ""


def test_a_container_with_read_only_cgroups_is_refused_and_told_where_to_do_it() -> None:
    made = container()
    made.frozen = True
    with pytest.raises(Refused, match=r"container \(lxc\).*on its host.*--cgroup-parent"):
        plan(made, "2-3")
