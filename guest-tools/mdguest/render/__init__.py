"""Configuration for other programs, made from this guest's split of its CPUs.

Each renderer is a module; ``RENDERERS`` is the table of them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mdguest.errors import BadInput
from mdguest.render import (
    cmdline,
    containers,
    crio,
    dpdk,
    dra_driver_cpu,
    irqbalance,
    kubelet,
    nfd,
    ovs,
    systemd,
    tuned,
    vpp,
)
from mdguest.render.split import Split, check

if TYPE_CHECKING:
    from typing import Callable

__all__ = ["RENDERERS", "Renderer", "Split", "named", "render"]


class Renderer(NamedTuple):
    """How to make a file, what it is for, and where it goes."""

    function: Callable[[Split], str]
    summary: str
    path: str
    warn: Callable[[Split], list[str]] = lambda _: []
    """What is wrong with it in this guest, though it can be had."""
    of_pool: bool = True
    """Whether it is about the dedicated CPUs that no exempt slice has, rather than about all."""


RENDERERS = {
    "kubelet": Renderer(
        kubelet.render, "kubelet drop-in: reserve the shared CPUs, static policy", kubelet.PATH
    ),
    "crio": Renderer(crio.render, "CRI-O drop-in: infra and shared containers' CPUs", crio.PATH),
    "nfd": Renderer(nfd.render, "Node Feature Discovery labels for the node", nfd.PATH),
    "dra-driver-cpu": Renderer(
        dra_driver_cpu.render, "values of the Kubernetes driver for CPU claims", dra_driver_cpu.PATH
    ),
    "dpdk": Renderer(dpdk.render, "DPDK's EAL arguments: lcores and main lcore", dpdk.PATH),
    "ovs": Renderer(
        ovs.render, "Open vSwitch with DPDK: masks of its threads", ovs.PATH, of_pool=False
    ),
    "vpp": Renderer(vpp.render, "VPP's main core and workers", vpp.PATH),
    "systemd": Renderer(
        systemd.render, "drop-in for a service that runs on the dedicated CPUs", systemd.PATH
    ),
    "docker": Renderer(containers.docker, "options of docker run", containers.DOCKER),
    "podman": Renderer(
        containers.podman, "drop-in for a container that systemd runs (Quadlet)", containers.PODMAN
    ),
    "compose": Renderer(
        containers.compose, "override file for a service of a compose file", containers.COMPOSE
    ),
    "cmdline": Renderer(
        cmdline.render,
        "kernel arguments: the tick, RCU, managed interrupts",
        cmdline.PATH,
        cmdline.warnings,
        of_pool=False,
    ),
    "tuned": Renderer(
        tuned.render,
        "TuneD profile on top of one of TuneD's",
        tuned.PATH,
        tuned.warnings,
        of_pool=False,
    ),
    "irqbalance": Renderer(
        irqbalance.render, "irqbalance keeps off the dedicated CPUs", irqbalance.PATH, of_pool=False
    ),
}


def render(name: str, cpus: Split) -> str:
    """The text of the named file for this guest.

    Raises BadInput where there is no such renderer, Refused where the split leaves nothing to
    isolate or nothing to keep house.
    """
    renderer = named(name)
    check(cpus, renderer.of_pool)
    return renderer.function(cpus)


def named(name: str) -> Renderer:
    """The renderer of that name. Raises BadInput where there is none."""
    if name not in RENDERERS:
        raise BadInput(f"render: {name!r} is not one of {', '.join(RENDERERS)}")
    return RENDERERS[name]
