"""What verify and the others say of a guest is all that is true of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from mdguest.cpuset import CpuSet

from tests.guest.fake import FakeGuest, guest
from tests.guest.use import command, later, scan

LAYOUT = "/run/mdguest/given"
SOURCE = f"--source=file:{LAYOUT}"


def applied(made: FakeGuest, cpus: str = "2-3", *flags: str) -> FakeGuest:
    made.disk.put(LAYOUT, cpus)
    status, said = command(made, "apply", SOURCE, *flags)
    assert status == 0, said
    scan(made)
    later(made)
    return made


def in_a_container(made: FakeGuest) -> FakeGuest:
    made.disk.put("/run/systemd/container", "lxc")
    return made


def undone(made: FakeGuest) -> FakeGuest:
    assert command(made, "undo")[0] == 0
    scan(made)
    return made


SAID = {
    "isolated": (lambda: applied(guest()), "CPU 2-3 isolated, as it should be\n"),
    "a fence in place of a partition": (
        lambda: applied(guest("6.12", isolcpus="2-3")),
        "CPU 2-3 isolated as far as this guest can: the kernel refused a partition: it reads "
        "'isolated invalid (partition config conflicts with housekeeping setup)' after "
        "'isolated'\n",
    ),
    "a container": (
        lambda: applied(in_a_container(guest())),
        "CPU 2-3 isolated as far as a container can: interrupts, workqueues and kernel threads "
        "are its host's\n",
    ),
    "put back by hand": (
        lambda: undone(applied(guest())),
        "CPU 2-3 was put back by hand; mdguest apply isolates it again\n",
    ),
    "all of them offline": (
        lambda: applied(guest(online="0-1")),
        "no CPU is isolated: of the dedicated CPUs 2-3 none is online\n",
    ),
    "the only CPU": (
        lambda: applied(guest(cpus="0"), "0"),
        "no CPU is to be isolated: no dedicated CPU is left to isolate\n",
    ),
}


@pytest.mark.parametrize(("make", "said"), SAID.values(), ids=SAID)
def test_verify_says_how_well_it_is(make: Callable[[], FakeGuest], said: str) -> None:
    assert command(make(), "verify") == (0, said)


# ---- who may not see everything ----


def test_an_ordinary_user_cannot_verify_and_takes_nothing_for_broken() -> None:
    made = applied(guest())
    made.ordinary = True
    status, said = command(made, "verify")
    assert (status, said.count("\n")) == (1, 1)
    assert "run as root" in said
    assert json.loads(command(made, "status", "--json")[1])["state"] == "isolated"
    assert command(made, "plan", SOURCE)[0] == 0


def test_where_processes_are_hidden_nothing_is_said_to_be_well() -> None:
    made = applied(guest())
    for task in [task for task in made.tasks if task.group.path != "/dedicated.slice"]:
        made.end(task)
    status, said = command(made, "verify")
    assert status == 3
    assert said.startswith("/proc: it hides processes")
    made.ordinary = True
    assert json.loads(command(made, "status", "--json")[1])["problems"] == []


def test_a_layout_that_cannot_be_kept_for_the_next_boot_is_one_line_of_apply() -> None:
    made = guest()
    made.disk.put(LAYOUT, "2-3")
    made.denied = ("/var/lib/mdguest",)
    status, said = command(made, "apply", SOURCE)
    assert status == 1
    assert "not everything could be set:\n  /var/lib/mdguest/layout.json: " in said
    made.denied = ()
    assert command(made, "verify")[0] == 0


# ---- what only others can put right ----


def with_a_kubelet(made: FakeGuest) -> FakeGuest:
    assert made.systemd
    made.systemd.add("kubelet.service", "/system.slice", active=False)
    return made


def test_each_command_names_what_only_others_can_put_right() -> None:
    made = with_a_kubelet(guest())
    made.disk.put("/var/lib/kubelet/cpu_manager_state", '{"policyName": "none"}')
    made.disk.put(LAYOUT, "2-3")
    problem = "policy none, expected policy static: no pod gets a CPU to itself"
    for words, status in (("plan", 0), ("apply", 0), ("doctor", 0), ("status", 0), ("verify", 3)):
        found, said = command(made, words, SOURCE)
        scan(made)
        later(made)
        assert (found, problem in said) == (status, True), words
        assert "policy none" in command(made, words, SOURCE, "--json")[1], words


def test_apply_warns_where_a_kubelets_pods_get_shared_cpus() -> None:
    made = with_a_kubelet(guest())
    made.disk.put(LAYOUT, "2-3")
    status, said = command(made, "apply", SOURCE, "--mode=partition")
    assert status == 0
    assert "warning: kubelet.service: here, in mode partition" in said


def test_apply_names_who_is_displaced_also_where_something_else_fails() -> None:
    made = guest()
    made.spawn("pmd", "/system.slice/cron.service", CpuSet.parse("3"))
    made.devices.full = CpuSet.parse("0-1")
    made.disk.put(LAYOUT, "2-3")
    status, said = command(made, "apply", SOURCE)
    assert status == 1
    assert "warning: cron.service, thread pmd (" in said
    assert "not everything could be set" in said


def test_what_apply_can_put_right_is_no_warning() -> None:
    made = guest()
    made.disk.put(LAYOUT, "2-3")
    assert "Only others" not in command(made, "plan", SOURCE)[1]
    assert "warning" not in command(made, "apply", SOURCE)[1]
