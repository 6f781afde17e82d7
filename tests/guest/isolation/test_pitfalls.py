"""The pitfalls of real kernels and neighbours: each by its name, on each kernel that has it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from mdguest import cli, control
from mdguest.cpuset import CpuSet
from mdguest.errors import Refused
from mdguest.isolation.journal import JOURNAL, Journal
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, guest, snapshot
from tests.guest.use import changed, isolate, later, problems, scan, state_of, undo

each_kernel = pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])
older = pytest.mark.parametrize("kernel", ["6.1", "6.12"])
PARTITION = "/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition"


def names(made: FakeGuest) -> dict[str, str]:
    return {task.name: str(made.affinity(task.tid)) for task in made.tasks}


@each_kernel
def test_cpu_0_can_be_dedicated(kernel: str) -> None:
    made = guest(kernel)
    assert isolate(made, "0").failures == {}
    assert made.read("/sys/fs/cgroup/cpuset.cpus.effective") == "1-3"
    assert problems(made, "0") == []


@each_kernel
def test_the_crash_with_isolcpus_is_refused_and_nothing_changed(kernel: str) -> None:
    made = guest(kernel, isolcpus="2-3")
    before = snapshot(made)
    with pytest.raises(Refused, match=r"isolcpus=.*none is left"):
        isolate(made, "0-1")
    assert made.changes == 0
    assert changed(made, before) == {}


def test_nohz_full_counts_as_well() -> None:
    with pytest.raises(Refused, match="nohz_full="):
        isolate(guest(isolcpus="2", nohz_full="3"), "0-1")


# ---- modes ----


def test_the_watcher_does_not_ask_again_for_what_was_refused() -> None:
    made = guest("6.12", isolcpus="2-3")
    isolate(made, "2-3")
    scan(made)
    assert isolate(made, "2-3", anew=False).done == []


def test_5_15_gets_a_fence() -> None:
    made = guest("5.15")
    outcome = isolate(made, "2-3")
    assert (outcome.plan.mode, outcome.failures) == ("fence", {})
    assert names(made)["cron"] == "0-1"
    assert names(made)["rcu_preempt"] == "0-1"


def test_5_15_knows_partitions_of_type_root() -> None:
    made = guest("5.15")
    assert isolate(made, "2-3", partition="root").plan.mode == "partition"
    assert made.read(PARTITION) == "root"


@pytest.mark.parametrize("sign", ["kubepods.slice", "kubelet.service", "k3s.service"])
def test_a_node_of_kubernetes_is_fenced_and_its_pods_are_not(sign: str) -> None:
    made = guest("6.1")
    assert made.systemd is not None
    made.systemd.add(sign, "" if sign.endswith("slice") else "/system.slice")
    made.spawn("pod", "/kubepods.slice/pod1")
    outcome = isolate(made, "2-3")
    assert (outcome.plan.mode, outcome.failures) == ("kubernetes", {})
    assert (names(made)["pod"], names(made)["cron"]) == ("0-3", "0-1")
    assert "reservedSystemCPUs" in made.read("/run/mdguest/kubelet.conf.d/50-mdguest.conf")
    assert not made.exists("/sys/fs/cgroup/dedicated.slice")


# ---- what cannot be had is named ----


def test_with_every_dedicated_cpu_offline_there_is_no_partition_yet() -> None:
    made = guest(online="0-1")
    notes = isolate(made, "2-3").plan.notes
    assert "none is online" in " ".join(notes)
    assert problems(made, "2-3") == []
    made.set_online("0-3")
    assert [problem.what for problem in problems(made, "2-3")] == [PARTITION]
    assert isolate(made, "2-3").failures == {}
    assert made.read(PARTITION) == "isolated"


# ---- what others do ----


@older
def test_a_hostile_sibling_is_found_and_healed(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    made.set_property("user.slice", "AllowedCPUs=0-3")
    found = {problem.what: problem.found for problem in problems(made, "2-3")}
    assert "not exclusive" in found[PARTITION]
    assert state_of(made, "2-3") == "broken"
    assert isolate(made, "2-3").failures == {}
    assert made.read(PARTITION) == "isolated"
    assert problems(made, "2-3") == []


@older
def test_undo_gives_a_hostile_sibling_what_it_asked_for(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    made.set_property("user.slice", "AllowedCPUs=0-3")
    isolate(made, "2-3")
    undo(made)
    assert made.systemd is not None
    assert str(made.systemd.units["user.slice"].allowed) == "0-3"


@each_kernel
def test_hotplug_heals(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    made.spawn("worker", "/dedicated.slice")
    made.set_online("0-1")
    made.set_online("0-3")
    isolate(made, "2-3")
    assert made.read(PARTITION) == "isolated"
    assert problems(made, "2-3") == []


@each_kernel
def test_a_reload_of_systemd_changes_nothing(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    made.daemon_reload()
    assert problems(made, "2-3") == []


@each_kernel
def test_a_slice_that_has_ended_meanwhile_leaves_nothing_behind(kernel: str) -> None:
    made = guest(kernel)
    before = snapshot(made)
    assert made.systemd is not None
    made.run("systemctl", "start", "later.slice")
    isolate(made, "2-3", mode="fence")
    assert made.systemd.allowed()["later.slice"] == CpuSet.parse("0-1")
    made.run("systemctl", "stop", "later.slice")
    assert problems(made, "2-3", mode="fence") == []
    assert undo(made).failures == {}
    assert changed(made, before) == {}


@each_kernel
def test_a_slice_that_comes_back_is_fenced_from_its_start(kernel: str) -> None:
    made = guest(kernel)
    made.run("systemctl", "start", "later.slice")
    isolate(made, "2-3", mode="fence")
    made.run("systemctl", "stop", "later.slice")
    isolate(made, "2-3", mode="fence")
    made.run("systemctl", "start", "later.slice")
    late = made.spawn("late", "/later.slice", CpuSet.parse("0-3"))
    assert problems(made, "2-3", mode="fence") == []
    assert str(made.affinity(late.tid)) == "0-1"
    undo(made)
    assert str(made.affinity(late.tid)) == "0-3"


@each_kernel
def test_nobody_stops_the_pool_by_mistake(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    assert made.run("systemctl", "stop", "dedicated.slice").status
    assert problems(made, "2-3") == []


@each_kernel
def test_a_kernel_thread_that_is_born_later_is_moved_at_the_next_apply(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3", mode="fence")
    made.spawn_kernel("late", CpuSet.parse("0-3"))
    assert problems(made, "2-3") == [], "not while it is new"
    later(made)
    assert any("late" in problem.what for problem in problems(made, "2-3"))
    isolate(made, "2-3", mode="fence")
    assert names(made)["late"] == "0-1"
    undo(made)
    assert names(made)["late"] == "0-3"


@each_kernel
@pytest.mark.parametrize("mode", ["partition", "fence", "kubernetes"])
def test_the_thread_that_systemd_has_at_each_reload_is_moved_and_no_alarm(
    kernel: str, mode: str
) -> None:
    """psimon: systemd 257 has the kernel watch for want of memory, anew after each reload."""
    made = guest(kernel)
    isolate(made, "2-3", mode=mode)
    said: list[str] = []
    for _ in range(3):
        made.daemon_reload()
        assert problems(made, "2-3") == []
        healing = control.heal(made, Settings(), said.append)
        assert (healing.warnings, healing.outcome) == ((), None)
        assert names(made).get("psimon", "0-1") == "0-1"
        later(made)
        assert problems(made, "2-3") == []
    assert not any("healing" in line for line in said)
    assert len(Journal(made).originals) < 40, "those that have ended are forgotten"
    assert undo(made).failures == {}
    assert names(made).get("psimon", "0-3") == "0-3"


# ---- what is remembered ----


@pytest.mark.parametrize("text", ["", "{", '{"boot": 7}', "\n\n\n"])
def test_a_journal_that_is_none_is_empty(text: str) -> None:
    made = guest()
    made.save(JOURNAL, text)
    assert Journal(made).originals == {}
    assert isolate(made, "2-3").failures == {}


# ---- what goes wrong is one message ----


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made() -> FakeGuest:
    machine = guest()
    machine.disk.put("/etc/layout", "2-3\n")
    return machine


@pytest.fixture
def run(
    made: FakeGuest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """The command on that guest: its exit status, stdout and stderr."""
    monkeypatch.setattr("mdguest.system.System", lambda: made)

    def run(*arguments: str) -> tuple[int, str, str]:
        return cli.main([*arguments, "--source", "file:/etc/layout"]), *capsys.readouterr()

    return run


@pytest.mark.parametrize(
    "path", ["/run/mdguest", "/sys/fs/cgroup/cgroup.controllers", "/etc/layout"]
)
def test_who_may_not_is_told_so_in_one_line(path: str, made: FakeGuest, run: Run) -> None:
    made.denied = (path,)
    status, out, err = run("apply")
    assert status != 0
    assert out == ""
    assert err.startswith("mdguest: ")
    assert err.count("\n") == 1


def test_what_would_not_be_set_is_listed_and_the_rest_is_done(
    made: FakeGuest, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/proc/sys/kernel/watchdog_cpumask"
    write = FakeGuest.write

    def stubborn(made: FakeGuest, target: str, text: str) -> None:
        if target == path:
            raise OSError(errno.EIO, "Input/output error")
        write(made, target, text)

    monkeypatch.setattr(FakeGuest, "write", stubborn)
    status, _, err = run("apply")
    assert (status, err.splitlines()) == (
        1,
        ["mdguest: not everything could be set:", f"  {path}: Input/output error"],
    )
    assert made.read(PARTITION) == "isolated"


@each_kernel
@pytest.mark.parametrize("numa", [("0-3",), ("0-1", "2-3")], ids=["one cell", "two cells"])
def test_a_cpu_that_is_lost_for_a_moment_keeps_no_kernel_thread_elsewhere(
    kernel: str, numa: tuple[str, ...]
) -> None:
    """Linux 6.12 loses one that a layout takes of an exempt slice, and leaves rescuers behind."""
    made = guest(kernel, "0-3", numa=numa, irqbalance=False)
    assert made.systemd
    made.systemd.add("custom0.slice")
    made.spawn("claimant", "/custom0.slice")
    made.set_property("custom0.slice", "AllowedCPUs=0")
    before = snapshot(made)
    for layout in ("0-2", "0,3"):
        assert isolate(made, layout, exempt="ovs.slice=0-1").failures == {}
    assert names(made)["kworker/R-rcu_g"] == "1-2"
    assert undo(made).failures == {}
    assert changed(made, before) == {}
