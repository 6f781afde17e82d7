"""What Kubernetes is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.facts import Knob
from mdguest.isolation.steps import Step
from mdguest.render import Split, render

if TYPE_CHECKING:
    from mdguest.isolation.wants.scene import Scene

KUBELET_FILE = "/run/mdguest/kubelet.conf.d/50-mdguest.conf"


def kubelet(scene: Scene) -> Iterator[Step]:
    """A drop-in for kubelet's --config-dir: its pods get what the rest of the guest leaves."""
    if not scene.cpus.pool:
        return  # no CPU is left for pods to have
    split = Split(
        dedicated=scene.cpus.dedicated,
        housekeeping=scene.cpus.housekeeping,
        numa=scene.facts.numa,
        partition=scene.settings.partition,
        exempt=scene.cpus.exempt,
    )
    now = scene.facts.files.get(KUBELET_FILE)
    why = "kubelet gives pods exclusive CPUs of those that are not reserved"
    yield Step(Knob("file", KUBELET_FILE), now, render("kubelet", split).rstrip("\n"), why)
