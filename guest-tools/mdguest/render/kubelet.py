"""A drop-in for the kubelet: the shared vCPUs are reserved, the dedicated ones are for pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/kubernetes/kubelet.conf.d/50-mdguest.conf"

NOTES = """
The kubelet reads the files of --config-dir in alphanumeric order (Kubernetes 1.30, before that with
KUBELET_CONFIG_DROPIN_DIR_ALPHA set). A list in a later file replaces one in an earlier file, a map
is merged. Without --config-dir, copy the settings into the main configuration file.
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

ONE_NODE = """\
# topologyManagerPolicy is left alone: this guest has one NUMA node.
"""

NODES = """\
# This guest has {count} NUMA nodes. Where a pod must never span two: single-numa-node.
topologyManagerPolicy: best-effort
"""

SETTINGS = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cpuManagerPolicy: static
reservedSystemCPUs: "{reserved}"
"""


def render(cpus: Split) -> str:
    """The drop-in, as YAML."""
    guide = Guide(
        put=PATH,
        activate="kubectl drain NODE; systemctl stop kubelet; "
        "rm /var/lib/kubelet/cpu_manager_state; systemctl start kubelet; kubectl uncordon NODE",
        undo="remove this file, then the same steps: "
        "a kubelet does not start on the state of another policy or reserved set",
        notes=NOTES,
    )
    top = heading("kubelet", cpus, guide)
    nodes = NODES.format(count=len(cpus.numa)) if len(cpus.numa) > 1 else ONE_NODE
    return top + SETTINGS.format(reserved=cpus.housekeeping) + nodes
