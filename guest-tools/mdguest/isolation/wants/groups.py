"""The cgroups beside the pool: none of them may have its CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.facts import Knob
from mdguest.isolation.steps import Step
from mdguest.isolation.wants.scene import is_exempt
from mdguest.knobs.units import dropin, property_now

if TYPE_CHECKING:
    from mdguest.facts import Group
    from mdguest.isolation.wants.scene import Scene


def siblings(scene: Scene) -> Iterator[Step]:
    """Neighbours of the pool that name its CPUs: they make its partition invalid before Linux 7."""
    for group in _neighbours(scene):
        claimed = (group.asked | (group.cpus or EMPTY)) & scene.cpus.dedicated
        if claimed or allowed(group) in scene.originals:
            base = scene.base(allowed(group), group.asked or group.cpus or EMPTY)
            why = f"it claims CPU {claimed} as well, which makes the partition invalid"
            yield from set_group(scene, group, scene.cpus.cut(base), why)


def fence(scene: Scene) -> Iterator[Step]:
    """Every neighbour keeps to the housekeeping CPUs."""
    for group in _neighbours(scene):
        if not group.is_partition:
            base = scene.base(allowed(group), group.asked or group.cpus or EMPTY)
            why = "everything but the pool keeps to the housekeeping CPUs"
            yield from set_group(scene, group, scene.cpus.cut(base), why)


def _neighbours(scene: Scene) -> Iterator[Group]:
    """The cgroups that are for no dedicated CPU; but not one that was made for a slice which was
    exempt, and goes.
    """
    for group in scene.facts.groups:
        knobs = (Knob("unit", group.unit), Knob("cgroup", group.path))
        goes = not group.populated and any(knob in scene.originals for knob in knobs)
        if not goes and not is_exempt(scene, group.below):
            yield group


def allowed(group: Group) -> Knob:
    if group.unit:
        return Knob("cpus", f"{group.unit} AllowedCPUs")
    return Knob("list", f"{group.path}/cpuset.cpus")


def set_group(scene: Scene, group: Group, cpus: CpuSet, why: str) -> Iterator[Step]:
    """Give a cgroup its CPUs, through systemd where that owns it."""
    asked, kernel = str(group.asked), None if group.cpus is None else str(group.cpus)
    if group.unit:
        file = Knob("dropin", dropin(group.unit))
        yield Step(file, group.dropin, None, "systemd keeps the setting here", only_remember=True)
        now = property_now(asked, kernel, scene.facts.online)
        yield Step(allowed(group), now, str(cpus), why, was=asked)
    elif kernel is not None:
        yield Step(allowed(group), kernel, str(cpus), why)


def held(group: Group) -> CpuSet:
    """The CPUs that a cgroup was given."""
    return group.asked or group.cpus or EMPTY


def asked_of(scene: Scene, group: Group) -> CpuSet:
    """The CPUs that a cgroup was given before the isolation; none where nobody gave it any."""
    return scene.base(allowed(group), group.asked or group.cpus or EMPTY)
