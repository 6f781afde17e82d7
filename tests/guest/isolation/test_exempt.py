"""Slices with dedicated CPUs of their own: OVS-DPDK beside a kubelet keeps what it polls on."""

from __future__ import annotations

import json

import pytest
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput
from mdguest.exemption import parse, shown
from mdguest.isolation import state

from tests.guest.fake import FakeGuest, guest, snapshot
from tests.guest.use import changed, command, isolate, plan, problems, state_of, undo, view

CPUS, EXEMPT = "2-5", "ovs.slice=2-3"
OVS = "/ovs.slice/ovs-vswitchd.service"
KERNELS = ("6.1", "6.12", "7.2")
MODES = ("partition", "fence", "kubernetes", "raw")
each_mode = pytest.mark.parametrize("mode", MODES)
each_kernel = pytest.mark.parametrize("kernel", KERNELS)


def node(kernel: str = "6.1", mode: str = "kubernetes", there: bool = True) -> FakeGuest:
    """A guest with 8 CPUs; a thread of OVS polls on CPU 3, in its slice where that is there."""
    made = guest(kernel, "0-7", systemd=None if mode == "raw" else -1)
    if made.systemd and mode == "kubernetes":
        made.systemd.add("kubepods.slice")
        made.spawn("nginx", "/kubepods.slice/pod7")
    if not there:
        return made
    if made.systemd:
        made.systemd.add("ovs.slice")
        made.systemd.add("ovs-vswitchd.service", "/ovs.slice")
    main = made.spawn("ovs-vswitchd", OVS)
    made.spawn("pmd-c03/id:7", OVS, CpuSet.parse("3"), pid=main.pid)
    return made


def effective(made: FakeGuest, group: str) -> str:
    return str(made.tree.find(group).cpuset.effective)


def affinity(made: FakeGuest, name: str) -> str:
    [task] = [task for task in made.tasks if task.name == name]
    return str(made.affinity(task.tid))


def pool_of(mode: str) -> str:
    return {"raw": "/dedicated", "kubernetes": "/kubepods.slice"}.get(mode, "/dedicated.slice")


# ---- each mode ----


@each_mode
@each_kernel
def test_a_slice_keeps_its_cpus_and_the_pool_has_the_others(kernel: str, mode: str) -> None:
    made = node(kernel, mode)
    before = snapshot(made)
    outcome = isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    assert (outcome.plan.mode, outcome.failures) == (mode, {})
    assert effective(made, "/ovs.slice") == "2-3"
    assert affinity(made, "pmd-c03/id:7") == "3"
    assert affinity(made, "ovs-vswitchd") == "2-3"
    expected = "0-1,4-7" if mode == "kubernetes" else "4-5"
    assert effective(made, pool_of(mode)) == expected
    assert problems(made, CPUS, exempt=EXEMPT, mode=mode) == []
    assert view(made, CPUS, exempt=EXEMPT, mode=mode).plan.claims == ()
    assert undo(made).failures == {}
    assert changed(made, before) == {}
    assert affinity(made, "pmd-c03/id:7") == "3"
    assert made.tasks.killed == []


@each_mode
def test_all_else_keeps_off_the_slices_cpus_too(mode: str) -> None:
    made = node("6.12", mode)
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    dedicated = CpuSet.parse(CPUS)
    others = [task for task in made.tasks if "ovs" not in task.group.path and not task.bound]
    for task in others:
        if "kubepods" not in task.group.path:
            assert not made.affinity(task.tid) & dedicated, task.name
    masks = ("/proc/irq/default_smp_affinity", "/sys/devices/virtual/workqueue/cpumask")
    for path in masks:
        assert not CpuSet(int(made.read(path), 16)) & dedicated
    assert not CpuSet.parse(made.read("/proc/irq/26/smp_affinity_list")) & dedicated


@pytest.mark.parametrize("kernel", KERNELS)
def test_in_partition_mode_the_slice_is_a_partition_that_the_kernel_balances(kernel: str) -> None:
    made = node(kernel, "partition")
    isolate(made, CPUS, exempt=EXEMPT)
    assert made.read("/sys/fs/cgroup/ovs.slice/cpuset.cpus.partition") == "root"
    assert made.read("/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition") == "isolated"
    assert effective(made, "/system.slice") == "0-1,6-7"


@each_mode
@each_kernel
def test_a_slice_that_is_not_there_yet_is_made_and_goes_again(kernel: str, mode: str) -> None:
    made = node(kernel, mode, there=False)
    before = snapshot(made)
    assert isolate(made, CPUS, exempt=EXEMPT, mode=mode).failures == {}
    assert problems(made, CPUS, exempt=EXEMPT, mode=mode) == []
    assert effective(made, "/ovs.slice") == "2-3"
    made.spawn("ovs-vswitchd", OVS)
    assert affinity(made, "ovs-vswitchd") == "2-3"
    assert undo(made).failures == {}
    assert made.tasks.killed == []
    [task] = [task for task in made.tasks if task.name == "ovs-vswitchd"]
    assert str(made.affinity(task.tid)) == "0-7"
    made.end(task)
    unexpected = {name for name in changed(made, before) if "ovs" not in name}
    assert unexpected == set()


@each_mode
def test_all_that_is_dedicated_may_be_exempt(mode: str) -> None:
    made = node("6.1", mode)
    before = snapshot(made)
    assert isolate(made, "2-3", exempt=EXEMPT, mode=mode).failures == {}
    assert problems(made, "2-3", exempt=EXEMPT, mode=mode) == []
    assert effective(made, "/ovs.slice") == "2-3"
    assert undo(made).failures == {}
    assert changed(made, before) == {}


@each_kernel
def test_pods_whose_cgroup_is_not_systemds_are_kept_off_and_let_go_again(kernel: str) -> None:
    made = node(kernel, mode="fence")
    pod = made.spawn("nginx", "/kubepods/pod7")
    before = snapshot(made)
    isolate(made, CPUS, exempt=EXEMPT)
    assert str(made.affinity(pod.tid)) == "0-1,4-7"
    assert problems(made, CPUS, exempt=EXEMPT) == []
    assert undo(made).failures == {}
    assert changed(made, before) == {}


# ---- sequences ----


@each_mode
@each_kernel
def test_a_layout_of_the_slices_cpus_alone_leaves_no_pool(kernel: str, mode: str) -> None:
    made = node(kernel, mode, there=False)
    before = snapshot(made)
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    assert isolate(made, "2-3", exempt=EXEMPT, mode=mode).failures == {}
    assert problems(made, "2-3", exempt=EXEMPT, mode=mode) == []
    assert undo(made).failures == {}
    assert changed(made, before) == {}


@each_mode
@each_kernel
def test_a_slice_that_moves_takes_its_programs_along(kernel: str, mode: str) -> None:
    made = node(kernel, mode)
    before = snapshot(made)
    steps = ("2-3", "2", "4-5", "3-4", "2-3")
    for cpus in steps:
        exempt = f"ovs.slice={cpus} fast.slice={'5' if '5' not in cpus else '2'}"
        assert isolate(made, CPUS, exempt=exempt, mode=mode).failures == {}, cpus
        assert problems(made, CPUS, exempt=exempt, mode=mode) == [], cpus
        assert effective(made, "/ovs.slice") == cpus
    assert isolate(made, CPUS, mode=mode).failures == {}
    assert problems(made, CPUS, mode=mode) == []
    assert not CpuSet.parse(effective(made, "/ovs.slice")) & CpuSet.parse(CPUS)
    assert undo(made).failures == {}
    assert changed(made, before) == {}
    assert made.tasks.killed == []


@pytest.mark.parametrize("exempt", ["ovs.slice=2", "ovs.slice=3", "fast.slice=4 ovs.slice=2-3"])
def test_kernel_threads_come_back_where_only_the_pools_partition_is_refused(exempt: str) -> None:
    made = guest("5.15", "0-7")
    before = snapshot(made)
    outcome = isolate(made, CPUS, exempt=exempt)
    assert (outcome.plan.mode, bool(outcome.refused)) == ("fence", True)
    assert undo(made).failures == {}
    assert changed(made, before) == {}


@each_mode
def test_what_others_change_is_healed(mode: str) -> None:
    made = node("6.1", mode)
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    if made.systemd:
        made.set_property("ovs.slice", "AllowedCPUs=3")
    else:
        made.write("/sys/fs/cgroup/ovs.slice/cpuset.cpus", "3")
    assert [problem.heals for problem in problems(made, CPUS, exempt=EXEMPT, mode=mode)]
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    assert problems(made, CPUS, exempt=EXEMPT, mode=mode) == []
    assert effective(made, "/ovs.slice") == "2-3"


@each_mode
def test_a_layout_that_takes_a_cpu_of_the_slice_away_is_named(mode: str) -> None:
    made = node("6.1", mode)
    before = snapshot(made)
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    assert isolate(made, "3-5", exempt=EXEMPT, mode=mode).failures == {}
    [problem] = problems(made, "3-5", exempt=EXEMPT, mode=mode)
    assert (problem.what, problem.found, problem.expected, problem.heals) == (
        "ovs.slice",
        "CPU 3",
        "CPU 2-3",
        False,
    )
    assert "MDGUEST_EXEMPT" in problem.why
    assert effective(made, "/ovs.slice") == "3"
    isolate(made, "4-5", exempt=EXEMPT, mode=mode)
    [problem] = problems(made, "4-5", exempt=EXEMPT, mode=mode)
    assert problem.found == "no CPU of its own"
    assert not CpuSet.parse(effective(made, "/ovs.slice")) & CpuSet.parse("4-5")
    isolate(made, "", exempt=EXEMPT, mode=mode)
    [problem] = problems(made, "", exempt=EXEMPT, mode=mode)
    assert (problem.found, problem.expected) == ("no CPU of its own", "CPU 2-3")
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    assert problems(made, CPUS, exempt=EXEMPT, mode=mode) == []
    assert undo(made).failures == {}
    assert changed(made, before) == {}


def rebooted(made: FakeGuest, mode: str) -> FakeGuest:
    """The same guest after a boot: what is on its disk is there still."""
    fresh = node("6.1", mode)
    for path in (state.LAST_GOOD, "/etc/layout"):
        fresh.disk.put(path, made.read(path))
    return fresh


@each_mode
def test_what_a_layout_took_from_a_slice_is_so_after_a_boot_too(mode: str) -> None:
    made = node("6.1", mode)
    flags = ("--source=file:/etc/layout", f"--exempt={EXEMPT}", f"--mode={mode}")
    for cpus in (CPUS, "3-5", "4-5"):
        made.disk.put("/etc/layout", cpus)
        assert command(made, "apply", *flags)[0] == 0
    for words in (("apply", "--last-good"), ("apply", "--careful")):
        made = rebooted(made, mode)
        status, said = command(made, *words, *flags)
        assert status == 0, said
        assert "warning: ovs.slice: no CPU of its own, expected CPU 2-3" in said
        assert not CpuSet.parse(effective(made, "/ovs.slice")) & CpuSet.parse("4-5")
    status, said = command(made, "plan", flags[0], "--exempt=ovs.slice=3")
    assert (status, "CPU 3 is not dedicated" in said) == (2, True), "another setting is an error"


# ---- what is wrong ----


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("ovs.slice", "'ovs.slice': expected slices with their CPUs, like ovs.slice=2-3"),
        ("ovs.slice=", "'ovs.slice=': expected slices with their CPUs"),
        ("ovs.slice=x", "ovs.slice: 'x'"),
        ("ovs.service=2", "'ovs.service': expected a slice directly below the root"),
        ("a-b.slice=2", "'a-b.slice': expected a slice directly below the root"),
        ("dedicated.slice=2", "dedicated.slice cannot have CPUs of its own"),
        ("a.slice=2-3 b.slice=3", "a.slice and b.slice both have CPU 3"),
        ("a.slice=2 a.slice=3", "a.slice is there twice"),
    ],
)
def test_what_is_no_exemption_is_one_error(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong.replace("(", r"\(")):
        parse(text)


@pytest.mark.parametrize("text", ["ovs.slice=2,3 fast.slice=5", " fast.slice=5\tovs.slice=2-3\n"])
def test_the_same_exemption_is_shown_the_same(text: str) -> None:
    assert shown(parse(text)) == "fast.slice=5 ovs.slice=2-3"


def test_a_cpu_that_is_not_dedicated_is_one_error_that_names_the_setting() -> None:
    made = node()
    with pytest.raises(BadInput, match=r"^MDGUEST_EXEMPT: ovs.slice=2-3: CPU 2 is not dedicated"):
        isolate(made, "3-5", exempt=EXEMPT)
    with pytest.raises(BadInput, match=r"CPU 2 stays for housekeeping, as MDGUEST_HOUSEKEEPING"):
        isolate(made, CPUS, exempt=EXEMPT, housekeeping="0-2")
    assert made.changes == 0


def test_a_slice_with_pods_in_it_cannot_be_exempt() -> None:
    made = guest()
    made.spawn("nginx", "/kubelet.slice/kubelet-kubepods.slice/pod7")
    with pytest.raises(BadInput, match=r"MDGUEST_EXEMPT: kubelet\.slice: pods are in it"):
        plan(made, "2-3", exempt="kubelet.slice=2")
    assert plan(made, "2-3", exempt="ovs.slice=2").mode == "kubernetes"


def test_another_exemption_is_held_against_the_layout_again() -> None:
    made = node()
    isolate(made, CPUS, exempt=EXEMPT)
    with pytest.raises(BadInput, match="CPU 6 is not dedicated"):
        isolate(made, CPUS, exempt="ovs.slice=3,6")


# ---- who else holds it ----


@each_mode
def test_who_polls_outside_its_slice_is_told_of_that_slice(mode: str) -> None:
    made = node("6.1", mode)
    if made.systemd:
        made.systemd.add("stray.service", "/system.slice")
    made.spawn("stray", "/system.slice/stray.service", CpuSet.parse("2"))
    isolate(made, CPUS, exempt=EXEMPT, mode=mode)
    [claim] = view(made, CPUS, exempt=EXEMPT, mode=mode).plan.claims
    assert claim.who.startswith("stray.service")
    assert "CPU 2 is ovs.slice's" in claim.line
    assert "Slice=ovs.slice" in claim.remedy
    assert state_of(made, CPUS, exempt=EXEMPT, mode=mode) == "displaced"


@each_mode
def test_who_polls_in_a_slice_on_cpus_of_others_is_named(mode: str) -> None:
    made = node("6.1", mode)
    made.spawn("pmd-c04", OVS, CpuSet.parse("4"))
    [claim] = plan(made, CPUS, exempt=EXEMPT, mode=mode).claims
    assert (claim.where, str(claim.cpus)) == ("ovs-vswitchd.service", "4")


def test_on_a_node_without_a_slice_for_it_a_data_plane_is_told_of_the_setting() -> None:
    made = node(there=False)
    assert made.systemd
    made.systemd.add("ovs-vswitchd.service", "/system.slice")
    made.spawn("pmd", "/system.slice/ovs-vswitchd.service", CpuSet.parse("3"))
    isolate(made, CPUS)
    [claim] = view(made, CPUS).plan.claims
    assert "MDGUEST_EXEMPT=NAME.slice=3" in claim.remedy


def test_the_kubelet_reserves_the_slices_cpus() -> None:
    made = node()
    assert made.systemd
    made.systemd.add("kubelet.service", "/system.slice")
    path = "/var/lib/kubelet/cpu_manager_state"
    given = {"policyName": "static", "defaultCpuSet": "0-7", "entries": {"pod": {"c": "2,4"}}}
    made.disk.put(path, json.dumps(given))
    made.disk.put("/var/lib/kubelet/config.yaml", 'reservedSystemCPUs: "0-1,6-7"\n')
    isolate(made, CPUS, exempt=EXEMPT)
    found = {problem.what: problem for problem in problems(made, CPUS, exempt=EXEMPT)}
    assert found[path].found == "CPU 2 given to pods"
    assert found[path].expected == "of CPU 4-5"
    assert found["kubelet"].expected == "CPU 0-3,6-7"
    text = made.read("/run/mdguest/kubelet.conf.d/50-mdguest.conf")
    assert 'reservedSystemCPUs: "0-3,6-7"' in text


def test_the_exemption_is_remembered_until_another_is_said() -> None:
    made = node()
    isolate(made, CPUS, exempt=EXEMPT)
    assert state.load(made).exempt == EXEMPT
    assert problems(made, CPUS) == []
    isolate(made, "2-4")
    assert effective(made, "/ovs.slice") == "0-1,5-7"


# ---- the commands ----


def test_every_command_shows_it() -> None:
    made = node()
    made.disk.put("/etc/layout", CPUS)
    made.disk.put("/etc/default/mdguest", f'MDGUEST_EXEMPT="{EXEMPT}"\n')
    source = "--source=file:/etc/layout"
    assert "exempt    ovs.slice: CPU 2-3" in command(made, "plan", source)[1]
    assert command(made, "apply", source)[0] == 0
    shown_as = [{"slice": "ovs.slice", "cpus": "2-3"}]
    for name in ("plan", "status", "verify", "doctor"):
        status, said = command(made, name, "--json", source)
        assert (status, json.loads(said)["exempt"]) == (0, shown_as), name
    assert "Exempt:\n  ovs.slice: CPU 2-3" in command(made, "status")[1]
    assert "Exempt:\n  ovs.slice: CPU 2-3" in command(made, "doctor")[1]
    assert 'reservedSystemCPUs: "0-3,6-7"' in command(made, "render", "kubelet")[1]
    assert "Slice=ovs.slice" in command(made, "render", "ovs")[1]
    assert "nohz_full=2-5" in command(made, "render", "cmdline")[1]


@pytest.mark.parametrize("name", ["plan", "apply", "verify", "status", "render"])
def test_a_wrong_exemption_is_one_line_that_names_its_place(name: str) -> None:
    made = node()
    made.disk.put("/etc/layout", "4-5")
    what = ["kubelet"] if name == "render" else []
    flags = ("--source=file:/etc/layout", f"--exempt={EXEMPT}")
    _, said = command(made, name, *what, *flags)
    expected = "--exempt: ovs.slice=2-3: CPU 2-3 is not dedicated; expected some of CPU 4-5"
    assert expected in said
    assert command(made, "plan", "--exempt=nonsense")[0] == 2
