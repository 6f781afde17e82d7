"""A guest that becomes a node of Kubernetes: cgroups and units as a kubelet makes them."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.vm.machine import Background
from tests.vm.tool import LAYOUT, Guest, until

QUIET_SECONDS = float(os.environ.get("MDGUEST_WATCH_SECONDS", "30"))
KUBELET = "/run/systemd/system/k3s-agent.service"
SERVICE = "[Service]\nExecStart=/bin/sleep inf\n"
POD = "exec systemd-run --quiet --scope --slice=kubepods-pod1.slice"
STATE = "/var/lib/kubelet/cpu_manager_state"
CONFIG = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"


PODS = (f"{POD} -p AllowedCPUs=2 sleep inf", f"{POD} sleep inf", f"{POD} taskset -c 0 sleep inf")
"""With a CPU of its own, with any, and one that pins itself to a shared one."""
CLEAN = f"""
systemctl stop k3s-agent kubepods.slice
rm -rf {KUBELET} {STATE} {CONFIG}
systemctl daemon-reload
systemctl reset-failed
"""


@pytest.fixture(autouse=True)
def undone(guest: Guest) -> Iterator[None]:
    """Each test begins in the same guest."""
    with guest.undone():
        yield
        guest.run(CLEAN, check=False)


@contextlib.contextmanager
def watching(guest: Guest) -> Iterator[Background]:
    watch = guest.spawn(f"exec mdguest watch --source file:{LAYOUT}")
    try:
        yield watch
    finally:
        assert watch.stop() == 0, watch.output


def becomes_a_node(guest: Guest) -> None:
    guest.machine.put(KUBELET, SERVICE)
    guest.run("systemctl daemon-reload && systemctl start k3s-agent")


def test_a_kubelet_that_comes_later_gets_its_mode(guest: Guest) -> None:
    guest.apply("2-3")
    with watching(guest) as watch:
        becomes_a_node(guest)
        until(lambda: guest.code("test -e /sys/fs/cgroup/dedicated.slice") == 1)
        until(lambda: guest.problems == [])
        with guest.spawned(f"{POD} sleep inf") as [pod]:
            until(lambda: "kubepods" in guest.read(f"/proc/{pod}/cgroup"))
            until(lambda: guest.affinity(pod) == "0-3")
            assert guest.affinity(1) == "0-1"
            assert guest.problems == []
    assert watch.output.count("healing") == 1


def test_one_that_comes_while_a_program_has_the_pool_is_named(guest: Guest) -> None:
    guest.apply("2-3")
    with guest.spawned("exec mdguest run --name forwarder -- sleep inf"):
        until(lambda: guest.json("status")["subsets"] != [])
        becomes_a_node(guest)
        assert guest.problems == ["k3s-agent.service"]
        assert guest.pool(".partition") == "isolated"
    until(lambda: guest.json("status")["subsets"] == [])


def test_what_the_kubelet_makes_of_the_cpus_is_read(guest: Guest) -> None:
    becomes_a_node(guest)
    assert guest.apply("2-3")["mode"] == "kubernetes"
    assert guest.problems == []
    guest.machine.put(STATE, json.dumps({"policyName": "none", "defaultCpuSet": "0-3"}))
    assert guest.problems == [STATE]
    pods = {"pod1": {"nginx": "1-2"}}
    guest.machine.put(STATE, json.dumps({"policyName": "static", "entries": pods}))
    assert guest.problems == [STATE, "kubelet"]
    guest.machine.put(f"{CONFIG}/50-mdguest.conf", guest.tool("render kubelet").stdout)
    pods = {"pod1": {"nginx": "2"}}
    guest.machine.put(STATE, json.dumps({"policyName": "static", "entries": pods}))
    assert guest.problems == []


def test_a_node_at_work_raises_no_alarm(guest: Guest) -> None:
    becomes_a_node(guest)
    guest.apply("2-3")
    with watching(guest) as watch:
        deadline = time.monotonic() + QUIET_SECONDS
        while time.monotonic() < deadline:  # pods come and go
            with guest.spawned(*PODS):
                time.sleep(3)
        assert (guest.problems, guest.displaced) == ([], {})
    assert "healing" not in watch.output
    assert "warning" not in watch.output
