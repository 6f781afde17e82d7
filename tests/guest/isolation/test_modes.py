"""Every mode on every kernel, from the first apply to the undo, and changes on the way."""

from __future__ import annotations

import pytest
from mdguest.cpuset import CpuSet
from mdguest.errors import Refused
from mdguest.isolation.plan import Plan

from tests.guest.fake import FakeGuest, guest, snapshot
from tests.guest.fake.snapshot import differences
from tests.guest.scenes import SCENES, Scene, crowded
from tests.guest.use import changed, isolate, later, plan, problems, scan, state_of, undo

DEDICATED = CpuSet.parse("2-3")
each_scene = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
each_kernel = pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])


@each_scene
def test_apply_leaves_nothing_to_complain_of(scene: Scene) -> None:
    made = scene.make()
    outcome = isolate(made, "2-3", **scene.settings)
    assert (outcome.plan.mode, outcome.failures) == (scene.mode, {})
    assert problems(made, "2-3", **scene.settings) == []


@each_scene
def test_apply_leaves_nobody_else_on_the_dedicated_cpus(scene: Scene) -> None:
    made = scene.make()
    isolate(made, "2-3", **scene.settings)
    at_home = ("/dedicated", *("/ovs.slice" for _ in scene.settings.get("exempt", "").split()))
    at_home += ("/kubepods",) if scene.mode == "kubernetes" else ()
    others = [task for task in made.tasks if not task.group.path.startswith(at_home)]
    strays = [
        task.name for task in others if not task.bound and made.affinity(task.tid) & DEDICATED
    ]
    assert (strays, len(others) > 3) == ([], True)


@each_scene
def test_a_second_apply_changes_nothing(scene: Scene) -> None:
    made = scene.make()
    isolate(made, "2-3", **scene.settings)
    scan(made)
    before = snapshot(made)
    assert isolate(made, "2-3", anew=False, **scene.settings).done == []
    assert changed(made, before) == {}


@each_scene
def test_undo_brings_every_value_back_and_leaves_nothing_to_do(scene: Scene) -> None:
    made = scene.make()
    before = snapshot(made)
    isolate(made, "2-3", **scene.settings)
    assert undo(made).failures == {}
    assert changed(made, before) == {}
    assert plan(made, "").changes == ()
    assert not made.exists("/run/mdguest/journal") or made.irqbalance


@each_scene
def test_going_from_one_set_to_another_is_as_good_as_a_fresh_start(scene: Scene) -> None:
    fresh, moved = scene.make(), scene.make()
    isolate(fresh, "1-2", **scene.settings)
    isolate(moved, "2-3", **scene.settings)
    isolate(moved, "1-2", **scene.settings)
    scan(fresh)
    scan(moved)
    assert differences(snapshot(fresh), snapshot(moved)) == {}


# ---- what runs in the pool ----

BESIDE = ("partition", "fence", "raw")


def busy(kernel: str, mode: str) -> FakeGuest:
    """A guest of 8 CPUs, 2-5 of them isolated, with two programs on subsets of the pool."""
    made = guest(kernel, "0-7", systemd=None if mode == "raw" else -1)
    isolate(made, "2-5", mode=mode)
    scan(made)
    for name, cpus in (("a", "2-3"), ("b", "4-5")):
        if made.systemd:
            group = made.systemd.run_scope(f"mdguest-{name}.scope", cpus).group
        else:
            made.tree.write_controllers(made.tree.find("/dedicated"), "+cpuset")
            group = f"/dedicated/mdguest-{name}"
            made.tree.write_cpus(made.tree.make(group), cpus)
        for cpu in CpuSet.parse(cpus):
            made.spawn(f"{name}{cpu}", group, CpuSet.of([cpu]))
    return made


def places(made: FakeGuest) -> dict[str, str]:
    """Where the pool's programs may run."""
    pool = (task for task in made.tasks if "/dedicated" in task.group.path)
    return {task.name: str(made.affinity(task.tid)) for task in pool}


each_mode = pytest.mark.parametrize("mode", BESIDE)


@each_kernel
@each_mode
def test_programs_in_the_pool_keep_their_cpus_while_it_changes(kernel: str, mode: str) -> None:
    made = busy(kernel, mode)
    before = places(made)
    for cpus in ("2-6", "1-5", "2-5,7", "2-5"):
        assert isolate(made, cpus, mode=mode).failures == {}
        assert problems(made, cpus, mode=mode) == []
        assert places(made) == before
    assert made.tasks.killed == []


@each_kernel
@each_mode
def test_a_program_that_loses_a_cpu_gets_a_free_one(kernel: str, mode: str) -> None:
    made = busy(kernel, mode)
    isolate(made, "3-6", mode=mode)
    assert places(made) == {"a2": "3,6", "a3": "3", "b4": "4", "b5": "5"}
    assert problems(made, "3-6", mode=mode) == []
    isolate(made, "2-5", mode=mode)
    assert places(made) == {"a2": "2", "a3": "3", "b4": "4", "b5": "5"}


@each_kernel
@each_mode
def test_a_program_for_which_no_cpu_is_left_is_named(kernel: str, mode: str) -> None:
    made = busy(kernel, mode)
    [note] = crowded_out(plan(made, "3-5", mode=mode))
    assert note.endswith("held CPU 2-3 and too few are free: it keeps CPU 3")
    isolate(made, "3-5", mode=mode)
    [note] = crowded_out(plan(made, "4-5", mode=mode))
    assert note.endswith("held CPU 3 and too few are free: it shares all of the pool")
    assert crowded_out(isolate(made, "4-5", mode=mode).plan) == [note]
    assert problems(made, "4-5", mode=mode) == []
    assert crowded_out(isolate(made, "3-5", mode=mode).plan) == []


def crowded_out(made: Plan) -> list[str]:
    return [note for note in made.notes if note.startswith("mdguest-a")]


@each_kernel
@each_mode
def test_undo_stops_nobody_and_says_that_programs_still_run(kernel: str, mode: str) -> None:
    made = busy(kernel, mode)
    before = places(made)
    outcome = undo(made)
    assert outcome.failures == {}
    assert any("still run" in note for note in outcome.plan.notes)
    assert (places(made), made.tasks.killed) == (before, [])


@pytest.mark.parametrize("kernel", ["6.12", "7.2"])
@each_mode
def test_a_second_undo_removes_the_pool_once_they_have_ended(kernel: str, mode: str) -> None:
    before = snapshot(guest(kernel, "0-7", systemd=None if mode == "raw" else -1))
    made = busy(kernel, mode)
    undo(made)
    for task in [task for task in made.tasks if "/mdguest-" in task.group.path]:
        made.end(task)
    if made.systemd:
        made.systemd.collect("mdguest-a.scope")
        made.systemd.collect("mdguest-b.scope")
    assert undo(made).failures == {}
    assert changed(made, before) == {}


@each_kernel
def test_a_subset_that_is_balanced_by_itself_is_no_fault(kernel: str) -> None:
    made = busy(kernel, "partition")
    made.write("/sys/fs/cgroup/dedicated.slice/mdguest-a.scope/cpuset.cpus.partition", "root")
    assert made.read("/sys/fs/cgroup/dedicated.slice/cpuset.cpus.effective") == "4-5"
    assert problems(made, "2-5") == []


def test_kernel_threads_that_come_to_balanced_cpus_are_moved_and_put_back() -> None:
    made = busy("7.2", "partition")
    made.write("/sys/fs/cgroup/dedicated.slice/mdguest-a.scope/cpuset.cpus.partition", "root")
    threads = [task for task in made.tasks if task.kernel and not task.bound]
    for task in threads:
        task.mask = CpuSet.parse("0-3,6-7")  # all but 4-5, which are isolated
    later(made)
    assert len(problems(made, "2-5")) == len(threads) > 3
    isolate(made, "2-5")
    assert problems(made, "2-5") == []
    undo(made)
    assert {str(made.affinity(task.tid)) for task in threads} == {"0-7"}


@each_kernel
@pytest.mark.parametrize("mode", ["partition", "raw"])
def test_each_cpu_of_a_pool_that_is_balanced_from_now_on_is_woken(kernel: str, mode: str) -> None:
    made = busy(kernel, mode)
    assert str(made.tree.asleep) == "2-5"
    isolate(made, "2-5", partition="root")
    assert not made.tree.asleep
    assert not made.exists(made.glob("/sys/fs/cgroup/dedicated*")[0] + "/wake")


def test_no_cpu_is_disturbed_to_put_an_interrupt_back() -> None:
    made = guest("6.1")
    isolate(made, "2-3", partition="root")
    made.tree.asleep = CpuSet.parse("3")
    made.write("/proc/irq/default_smp_affinity", "f")
    assert isolate(made, "2-3", partition="root").done
    assert str(made.tree.asleep) == "3"


@each_kernel
def test_a_program_with_an_affinity_of_its_own_keeps_what_it_chooses_later(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    cron = next(task for task in made.tasks if task.name == "cron")
    made.set_affinity(cron.tid, CpuSet.of([1]))
    isolate(made, "2-3")
    assert undo(made).failures == {}
    assert str(made.affinity(cron.tid)) == "1"


@each_kernel
def test_a_crowded_guest_is_isolated_and_put_back(kernel: str) -> None:
    made = crowded(kernel)
    before = snapshot(made)
    assert isolate(made, "2-3").failures == {}
    assert problems(made, "2-3") == []
    assert state_of(made, "2-3") == "displaced", "qemu chose CPU 2, and db) worker CPU 3"
    assert state_of(made, "2-3", ignore="vm.scope,db.service") == "isolated"
    undo(made)
    assert changed(made, before) == {}
    assert state_of(made, "") == "off"


@each_kernel
def test_a_change_to_kubernetes_leaves_programs_in_the_pool_alone(kernel: str) -> None:
    made = guest(kernel)
    before = snapshot(made)
    isolate(made, "2-3")
    program = made.spawn("dpdk", "/dedicated.slice")
    outcome = isolate(made, "2-3", mode="kubernetes")
    assert program in made.tasks
    assert any("programs still run in dedicated.slice" in note for note in outcome.plan.notes)
    assert problems(made, "2-3", mode="kubernetes") == []
    made.end(program)
    isolate(made, "2-3", mode="kubernetes")
    assert made.systemd
    assert not made.exists("/sys/fs/cgroup/dedicated.slice")
    undo(made)
    assert changed(made, before) == {}


def neighbour(kernel: str, cpus: str) -> FakeGuest:
    """A guest whose owner has made a partition of these CPUs."""
    made = guest(kernel)
    assert made.systemd
    made.systemd.add("rt.slice")
    made.set_property("rt.slice", f"AllowedCPUs={cpus}")
    made.write("/sys/fs/cgroup/rt.slice/cpuset.cpus.partition", "isolated")
    assert made.read("/sys/fs/cgroup/rt.slice/cpuset.cpus.partition") == "isolated"
    return made


@each_kernel
@pytest.mark.parametrize("mode", ["partition", "kubernetes", "fence"])
def test_cpus_of_somebody_elses_partition_are_refused(kernel: str, mode: str) -> None:
    made = neighbour(kernel, "3")
    before = snapshot(made)
    with pytest.raises(Refused, match=r"CPU 3 cannot be isolated: it is in rt\.slice"):
        isolate(made, "2-3", mode=mode)
    assert changed(made, before) == {}


@each_kernel
@pytest.mark.parametrize("mode", ["partition", "kubernetes", "fence"])
def test_so_are_those_of_a_partition_deeper_down(kernel: str, mode: str) -> None:
    made = neighbour(kernel, "1,3")
    inner = made.tree.make("/rt.slice/inner")
    made.write("/sys/fs/cgroup/rt.slice/cgroup.subtree_control", "+cpuset")
    made.tree.write_cpus(inner, "3")
    made.tree.write_partition(inner, "isolated")
    assert inner.is_root
    assert str(made.tree.find("/rt.slice").effective) == "1"
    with pytest.raises(Refused, match=r"CPU 3 cannot be isolated: it is in rt\.slice/inner"):
        isolate(made, "2-3", mode=mode)
    outcome = isolate(made, "2", mode=mode)
    assert str(outcome.plan.housekeeping) == "0"


@each_kernel
def test_somebody_elses_partition_of_other_cpus_stays_as_it_is(kernel: str) -> None:
    made = neighbour(kernel, "1")
    before = snapshot(made)
    isolate(made, "2-3")
    assert made.read("/sys/fs/cgroup/rt.slice/cpuset.cpus.partition") == "isolated"
    undo(made)
    assert made.read("/sys/fs/cgroup/rt.slice/cpuset.cpus.partition") == "isolated"
    moved = [name for name in changed(made, before) if name.startswith("affinity")]
    moved = [name for name in moved if name.split()[-1] not in ("kworker/R-rcu_g", "psimon")]
    assert moved == [], "nobody can move rescuers, and psimon is another one"


@each_kernel
def test_a_fence_gives_nobody_more_than_it_had(kernel: str) -> None:
    made = guest(kernel)
    made.set_property("user.slice", "AllowedCPUs=1-3")
    isolate(made, "2-3", mode="fence")
    assert made.systemd
    assert made.systemd.allowed()["user.slice"] == CpuSet.parse("1")
    assert problems(made, "2-3", mode="fence") == []
