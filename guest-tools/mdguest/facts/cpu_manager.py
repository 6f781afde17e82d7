"""What a kubelet's CPU manager remembers, and which CPUs the kubelet is told to reserve.

A kubelet that is a process of its own says by its flags where its files are: it reads no others.
K3s, MicroK8s and MicroShift have theirs inside, and keep its files where each of them does. A flag
counts before the drop-ins, a later drop-in before an earlier one, and all of them before the main
file (Kubernetes, tasks/administer-cluster/kubelet-config-file).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from mdguest.cpuset import EMPTY, CpuSet, union
from mdguest.facts.kubernetes import KUBELETS, Kubelet
from mdguest.facts.place import place
from mdguest.procfs import arguments, text

if TYPE_CHECKING:
    from mdguest.facts import Task
    from mdguest.system import System


class CpuManager(NamedTuple):
    """The CPU manager of one kubelet."""

    path: str
    """Its state file."""
    policy: str
    """``static``, ``none``, or empty where the file is none of a CPU manager."""
    exclusive: CpuSet
    """The CPUs of containers and pods that have theirs to themselves."""
    reserved: CpuSet
    """Those that the kubelet is told to reserve; none where it is told of none."""


def managers(system: System, units: Iterable[str], tasks: Iterable[Task]) -> Iterator[CpuManager]:
    """Those that have a state file, of the kubelets that run, or else of these units."""
    running = _running(tasks)
    found = dict(_of_flags(system, process) for process in running)
    if not found:
        known = [kubelet for kubelet in KUBELETS if kubelet.unit in tuple(units)]
        found = dict.fromkeys((kubelet.state for kubelet in known), _of_files(system, known))
    for path, reserved in found.items():
        if system.exists(path):
            yield _manager(system, path, reserved)


def _running(tasks: Iterable[Task]) -> list[int]:
    """The processes that are a kubelet; not those of a container, which have files of their own."""
    threads = {task.tid: task for task in tasks if task.name == "kubelet"}
    return [
        tid
        for tid, task in threads.items()
        if task.parent not in threads and not place(task.group).is_container
    ]


def _manager(system: System, path: str, reserved: CpuSet) -> CpuManager:
    try:
        state = json.loads(system.read(path))
        given = _sets([state.get("entries"), state.get("podEntries")])
        return CpuManager(path, str(state["policyName"]), given, reserved)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return CpuManager(path, "", EMPTY, reserved)


def _sets(value: object) -> CpuSet:
    """All CPU lists in the entries: by container (Kubernetes 1.17), by pod and container, and those
    of pods as a whole (1.36).
    """
    if isinstance(value, str):
        return CpuSet.parse(value)
    parts = list(value.values()) if isinstance(value, dict) else value or []
    if not isinstance(parts, list):
        raise TypeError("no CPU list")
    return union(map(_sets, parts))


# ---- what it is told ----

_RESERVED = re.compile(r"""reserved(?:SystemCPUs|-cpus)["']?\s*[:=\s]\s*["']?([0-9][0-9,-]*)""")
_COMMENT = re.compile(r"(?:^|[ \t])#.*$", re.MULTILINE)

_MAIN = (
    "/var/lib/kubelet/config.yaml",
    "/etc/microshift/config.yaml",
    "/etc/k0s/k0s.yaml",
)
_FLAGS = (
    "/var/lib/kubelet/kubeadm-flags.env",
    "/etc/default/kubelet",
    "/etc/sysconfig/kubelet",
    "/etc/rancher/*/config.yaml",
    "/etc/rancher/*/config.yaml.d/*.yaml",
)
_UNIT = (
    "/usr/lib/systemd/system/{}",
    "/usr/local/lib/systemd/system/{}",
    "/etc/systemd/system/{}",
    "/etc/systemd/system/{}.env",
    "/etc/systemd/system/{}.d/*.conf",
)
"""Where K3s and RKE2 keep the kubelet's flags, too: ``--kubelet-arg`` in what starts them."""


def _of_flags(system: System, process: int) -> tuple[str, CpuSet]:
    """The state file of a kubelet that runs, and what it reserves."""
    flags = dict(_flags(arguments(system, process)))
    folder = flags.get("config-dir")
    files = [flags[name] for name in ("config",) if name in flags]
    files += system.glob(f"{folder}/*.conf") if folder else []
    state = f"{flags.get('root-dir', '/var/lib/kubelet')}/cpu_manager_state"
    told = [text(system, path) for path in files]
    return state, _last([*told, f"reserved-cpus={flags.get('reserved-cpus', '')}"])


def _flags(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """``--name=value``, ``--name value``."""
    before = ""
    for word in words:
        name, equals, value = word.lstrip("-").partition("=")
        is_flag = word.startswith("-")
        if is_flag and equals:
            yield name, value
        elif before and not is_flag:
            yield before, word
        before = name if is_flag and not equals else ""


def _of_files(system: System, known: Iterable[Kubelet]) -> CpuSet:
    """What the files say that such kubelets have, where none runs to be asked."""
    places = dict.fromkeys(kubelet.drop_ins for kubelet in known)
    units = [form.format(kubelet.unit) for kubelet in known for form in _UNIT]
    drop_ins = (f"{folder}/*" for folder in places)
    patterns = (*_MAIN, *drop_ins, *_FLAGS, *units, *places)
    paths = (path for pattern in patterns for path in system.glob(pattern))
    return _last([text(system, path) for path in paths])


def _last(texts: Iterable[str]) -> CpuSet:
    """What the last of the texts reserves that speaks of it; a comment says nothing."""
    lists = [found for told in texts for found in _RESERVED.findall(_COMMENT.sub("", told))]
    try:
        return CpuSet.parse(lists[-1]) if lists else EMPTY
    except ValueError:
        return EMPTY
