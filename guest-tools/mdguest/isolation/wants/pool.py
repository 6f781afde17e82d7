"""The pool: where the programs run that the dedicated CPUs are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet, union
from mdguest.facts import CGROUP, POOL, RAW_POOL, Group, Knob
from mdguest.isolation.steps import Step
from mdguest.isolation.wants.groups import allowed, held, set_group
from mdguest.knobs.systemctl import RUNTIME
from mdguest.knobs.units import activity

if TYPE_CHECKING:
    from mdguest.isolation.wants.scene import Scene

SLICE_FILE = f"/run/systemd/system/{POOL}"
SLICE = """\
# Made by mdguest, gone at the next boot. mdguest status shows its CPUs.
[Unit]
Description=Programs on this guest's dedicated CPUs
Documentation=man:mdguest(8)
RefuseManualStop=yes

[Slice]"""
NATIVE_FILE = f"{RUNTIME}/{POOL}.d/50-CPUSetPartition.conf"

SUBSET = "mdguest-"
"""How the names of the subsets begin that ``run`` makes in the pool."""


def pool(scene: Scene) -> Iterator[Step]:
    """The slice in which the programs run that the dedicated CPUs are for.

    It is systemd's own: a cgroup that systemd does not know loses its cpuset at a daemon-reload.
    """
    systemd, found = scene.facts.systemd, scene.facts.pool
    if systemd is None or not scene.cpus.pool:
        return
    active = activity(systemd.pool_active)
    yield Step(Knob("unit", POOL), active, "active", "the pool exists while its slice is started")
    # After the start, so that on the way back it goes before the stop, which it refuses.
    if systemd.pool_file in ("", SLICE_FILE):
        now = scene.facts.files.get(SLICE_FILE)
        yield Step(Knob("file", SLICE_FILE), now, SLICE, "nobody stops the pool by mistake")
    group = found or Group(f"{CGROUP}/{POOL}", POOL)
    yield from set_group(scene, group, scene.cpus.pool, "the pool's CPUs")


def raw_pool(scene: Scene) -> Iterator[Step]:
    """The same without systemd: a cgroup below the root."""
    path, found = f"{CGROUP}/{RAW_POOL}", scene.facts.pool
    yield from controllers(scene)
    if not scene.cpus.pool:
        return
    there = "there" if found else None
    yield Step(Knob("cgroup", path), there, "there", "the pool is a cgroup of its own")
    cpus = str(found.cpus or "") if found else ""
    why = "the pool's CPUs"
    yield Step(Knob("list", f"{path}/cpuset.cpus"), cpus, str(scene.cpus.pool), why)


def controllers(scene: Scene) -> Iterator[Step]:
    """Without systemd nobody else sees to this."""
    now = "cpuset" if "cpuset" in scene.facts.controllers.split() else ""
    knob = Knob("controllers", f"{CGROUP}/cgroup.subtree_control")
    yield Step(knob, now, "cpuset", "cgroups below the root get CPU sets")


def partition(scene: Scene) -> Iterator[Step]:
    """The kernel takes the CPUs out of everyone else's hands."""
    systemd, found, kind = scene.facts.systemd, scene.facts.pool, scene.settings.partition
    if scene.refused or not scene.cpus.pool & scene.facts.online:
        return  # it would be invalid
    if systemd and systemd.partitions:
        file, text = Knob("dropin", NATIVE_FILE), scene.facts.files.get(NATIVE_FILE)
        yield Step(file, text, None, "systemd keeps the setting here", only_remember=True)
        knob = Knob("native", f"{POOL} CPUSetPartition")
        yield Step(knob, systemd.pool_partition, kind, "systemd sets it again when it has to")
    path = found.path if found else f"{CGROUP}/{POOL if systemd else RAW_POOL}"
    now = (found.partition if found else "") or "member"
    why = "the kernel keeps all other programs and its own unbound threads off these CPUs"
    yield Step(Knob("partition", f"{path}/cpuset.cpus.partition"), now, kind, why, was="member")


def subsets(scene: Scene) -> Iterator[Step]:
    """Programs that ``run`` started keep an exclusive subset when the pool changes under them."""
    for group, cpus in displaced(scene):
        if cpus:
            why = f"CPU {held(group) - scene.cpus.pool} is the pool's no longer"
            yield Step(allowed(group), str(held(group)), str(cpus), why, journal=False)


def displaced(scene: Scene) -> Iterator[tuple[Group, CpuSet]]:
    """The subsets that lose CPUs, and what each has then: fewer CPUs where too few are free."""
    taken = union(held(group) & scene.cpus.pool for group in scene.facts.subsets)
    for group in scene.facts.subsets:
        lost = held(group) - scene.cpus.pool
        if group.name.startswith(SUBSET) and lost and group.populated:
            free = list(scene.cpus.pool - taken)[: len(lost)]
            cpus = (held(group) & scene.cpus.pool) | CpuSet.of(free)
            taken |= cpus
            yield group, cpus
