"""The slices that the settings exempt: each has dedicated CPUs of its own, beside the pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.exemption import cpus_of
from mdguest.facts import Group, Knob
from mdguest.facts.kubernetes import is_of_pods
from mdguest.isolation.steps import Step
from mdguest.isolation.wants.groups import allowed, held, set_group
from mdguest.knobs.units import activity

if TYPE_CHECKING:
    from mdguest.isolation.wants.scene import Scene

_WHY = "these CPUs are this slice's alone, as MDGUEST_EXEMPT says"


def released(scene: Scene) -> Iterator[Step]:
    """What a slice has that is another's from now on: given back first, as no two partitions can
    have one CPU, not even for a moment. One that keeps none waits on the housekeeping CPUs.
    """
    for name, cpus in scene.cpus.exempt.items():
        group = scene.facts.slices[name]
        others = scene.cpus.dedicated - cpus
        if held(group) & others and group.is_partition:
            if not held(group) & cpus:
                yield _partition(group, "member")
            left = held(group) & cpus or scene.cpus.housekeeping
            yield from _cpus(scene, group, left, "what it loses is another's from now on")


def exempt(scene: Scene) -> Iterator[Step]:
    """Each slice is there, and has its CPUs."""
    for name, cpus in scene.cpus.exempt.items():
        group = scene.facts.slices[name]
        if scene.facts.systemd:
            active = activity(group.active)
            yield Step(Knob("unit", name), active, "active", "it has its CPUs while it is started")
        else:
            there = None if group.effective is None and not _is_there(scene, group) else "there"
            yield Step(Knob("cgroup", group.path), there, "there", "the slice is a cgroup")
        yield from _cpus(scene, group, cpus, _WHY)


def _is_there(scene: Scene, group: Group) -> bool:
    return any(other.path == group.path for other in scene.facts.groups)


def _cpus(scene: Scene, group: Group, cpus: CpuSet, why: str) -> Iterator[Step]:
    if group.unit:
        yield from set_group(scene, group, cpus, why)
        return
    yield Step(allowed(group), str(group.cpus or EMPTY), str(cpus), why)


def partitions(scene: Scene) -> Iterator[Step]:
    """The kernel keeps all others off, and balances these threads among themselves: nobody pins
    them, as ``run`` does those of the pool.
    """
    for name, cpus in scene.cpus.exempt.items():
        if cpus & scene.facts.online and not scene.refused:
            # CPUs of isolcpus= nobody balances: Linux 7 takes them as isolated only.
            kind = "isolated" if cpus & scene.facts.boot_isolated else "root"
            yield _partition(scene.facts.slices[name], kind)


def _partition(group: Group, kind: str) -> Step:
    knob = Knob("partition", f"{group.path}/cpuset.cpus.partition")
    return Step(knob, group.partition or "member", kind, _WHY, was="member")


def pods(scene: Scene) -> Iterator[Step]:
    """Pods keep off these CPUs: one without exclusive CPUs would run on all that are no other
    pod's, reserved ones included.
    """
    taken = cpus_of(scene.cpus.exempt)
    for group in scene.facts.groups:
        if taken and is_of_pods(group.below):
            base = scene.base(allowed(group), held(group)) or scene.facts.present
            left = base - taken or scene.cpus.housekeeping
            yield from set_group(scene, group, left, "pods keep off the CPUs of exempt slices")
