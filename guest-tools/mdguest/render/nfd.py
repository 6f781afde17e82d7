"""A feature file for Node Feature Discovery: labels that say what the node has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.render.heading import Guide, heading

if TYPE_CHECKING:
    from mdguest.render.split import Split

PATH = "/etc/kubernetes/node-feature-discovery/features.d/mdguest"

NAMESPACE = "feature.node.kubernetes.io"
"""Without a namespace newer versions make no label; this one every version lets through."""

MAX_VALUE = 63
"""The longest value that a Kubernetes label can have."""

NOTES = """
A label's value has no commas and at most 63 characters: in dedicated-cpu.list "_" stands for ",",
and the label is left out where the list is too long. NFD ignores a file of more than 64 KiB, and
one whose name begins with a dot: write it under such a name, then rename it, so that no half is
read.
"""


def labels(cpus: Split) -> dict[str, str]:
    """The labels by their names, without the namespace."""
    nodes = [node for node, own in enumerate(cpus.numa) if own & cpus.usable]
    values = {
        "dedicated-cpu.present": "true",
        "dedicated-cpu.count": str(len(cpus.usable)),
        "dedicated-cpu.list": str(cpus.usable).replace(",", "_"),
        "dedicated-cpu.numa-nodes": str(max(1, len(nodes))),
        "shared-cpu.count": str(len(cpus.housekeeping)),
    }
    return {name: value for name, value in values.items() if len(value) <= MAX_VALUE}


def render(cpus: Split) -> str:
    """The feature file: a label a line."""
    guide = Guide(
        put=PATH,
        activate="nothing more: nfd-worker reads it at its next pass, within a minute",
        undo="remove this file; the labels go at the next pass",
        notes=NOTES,
    )
    top = heading("nfd", cpus, guide)
    lines = [f"{NAMESPACE}/{name}={value}\n" for name, value in labels(cpus).items()]
    return top + "".join(lines)
