"""A drop-in for CRI-O: its own containers, and what guaranteed pods may share, on shared vCPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/crio/crio.conf.d/50-mdguest.conf"

NOTES = """
Goes with `mdguest render kubelet`: infra_ctr_cpuset is the kubelet's reservedSystemCPUs.
A container of a guaranteed pod gets the CPUs of shared_cpuset beside its own, for its unimportant
threads, where its pod has the annotation cpu-shared.crio.io and the runtime's allowed_annotations
list it (CRI-O 1.30; an older one ignores the setting).
Leave kernel partitions to CRI-O itself here (annotation cpu-load-balancing.crio.io).
"""


def render(cpus: Split) -> str:
    """The drop-in, as TOML."""
    guide = Guide(
        put=PATH,
        activate="systemctl restart crio; running containers keep the CPUs they have",
        undo="remove this file; systemctl restart crio",
        notes=NOTES,
    )
    top = heading("crio", cpus, guide)
    return (
        f"{top}[crio.runtime]\n"
        f'infra_ctr_cpuset = "{cpus.housekeeping}"\n'
        f'shared_cpuset = "{cpus.housekeeping}"\n'
    )
