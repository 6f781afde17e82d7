"""The Kubernetes driver for CPUs as dynamic resources, which takes the CPU manager's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/kubernetes/dra-driver-cpu-values.yaml"

NOTES = """
Values for the driver's Helm chart (dra-driver-cpu 0.2). It gives pods CPUs by resource claims, and
excludes the kubelet's CPU manager: set cpuManagerPolicy to none there, not what `mdguest render
kubelet` prints, and remove its cpu_manager_state. So that the scheduler counts right, kubeReserved
and systemReserved together should be cpu: {count}.
One release of the chart configures all the nodes that it selects: nodes whose dedicated CPUs differ
need a nodeSelector here, and a release each.
Use `mdguest apply --mode kubernetes`, as for any kubelet.
"""

VALUES = """\
driverConfig:
  apiVersion: v1alpha1
  cpuDeviceMode: grouped
  groupBy: numanode
  reservedCPUs: "{reserved}"
"""


def render(cpus: Split) -> str:
    """The values, as YAML."""
    guide = Guide(
        put=f"{PATH}, or wherever helm runs",
        activate="helm upgrade --install dra-driver-cpu "
        f"oci://registry.k8s.io/dra-driver-cpu/charts/dra-driver-cpu -n kube-system -f {PATH}",
        undo="helm uninstall dra-driver-cpu -n kube-system",
        notes=NOTES.format(count=len(cpus.reserved)),
    )
    return heading("dra-driver-cpu", cpus, guide) + VALUES.format(reserved=cpus.reserved)
