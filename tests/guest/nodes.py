"""Nodes of Kubernetes: a kubelet, its CPU manager, its pods."""

from __future__ import annotations

import json

from mdguest.cpuset import CpuSet

from tests.guest.fake import FakeGuest

RESERVING = "/etc/kubernetes/kubelet.conf.d/50-mdguest.conf"
STATE = "/var/lib/kubelet/cpu_manager_state"


def install(made: FakeGuest, unit: str = "kubelet.service") -> None:
    assert made.systemd
    made.systemd.add(unit, "/system.slice", active=False)


def configured(
    made: FakeGuest, policy: str = "static", pods: str = "2", reserved: str = "0-1"
) -> None:
    """A kubelet with this CPU manager, one pod with CPUs of its own, and these CPUs reserved."""
    state = {"policyName": policy, "defaultCpuSet": "0-1,3", "entries": {"uid": {"app": pods}}}
    made.disk.put(STATE, json.dumps(state))
    made.disk.put(RESERVING, f'kind: KubeletConfiguration\nreservedSystemCPUs: "{reserved}"\n')


def pod(made: FakeGuest, name: str, cpus: str = "") -> None:
    """A pod's task, with an affinity of its own where ``cpus`` are given."""
    chosen = CpuSet.parse(cpus) if cpus else None
    made.spawn(name, "/kubepods/pod7", chosen)
