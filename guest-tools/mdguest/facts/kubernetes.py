"""Kubernetes as it comes: the units that run a kubelet, and the cgroups that its pods are in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet, union
from mdguest.procfs import arguments, text

if TYPE_CHECKING:
    from mdguest.system import System


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

DEEPEST = 3
"""How far below the root the pods' cgroup may be: ``--cgroup-root`` puts it below another slice."""


def is_of_pods(group: str) -> bool:
    """Whether a cgroup, named from below the root, is the pods' or in it."""
    return any(name.startswith("kubepods") for name in group.split("/"))


class CpuManager(NamedTuple):
    """What a kubelet's CPU manager remembers, and what the kubelet is told to reserve."""

    path: str
    """Its state file."""
    policy: str
    """``static``, ``none``, or empty where the file cannot be read."""
    exclusive: CpuSet
    """The CPUs of containers that have theirs to themselves."""
    reserved: CpuSet
    """Those that the kubelet's configuration reserves; none where it names none."""


_RESERVED = re.compile(r"""reserved(?:SystemCPUs|-cpus)["']?\s*[:=\s]\s*["']?([0-9][0-9,-]*)""")
_CONFIGURED = (
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/rancher/*/config.yaml",
    "/etc/rancher/*/config.yaml.d/*.yaml",
    "/etc/microshift/config.yaml",
    "/etc/microshift/config.d/*.yaml",
    "/etc/k0s/k0s.yaml",
)
"""Where else than in its drop-ins a kubelet is told what to reserve."""


def managers(system: System, units: Iterable[str], kubelets: Iterable[int]) -> list[CpuManager]:
    """The CPU managers of these units, which have a state file; ``kubelets`` are the processes."""
    known = [kubelet for kubelet in KUBELETS if kubelet.unit in tuple(units)]
    reserved = _reserved(system, known, kubelets)
    paths = dict.fromkeys(kubelet.state for kubelet in known)
    return [_manager(system, path, reserved) for path in paths if system.exists(path)]


def _manager(system: System, path: str, reserved: CpuSet) -> CpuManager:
    try:
        state = json.loads(system.read(path))
        pods = state.get("entries", {}).values()
        given = union(CpuSet.parse(cpus) for pod in pods for cpus in pod.values())
        return CpuManager(path, str(state["policyName"]), given, reserved)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return CpuManager(path, "", EMPTY, reserved)


def _reserved(system: System, known: Iterable[Kubelet], kubelets: Iterable[int]) -> CpuSet:
    """What the kubelet was told to reserve, by its files, its drop-ins or its command line."""
    folders = dict.fromkeys(kubelet.drop_ins for kubelet in known)
    patterns = (*_CONFIGURED, *folders, *(f"{folder}/*" for folder in folders))
    paths = [path for pattern in patterns for path in system.glob(pattern)]
    texts = [text(system, path) for path in paths]
    texts += [arguments(system, process) for process in kubelets]
    return union(_parsed(match[1]) for told in texts for match in _RESERVED.finditer(told))


def _parsed(cpus: str) -> CpuSet:
    try:
        return CpuSet.parse(cpus)
    except ValueError:
        return EMPTY
