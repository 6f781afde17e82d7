"""What would harm the guest is refused with nothing changed, and what cannot be had is named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Refused, Trouble
from mdguest.isolation import state
from mdguest.layout import Layout

from tests.guest.fake import FakeGuest, guest, snapshot
from tests.guest.fake.files import BOOT
from tests.guest.scenes import with_pods
from tests.guest.use import changed, command, isolate, plan, problems, scan, state_of, undo, view

POOL = "/sys/fs/cgroup/dedicated.slice"


def refused(
    machine: FakeGuest, cpus: str, kind: type[Trouble], message: str, **settings: Any
) -> None:
    with pytest.raises(kind, match=message):
        isolate(machine, cpus, **settings)
    assert machine.changes == 0


# ---- somebody must keep house ----


@pytest.mark.parametrize(
    ("housekeeping", "isolated"),
    [("first", "1-3"), ("last", "0-2"), ("1", "0,2-3"), ("0-1", "2-3")],
)
def test_where_all_are_dedicated_one_stays_by_policy(housekeeping: str, isolated: str) -> None:
    machine = guest()
    outcome = isolate(machine, "0-3", housekeeping=housekeeping)
    assert str(outcome.plan.dedicated) == isolated
    assert problems(machine, "0-3", housekeeping=housekeeping) == []
    assert any("stay" in note for note in outcome.plan.notes)


def test_the_one_that_stays_is_not_one_that_boot_took_away() -> None:
    machine = guest("7.2", isolcpus="0-2")
    assert str(plan(machine, "0-3").housekeeping) == "3"


def test_a_guest_of_one_cpu_is_left_as_it_is() -> None:
    machine = guest(cpus="0")
    outcome = isolate(machine, "0")
    assert (outcome.plan.mode, outcome.done) == ("", [])
    assert "stays for housekeeping" in outcome.plan.notes[0]


def test_cpu_0_can_be_dedicated() -> None:
    machine = guest()
    isolate(machine, "0")
    assert machine.read(f"{POOL}/cpuset.cpus.partition") == "isolated"
    assert problems(machine, "0") == []


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])
@pytest.mark.parametrize("option", ["isolcpus", "nohz_full"])
def test_the_last_cpus_that_boot_left_are_never_taken(kernel: str, option: str) -> None:
    options: dict[str, Any] = {option: "2-3"}
    machine = guest(kernel, **options)
    refused(machine, "0-1", Refused, r"the kernel command line takes 2-3 \(isolcpus=, nohz_full=\)")


def test_reserved_cpus_that_boot_took_away_are_no_housekeeping() -> None:
    refused(guest(isolcpus="3"), "0-3", Refused, "isolcpus", housekeeping="3")


# ---- CPUs that are not there ----


def test_a_cpu_that_cannot_be_is_bad_input() -> None:
    refused(guest(), "2-7", BadInput, "dedicated_cpus 2-7: this guest has no CPU 4-7, only 0-3")


def test_a_cpu_that_is_not_plugged_in_is_named_and_waited_for() -> None:
    machine = guest(possible="0-7")
    outcome = isolate(machine, "2-4")
    assert str(outcome.plan.dedicated) == "2-3"
    assert "CPU 4 is dedicated, but not plugged in" in outcome.plan.notes[0]


def test_a_cpu_that_is_offline_is_named_and_joins_when_it_comes() -> None:
    machine = guest(online="0-2")
    outcome = isolate(machine, "2-3")
    assert "CPU 3 is dedicated, but offline" in outcome.plan.notes[0]
    assert problems(machine, "2-3") == []
    machine.set_online("0-3")
    isolate(machine, "2-3", anew=False)
    assert problems(machine, "2-3") == []
    assert machine.read(f"{POOL}/cpuset.cpus.effective") == "2-3"


# ---- modes ----


def test_the_mode_is_the_one_that_suits_the_guest() -> None:
    assert plan(guest(), "2-3").mode == "partition"
    assert plan(guest(systemd=None), "2-3").mode == "raw"
    assert plan(with_pods("6.1"), "2-3").mode == "kubernetes"


@pytest.mark.parametrize(
    ("machine", "mode", "message"),
    [
        (guest(cgroup2=False), "partition", "systemd.unified_cgroup_hierarchy=1"),
        (guest(), "raw", "use mode partition"),
        (guest(systemd=None), "partition", "use mode raw"),
        (guest(systemd=None), "kubernetes", "use mode raw"),
    ],
    ids=["no cgroup v2", "raw with systemd", "partition without", "kubernetes without"],
)
def test_a_mode_that_the_guest_cannot_have_is_refused(
    machine: FakeGuest, mode: str, message: str
) -> None:
    refused(machine, "2-3", Refused, message, mode=mode)


def test_pods_may_use_the_dedicated_cpus_and_nobody_else_may() -> None:
    machine = with_pods("6.1")
    isolate(machine, "2-3")
    found = {task.name: str(task.cpus) for task in view(machine, "2-3").facts.tasks}
    assert found["nginx"] == "3"
    assert found["systemd"] == "0-1"


@pytest.mark.parametrize(
    ("machine", "reason"),
    [(guest("5.15"), ""), (guest("6.12", isolcpus="2-3"), "housekeeping")],
    ids=["a kernel without isolated partitions", "one that refuses isolcpus"],
)
def test_a_fence_stands_in_for_a_partition_that_the_kernel_refuses(
    machine: FakeGuest, reason: str
) -> None:
    outcome = isolate(machine, "2-3")
    assert outcome.plan.mode == "fence"
    assert reason in outcome.refused
    assert "the kernel refused a partition" in outcome.plan.because
    assert problems(machine, "2-3") == []
    assert state_of(machine, "2-3") == "degraded"


# ---- interrupts ----


@pytest.mark.parametrize("kernel", ["6.1", "6.12"])
def test_a_managed_interrupt_is_told_and_no_error(kernel: str) -> None:
    machine = guest(kernel)
    outcome = isolate(machine, "2-3")
    assert outcome.failures == {}
    assert outcome.immovable == {"25": "irq 25 (virtio0-req.0)"}
    assert any("managed, not movable: irq 25" in note for note in outcome.plan.notes)
    assert problems(machine, "2-3") == []


def test_irqbalance_has_until_its_next_scan() -> None:
    machine = guest()
    isolate(machine, "2-3")
    remembered = state.load(machine)
    assert view(machine, "2-3").problems == []
    overdue = state.save(machine, remembered.__class__(**{**vars(remembered), "applied_at": 1.0}))
    assert overdue.applied_at == 1.0
    assert [problem.what for problem in view(machine, "2-3").problems] == ["irqbalance"]
    scan(machine)
    assert view(machine, "2-3").problems == []


# ---- others ----


def test_a_neighbour_that_claims_the_cpus_is_told_and_healed() -> None:
    machine = guest()
    isolate(machine, "2-3")
    machine.set_property("user.slice", "AllowedCPUs=0-3")
    found = {problem.what: problem.found for problem in problems(machine, "2-3")}
    assert found["user.slice AllowedCPUs"] == "0-3"
    assert "not exclusive" in found[f"{POOL}/cpuset.cpus.partition"]
    isolate(machine, "2-3", anew=False)
    assert problems(machine, "2-3") == []


def test_a_task_that_is_let_onto_the_cpus_is_told() -> None:
    machine = guest(systemd=None)
    isolate(machine, "2-3")
    machine.write("/sys/fs/cgroup/dedicated/cpuset.cpus.partition", "member")
    assert any("partition" in problem.what for problem in problems(machine, "2-3"))


WRONG: dict[str, tuple[Any, ...]] = {
    "dedicated": ("x", 7, None),
    "isolating": ("2-3 x", {}),
    "left": ("0-1 x", 7),
    "exempt": ("ovs", "ovs.slice=2 ovs.slice=3"),
    "housekeeping": ("", "x"),
    "mode": ("other", None),
    "partition": ("member",),
    "immovable": ([], {"25": 1}),
    "since": ("1",),
}
GARBAGE = [
    *("", "{", "[]", '{"boot": 1}', '{"unknown": 1}', "\0"),
    *(json.dumps({"boot": BOOT, name: value}) for name in WRONG for value in WRONG[name]),
]


@pytest.mark.parametrize("text", GARBAGE)
def test_a_state_that_is_garbage_counts_as_none(text: str) -> None:
    machine = guest()
    machine.save(state.STATE, text)
    machine.save(state.LAST_GOOD, text)
    assert state.load(machine) == state.State()
    assert state.last_good(machine) is None
    assert isolate(machine, "2-3").failures == {}


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(state.State)])
def test_no_value_of_a_state_ends_a_command(name: str) -> None:
    values: list[Any] = ["9-1", "x y", "-", 7, None, [], {"x": 1}, {"x": "y"}]
    for wrong in values:
        machine = guest()
        isolate(machine, "2-3")
        fields = json.loads(machine.read(state.STATE))
        machine.save(state.STATE, json.dumps({**fields, name: wrong}))
        assert {command(machine, each)[0] for each in ("verify", "status", "undo")} <= {0, 3, 4}


def test_what_a_newer_version_has_left_can_be_undone() -> None:
    machine = guest(worker="3")
    before = snapshot(machine)
    isolate(machine, "2-3")
    fields = json.loads(machine.read(state.STATE))
    machine.save(state.STATE, json.dumps({**fields, "since_then": 7}))
    machine.append(
        "/run/mdguest/journal",
        '\n{"kind": "frequency", "target": "3", "was": "1"}'
        '\n{"settling": true, "intent": {"frequency": "low"}}\n{"boosted": []}',
    )
    assert state.load(machine).isolated == "2-3"
    undo(machine)
    assert changed(machine, before) == {}


def test_what_was_applied_before_a_reboot_is_not_applied_now() -> None:
    machine = guest()
    isolate(machine, "2-3")
    machine.save("/proc/sys/kernel/random/boot_id", "another\n")
    assert state.load(machine) == state.State()


def test_the_layout_of_a_machine_that_this_one_is_a_clone_of_says_nothing() -> None:
    machine = guest()
    machine.save("/sys/class/dmi/id/product_uuid", "one\n")
    state.keep(machine, Layout(CpuSet.parse("2-3"), "metadata"))
    assert state.last_good(machine) == Layout(CpuSet.parse("2-3"), "metadata")
    machine.save("/sys/class/dmi/id/product_uuid", "another\n")
    assert state.last_good(machine) is None


def test_an_undo_of_nothing_changes_nothing() -> None:
    assert undo(guest()).done == []


@pytest.mark.parametrize(
    "act", [lambda made: isolate(made, "1-3"), undo, lambda made: view(made, "2-3")]
)
def test_while_systemd_does_not_answer_nothing_is_made_of_that(
    act: Callable[[FakeGuest], object],
) -> None:
    made = guest()
    assert made.systemd
    before = snapshot(made)
    isolate(made, "2-3")
    scan(made)
    isolated = snapshot(made)
    made.systemd.answers = False
    with pytest.raises(OSError, match="Connection timed out"):
        act(made)
    assert snapshot(made) == isolated
    made.systemd.answers = True
    assert problems(made, "2-3") == []
    undo(made)
    assert changed(made, before) == {}
