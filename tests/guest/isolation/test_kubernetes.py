"""Kubernetes in all its forms: whatever runs the kubelet, wherever its pods are, and whenever."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from mdguest import control
from mdguest.cpuset import CpuSet
from mdguest.facts.kubernetes import KUBELETS
from mdguest.settings import Settings

from tests.guest.fake import FakeGuest, guest, snapshot
from tests.guest.nodes import install
from tests.guest.use import changed, command, isolate, plan, problems, state_of, undo

each_kernel = pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.2"])


@pytest.mark.parametrize("unit", [kubelet.unit for kubelet in KUBELETS])
def test_each_unit_that_runs_a_kubelet_is_known(unit: str) -> None:
    made = guest()
    install(made, unit)
    planned = plan(made, "2-3")
    assert (planned.mode, planned.because) == ("kubernetes", f"{unit} is here")


@each_kernel
@pytest.mark.parametrize(
    "group",
    [
        "/kubepods",
        "/kubepods.slice",
        "/k8s.slice/kubepods.slice",
        "/kubelet.slice/kubelet-kubepods.slice",
        "/k8s.slice/k8s-node.slice/k8s-node-kubepods.slice",
    ],
)
def test_pods_are_not_fenced_wherever_they_are(group: str, kernel: str) -> None:
    made = guest(kernel)
    assert made.systemd
    parent = group.rpartition("/")[0]
    if parent:
        for name in parent.strip("/").split("/"):
            made.systemd.add(name)
        made.systemd.add("containerd.service", parent)
        made.spawn("containerd", f"{parent}/containerd.service")
    made.spawn("nginx", f"{group}/pod7")
    before = snapshot(made)
    outcome = isolate(made, "2-3")
    assert (outcome.plan.mode, outcome.failures) == ("kubernetes", {})
    assert problems(made, "2-3") == []
    affinities = {task.name: str(made.affinity(task.tid)) for task in made.tasks}
    assert affinities["nginx"] == "0-3"
    assert affinities.get("containerd", "0-1") == "0-1", "the runtime beside them is fenced"
    undo(made)
    assert changed(made, before) == {}


@pytest.mark.parametrize(
    "group",
    [
        "/system.slice/docker-4e1f.scope/kubelet.slice/kubelet-kubepods.slice",
        "/system.slice/kubepods-exporter.service",
        "/system.slice/kind.service/kubepods",
    ],
)
def test_pods_of_a_kubelet_in_a_container_are_not_this_guests(group: str) -> None:
    made = guest()
    made.spawn("nginx", group, CpuSet.parse("3"))
    planned = plan(made, "2-3")
    assert planned.mode == "partition"
    assert [claim.where for claim in planned.claims] == [group.split("/")[2]]


# ---- a kubelet that comes later ----


@each_kernel
def test_the_mode_follows_a_kubelet_that_comes_where_nobody_chose_one(kernel: str) -> None:
    made = guest(kernel)
    isolate(made, "2-3")
    install(made)
    assert problems(made, "2-3") != []
    isolate(made, "2-3", kept="partition")
    assert problems(made, "2-3") == []
    assert made.read("/run/mdguest/kubelet.conf.d/50-mdguest.conf")
    assert not made.exists("/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition") or (
        made.read("/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition") == "member"
    )


def test_a_kubelet_that_comes_is_reported_while_programs_run_in_the_pool() -> None:
    made = guest()
    isolate(made, "2-3")
    program = made.spawn("testpmd", "/dedicated.slice")
    install(made)
    [problem] = problems(made, "2-3")
    assert (problem.what, problem.found) == ("kubelet.service", "here, in mode partition")
    assert not problem.heals
    made.end(program)
    assert any(problem.heals for problem in problems(made, "2-3")), "now the mode can follow"


def test_a_kubelet_that_comes_is_reported_where_the_mode_was_chosen() -> None:
    made = guest()
    isolate(made, "2-3", mode="partition")
    install(made)
    [problem] = problems(made, "2-3")
    assert "MDGUEST_MODE=kubernetes" in problem.why
    assert state_of(made, "2-3") == "broken"


# ---- a kubelet that goes ----


def heal(made: FakeGuest) -> None:
    """What the service does at its next look."""
    control.heal(made, Settings(), lambda _: None)


def mode_of(made: FakeGuest) -> object:
    return json.loads(command(made, "status", "--json")[1])["mode"]


def uninstall(made: FakeGuest) -> None:
    assert made.systemd
    made.systemd.units.pop("kubelet.service")


@each_kernel
@pytest.mark.parametrize("left", ["/kubepods.slice", "/kubepods", ""])
def test_the_mode_follows_a_kubelet_that_goes_whatever_cgroups_it_leaves(
    kernel: str, left: str
) -> None:
    made = guest(kernel)
    before = snapshot(made)
    install(made)
    pod = made.spawn("nginx", left) if left else None
    isolate(made, "2-3")
    uninstall(made)
    if pod:
        assert problems(made, "2-3") == [], "pods still run"
        made.end(pod)
    assert problems(made, "2-3") != []
    heal(made)
    assert (mode_of(made), problems(made, "2-3")) == ("partition", [])
    assert made.read("/sys/fs/cgroup/dedicated.slice/cpuset.cpus.partition") == "isolated"
    assert not made.exists("/run/mdguest/kubelet.conf.d/50-mdguest.conf")
    undo(made)
    assert {name for name in changed(made, before) if "kubepods" not in name} == set()


def test_a_mode_that_was_chosen_stays_without_a_kubelet() -> None:
    made = guest()
    install(made)
    isolate(made, "2-3", mode="kubernetes")
    uninstall(made)
    heal(made)
    assert (mode_of(made), problems(made, "2-3")) == ("kubernetes", [])


@pytest.mark.parametrize(
    ("group", "mode"),
    [
        ("/system.slice/my-kubelet.service", "kubernetes"),
        ("/system.slice/docker-4e1f.scope/kubelet.service", "partition"),
    ],
)
def test_a_kubelet_without_a_unit_that_is_known_is_here_while_it_runs(
    group: str, mode: str
) -> None:
    made = guest()
    made.spawn("kubelet", group)
    assert plan(made, "2-3").mode == mode


@pytest.mark.parametrize("kernel", ["6.12", "5.15"])
def test_where_the_kernel_refuses_a_partition_a_kubelet_comes_and_goes_as_elsewhere(
    kernel: str,
) -> None:
    made = guest(kernel, isolcpus="2-3" if kernel == "6.12" else "")
    isolate(made, "2-3")
    assert (mode_of(made), state_of(made, "2-3")) == ("fence", "degraded")
    program = made.spawn("testpmd", "/dedicated.slice")
    install(made)
    heal(made)
    assert mode_of(made) == "fence", "a program runs in the pool"
    assert [problem.what for problem in problems(made, "2-3")] == ["kubelet.service"]
    made.end(program)
    heal(made)
    assert (mode_of(made), state_of(made, "2-3")) == ("kubernetes", "isolated")
    uninstall(made)
    heal(made)
    assert (mode_of(made), state_of(made, "2-3")) == ("fence", "degraded")


arrivals = st.lists(
    st.sampled_from(("kubelet", "no kubelet", "pod", "no pod", "program", "no program")), max_size=8
)


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.sampled_from(("6.1", "6.12", "7.2")), arrivals)
def test_whoever_comes_and_goes_the_mode_is_theirs_or_that_is_said(
    kernel: str, story: list[str]
) -> None:
    made = guest(kernel)
    before = snapshot(made)
    isolate(made, "2-3")
    for event in story:
        happen(made, event)
        heal(made)
        left = [problem.what for problem in problems(made, "2-3")]
        here = bool({"kubelet", "nginx"} & {task.name for task in made.tasks})
        mode = mode_of(made)
        assert (mode == "kubernetes") == here or left, (mode, here)
        assert mode in ("partition", "kubernetes")
        in_pool = any(task.name == "testpmd" for task in made.tasks)
        assert not left or (here and in_pool), left
    for event in ("no kubelet", "no pod", "no program"):
        happen(made, event)
    undo(made)
    assert {name for name in changed(made, before) if "kubepods" not in name} == set()


def happen(made: FakeGuest, event: str) -> None:
    name, group = {
        "kubelet": ("kubelet", "/system.slice/cron.service"),
        "pod": ("nginx", "/kubepods.slice/pod1"),
        "program": ("testpmd", "/dedicated.slice"),
    }[event.removeprefix("no ")]
    running = [task for task in made.tasks if task.name == name]
    if event.startswith("no "):
        for task in running:
            made.end(task)
    elif not running and (name != "testpmd" or made.exists("/sys/fs/cgroup/dedicated.slice")):
        made.spawn(name, group)
