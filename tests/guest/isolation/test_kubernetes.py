"""Kubernetes in all its forms: whatever runs the kubelet, wherever its pods are, and whenever."""

from __future__ import annotations

import pytest
from mdguest.cpuset import CpuSet
from mdguest.facts.kubernetes import KUBELETS

from tests.guest.fake import guest, snapshot
from tests.guest.nodes import install
from tests.guest.use import changed, isolate, plan, problems, state_of, undo

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
