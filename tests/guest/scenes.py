"""Guests in every mode on every kernel, with neighbours that make it hard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from mdguest.cpuset import CpuSet

from tests.guest.fake import FakeGuest, guest


class Scene(NamedTuple):
    """A guest, the settings with which it is isolated, and the mode that comes of it."""

    make: Callable[[], FakeGuest]
    mode: str
    settings: Mapping[str, Any]


def crowded(kernel: str, **options: Any) -> FakeGuest:
    """A neighbour that claims all CPUs, one that systemd does not know, one without settings."""
    made = guest(kernel, worker="3", **options)
    if made.systemd is None:
        return made
    made.set_property("user.slice", "AllowedCPUs=0-3")
    made.systemd.add("machine.slice")
    made.systemd.add("vm.scope", "/machine.slice")
    made.spawn("qemu", "/machine.slice/vm.scope", CpuSet.parse("1-2"))
    made.tree.make("/mine")
    return made


LEFT_OUT = ("cron", "(sd-pam)", "rcu_preempt", "kswapd0", "ksoftirqd/1", "ksoftirqd/2", "dropbear")


def lean(kernel: str, claimed: bool = True, **options: Any) -> FakeGuest:
    """One of each kind, so that killing it at every step takes little time."""
    made = guest(kernel, worker="3", **options)
    for task in [task for task in made.tasks if task.name in LEFT_OUT]:
        made.end(task)
    made.devices.irqs = [irq for irq in made.devices.irqs if irq.number in (25, 26)]
    made.devices.masks = {
        path: cpus for path, cpus in made.devices.masks.items() if "default_smp" in path
    }
    if made.systemd:
        made.spawn("qemu", "/user.slice", CpuSet.parse("1-2"))
    if made.systemd and claimed:
        made.set_property("user.slice", "AllowedCPUs=0-3")
    return made


def with_pods(kernel: str) -> FakeGuest:
    made = lean(kernel)
    assert made.systemd is not None
    made.systemd.add("kubepods.slice")
    made.spawn("nginx", "/kubepods.slice", CpuSet.parse("3"))
    return made


def with_ovs(kernel: str, **options: Any) -> FakeGuest:
    """A data plane polls in a slice of its own, beside pods where there is a systemd."""
    made = lean(kernel, **options)
    if made.systemd:
        made.systemd.add("ovs.slice")
        made.systemd.add("ovs.service", "/ovs.slice")
    made.spawn("pmd", "/ovs.slice/ovs.service", CpuSet.parse("2"))
    return made


def quiet(kernel: str) -> FakeGuest:
    """Nobody names a CPU, so that systemd takes the cpuset controller away once we are gone; no
    irqbalance, which the journal has to wait for.
    """
    return lean(kernel, claimed=False, irqbalance=False)


def _scenes() -> dict[str, Scene]:
    scenes = {}
    for kernel in ("6.1", "6.12", "7.2"):

        def make(kernel: str = kernel) -> FakeGuest:
            return lean(kernel)

        def pods(kernel: str = kernel) -> FakeGuest:
            return with_pods(kernel)

        def bare(kernel: str = kernel) -> FakeGuest:
            return lean(kernel, systemd=None)

        scenes[f"partition {kernel}"] = Scene(make, "partition", {})
        scenes[f"root {kernel}"] = Scene(make, "partition", {"partition": "root"})
        scenes[f"fence {kernel}"] = Scene(make, "fence", {"mode": "fence"})
        scenes[f"kubernetes {kernel}"] = Scene(pods, "kubernetes", {})
        scenes[f"raw {kernel}"] = Scene(bare, "raw", {})
    exempt = {"exempt": "ovs.slice=2"}
    return {
        **scenes,
        "exempt, partition": Scene(lambda: with_ovs("6.1"), "partition", exempt),
        "exempt, fence": Scene(lambda: with_ovs("6.12"), "fence", {**exempt, "mode": "fence"}),
        "exempt, kubernetes": Scene(
            lambda: with_ovs("6.12"), "kubernetes", {**exempt, "mode": "kubernetes"}
        ),
        "exempt, raw": Scene(lambda: with_ovs("7.2", systemd=None), "raw", exempt),
        "exempt, not there": Scene(lambda: lean("7.2"), "partition", exempt),
        "quiet fence": Scene(lambda: quiet("6.1"), "fence", {"mode": "fence"}),
        "quiet partition": Scene(lambda: quiet("7.2"), "partition", {}),
        "old kernel": Scene(lambda: lean("5.15"), "fence", {}),
        "isolcpus refused": Scene(lambda: lean("6.12", isolcpus="2-3"), "fence", {}),
        "old kernel, raw": Scene(lambda: lean("5.15", systemd=None), "raw", {}),
        "isolcpus refused, raw": Scene(
            lambda: lean("6.12", isolcpus="2-3", systemd=None), "raw", {}
        ),
    }


SCENES = _scenes()
