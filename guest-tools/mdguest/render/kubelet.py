"""Settings for the kubelet: the shared vCPUs are reserved, the dedicated ones are for pods.

The same few settings in each form that a kubelet takes them in; Kubernetes comes in many ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from mdguest.facts.kubernetes import KUBELETS, Kubelet
from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/kubernetes/kubelet.conf.d/50-mdguest.conf"

NOTES = """
reservedSystemCPUs excludes systemReservedCgroup and kubeReservedCgroup, and takes the place of the
cpu amounts in systemReserved and kubeReserved.

Use `mdguest apply --mode kubernetes`, which makes no cpuset partition: the kubelet's pods would not
get CPUs that a partition owns, and nothing would say so.

No cpuManagerPolicyOptions are set, on purpose:
- strict-cpu-reservation (beta in 1.33, stable in 1.35; a kubelet that does not know it does not
  start) would keep pods without exclusive CPUs off the CPUs reserved here: they would run on
  dedicated CPUs only, and have none once all are assigned. As it is, they share the reserved CPUs
  and such dedicated ones as no pod owns.
- full-pcpus-only would refuse pods whenever a core that this guest sees is half shared, half
  dedicated, and those cores need not be the host's.
"""

DROP_IN = """
The kubelet reads the files of --config-dir in alphanumeric order (Kubernetes 1.30, before that with
KUBELET_CONFIG_DROPIN_DIR_ALPHA set). A list in a later file replaces one in an earlier file, a map
is merged. Without --config-dir, copy the settings into the main configuration file.
K3s and RKE2 read such a folder of their own from 1.32 on; before, put kubelet-arg with
cpu-manager-policy=static and reserved-cpus={reserved} into their config.yaml.
"""

ARGUMENTS = """
Append the lines that begin with -- to the file, and leave out this comment where the file has none.
"""

PROFILE = """
The configuration is that of the controllers; merge the profile into it, and start this worker with
--profile=dedicated-{count} (k0s install worker --profile=…). All workers of one profile must have
the same shared CPUs.
"""

EXEMPT = """
The CPUs of exempt slices are reserved, so that no pod gets one for itself. mdguest keeps all other
pods off them by the cpuset of kubepods.
"""

SYSTEM_PARTITION = """\
# kube-system's pods on the shared CPUs alone: Kubernetes 1.37, alpha; an older one would not start.
# featureGates:
#   NodeSystemPartition: true
# systemPartition:
#   cpuset: "{reserved}"
#   namespaces: [kube-system]
"""

ONE_NODE = """\
# topologyManagerPolicy is left alone: this guest has one NUMA node.
"""

NODES = """\
# This guest has {count} NUMA nodes. Where a pod must never span two: single-numa-node.
topologyManagerPolicy: best-effort
"""

SETTINGS = """\
cpuManagerPolicy: static
reservedSystemCPUs: "{reserved}"
"""

KIND = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
"""


class Form(NamedTuple):
    """How a kubelet is told: the text, the file, and what else to know."""

    text: Callable[[Split], str]
    file: Callable[[Kubelet], str]
    notes: str = ""


def _settings(cpus: Split) -> str:
    nodes = NODES.format(count=len(cpus.numa)) if len(cpus.numa) > 1 else ONE_NODE
    return SETTINGS.format(reserved=cpus.reserved) + nodes


def _drop_in(cpus: Split) -> str:
    partition = SYSTEM_PARTITION.format(reserved=cpus.housekeeping)
    return KIND + _settings(cpus) + partition


def _flags(cpus: Split) -> list[str]:
    flags = ["cpu-manager-policy=static", f"reserved-cpus={cpus.reserved}"]
    return flags + (["topology-manager-policy=best-effort"] if len(cpus.numa) > 1 else [])


def _arguments(cpus: Split) -> str:
    return "".join(f"--{flag}\n" for flag in _flags(cpus))


def _snap(cpus: Split) -> str:
    return f"snap set kubelet {' '.join(_flags(cpus))}\n"


def _indented(text: str, by: int) -> str:
    return "".join(" " * by + line for line in text.splitlines(keepends=True))


def _profile(cpus: Split) -> str:
    name = f"  - name: dedicated-{len(cpus.pool)}\n    values:\n"
    return f"spec:\n  workerProfiles:\n{name}{_indented(_settings(cpus), 6)}"


def _section(cpus: Split) -> str:
    return f"kubelet:\n{_indented(_settings(cpus), 2)}"


FORMS: Mapping[str, Form] = {
    "drop-in": Form(_drop_in, lambda kubelet: f"{kubelet.drop_ins}/50-mdguest.conf", DROP_IN),
    "arguments": Form(_arguments, lambda kubelet: kubelet.drop_ins, ARGUMENTS),
    "snap": Form(_snap, lambda _: "a shell: the snap keeps it"),
    "profile": Form(_profile, lambda kubelet: kubelet.drop_ins, PROFILE),
    "section": Form(_section, lambda kubelet: f"{kubelet.drop_ins}/50-mdguest.yaml"),
}


def render(cpus: Split) -> str:
    """The settings in the form of the kubelet that is here; a drop-in where none is."""
    kubelet = cpus.kubelets[0] if cpus.kubelets else KUBELETS[0]
    form, unit = FORMS[kubelet.form], kubelet.unit.removesuffix(".service")
    own = form.notes.format(reserved=cpus.reserved, count=len(cpus.pool))
    guide = Guide(
        put=form.file(kubelet),
        activate=f"kubectl drain NODE; systemctl stop {unit}; "
        f"rm {kubelet.state}; systemctl start {unit}; kubectl uncordon NODE",
        undo="remove this again, then the same steps: "
        "a kubelet does not start on the state of another policy or reserved set",
        notes=own.rstrip("\n") + "\n" + NOTES + (EXEMPT if cpus.exempt else ""),
    )
    return heading("kubelet", cpus, guide) + form.text(cpus)
