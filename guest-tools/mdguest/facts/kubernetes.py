"""Kubernetes as it comes: the units that run a kubelet, and the cgroups that its pods are in."""

from __future__ import annotations

from typing import NamedTuple

_STATE = "/var/lib/kubelet/cpu_manager_state"


class Kubelet(NamedTuple):
    """One way in which a kubelet comes: the unit that runs it, and where its files are."""

    unit: str
    name: str
    state: str = _STATE
    """What the CPU manager remembers."""
    drop_ins: str = "/etc/kubernetes/kubelet.conf.d"
    """The folder of drop-ins (``--config-dir``), or the file that it is told by."""
    form: str = "drop-in"
    """How it is told: by a ``drop-in``, ``arguments``, ``snap`` settings, a k0s ``profile``, or in
    MicroShift's own configuration (``section``)."""


_K3S = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
_RKE2 = "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d"
_MICROK8S = "/var/snap/microk8s/common/var/lib/kubelet/cpu_manager_state"
_MICROK8S_ARGS = "/var/snap/microk8s/current/args/kubelet"
_CANONICAL_ARGS = "/var/snap/k8s/common/args/kubelet"
_K0S, _K0S_CONFIG = "/var/lib/k0s/kubelet/cpu_manager_state", "/etc/k0s/k0s.yaml"
_MICROSHIFT = "/etc/microshift/config.d"
_ARGS = "arguments"

KUBELETS = (
    Kubelet("kubelet.service", "kubelet"),
    Kubelet("k3s.service", "K3s", drop_ins=_K3S),
    Kubelet("k3s-agent.service", "K3s", drop_ins=_K3S),
    Kubelet("rke2-server.service", "RKE2", drop_ins=_RKE2),
    Kubelet("rke2-agent.service", "RKE2", drop_ins=_RKE2),
    Kubelet("snap.k8s.kubelet.service", "Canonical Kubernetes", _STATE, _CANONICAL_ARGS, _ARGS),
    Kubelet("snap.kubelet.daemon.service", "the kubelet snap", form="snap"),
    Kubelet("snap.microk8s.daemon-kubelite.service", "MicroK8s", _MICROK8S, _MICROK8S_ARGS, _ARGS),
    Kubelet("snap.microk8s.daemon-kubelet.service", "MicroK8s", _MICROK8S, _MICROK8S_ARGS, _ARGS),
    Kubelet("k0sworker.service", "k0s", _K0S, _K0S_CONFIG, "profile"),
    Kubelet("k0scontroller.service", "k0s", _K0S, _K0S_CONFIG, "profile"),
    Kubelet("microshift.service", "MicroShift", drop_ins=_MICROSHIFT, form="section"),
)

UNITS = tuple(kubelet.unit for kubelet in KUBELETS)

RUNTIMES = ("containerd.service", "crio.service", "docker.service", "cri-docker.service", *UNITS)
"""What starts the pods' programs, and hands its affinity down to them."""

CLAIMS_DRIVER = "dracpu"
"""The program of dra-driver-cpu, a pod, which gives CPUs to pods in the CPU manager's place."""

DEEPEST = 5
"""How far below the root the pods' cgroup may be: ``--cgroup-root`` puts it below others, by the
systemd driver as ``kubelet.slice/kubelet-kubepods.slice``.
"""

_NOT_THEIRS = (".scope", ".service")
"""What is below such a unit is a container's: the pods of a kubelet that runs in there."""


def is_of_pods(group: str) -> bool:
    """Whether a cgroup, named from below the root, is the pods' or in it."""
    for name in group.split("/"):
        if _is_pods(name) or name.endswith(_NOT_THEIRS):
            return _is_pods(name)
    return False


def _is_pods(name: str) -> bool:
    """``kubepods``, ``kubepods.slice``, ``kubelet-kubepods-burstable.slice``."""
    stem = name.removesuffix(".slice")
    return "." not in stem and "kubepods" in stem.split("-")
