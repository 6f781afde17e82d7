"""What each mode wants, area by area: functions of the facts that yield steps in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Callable, NamedTuple

from mdguest import knobs
from mdguest.cpuset import EMPTY, CpuSet, union
from mdguest.facts import CGROUP, POOL, RAW_POOL, Facts, Group, Knob, Task
from mdguest.facts.kubernetes import is_of_pods
from mdguest.isolation.observe import dropin
from mdguest.isolation.share import Share
from mdguest.isolation.steps import Step
from mdguest.knobs.irqbalance import SILENT
from mdguest.settings import Settings

SLICE_FILE = f"/run/systemd/system/{POOL}"
SLICE = """\
# Made by mdguest, gone at the next boot. mdguest status shows its CPUs.
[Unit]
Description=Programs on this guest's dedicated CPUs
Documentation=man:mdguest(8)
RefuseManualStop=yes

[Slice]"""
KUBELET_FILE = "/run/mdguest/kubelet.conf.d/50-mdguest.conf"
NATIVE_FILE = f"{knobs.RUNTIME}/{POOL}.d/50-CPUSetPartition.conf"
FILES = (SLICE_FILE, KUBELET_FILE, NATIVE_FILE)
"""The files that mdguest writes for others to read, or has systemd write."""

SUBSET = "mdguest-"
"""How the names of the subsets begin that ``run`` makes in the pool."""


class Scene(NamedTuple):
    """All that a want may look at."""

    cpus: Share
    facts: Facts
    settings: Settings
    originals: Mapping[Knob, str | None]
    settling: bool
    mode: str
    before: tuple[Share, ...] = ()
    """How the CPUs were divided until now."""
    refused: str = ""
    """Why the kernel would have no partition."""

    def base(self, knob: Knob, now: CpuSet) -> CpuSet:
        """The set that was found before the first change, or is there now."""
        was = self.originals.get(knob)
        return now if was is None else CpuSet.parse(was)


Want = Callable[[Scene], Iterator[Step]]


def siblings(scene: Scene) -> Iterator[Step]:
    """Neighbours of the pool that name its CPUs: they make its partition invalid before Linux 7."""
    for group in scene.facts.groups:
        claimed = (group.asked | (group.cpus or EMPTY)) & scene.cpus.dedicated
        if claimed or _allowed(group) in scene.originals:
            base = scene.base(_allowed(group), group.asked or group.cpus or EMPTY)
            why = f"it claims CPU {claimed} as well, which makes the partition invalid"
            yield from _set_group(scene, group, scene.cpus.cut(base), why)


def fence(scene: Scene) -> Iterator[Step]:
    """Every neighbour keeps to the housekeeping CPUs."""
    for group in scene.facts.groups:
        if not is_exempt(scene, group.below) and not group.is_partition:
            base = scene.base(_allowed(group), group.asked or group.cpus or EMPTY)
            why = "everything but the pool keeps to the housekeeping CPUs"
            yield from _set_group(scene, group, scene.cpus.cut(base), why)


def is_exempt(scene: Scene, group: str) -> bool:
    """Whether a cgroup may use the dedicated CPUs."""
    pool = f"/{POOL}" if scene.facts.systemd else f"/{RAW_POOL}"
    of_pods = scene.mode == "kubernetes" and is_of_pods(group)
    return of_pods or group == pool or group.startswith(f"{pool}/")


def _allowed(group: Group) -> Knob:
    if group.unit:
        return Knob("cpus", f"{group.unit} AllowedCPUs")
    return Knob("list", f"{group.path}/cpuset.cpus")


def _set_group(scene: Scene, group: Group, cpus: CpuSet, why: str) -> Iterator[Step]:
    """Give a cgroup its CPUs, through systemd where that owns it."""
    asked, kernel = str(group.asked), None if group.cpus is None else str(group.cpus)
    if group.unit:
        file = Knob("dropin", dropin(group.unit))
        yield Step(file, group.dropin, None, "systemd keeps the setting here", only_remember=True)
        now = knobs.property_now(asked, kernel, scene.facts.online)
        yield Step(_allowed(group), now, str(cpus), why, was=asked)
    elif kernel is not None:
        yield Step(_allowed(group), kernel, str(cpus), why)


def interrupts(scene: Scene) -> Iterator[Step]:
    for irq in scene.facts.irqs:
        knob = Knob("irq", f"/proc/irq/{irq.number}/smp_affinity_list")
        base = scene.base(knob, irq.cpus)
        if base & scene.cpus.dedicated:
            why = "a device's interrupt stops the program on the CPU that takes it"
            want = scene.cpus.cut(base)
            if _is_balanced(scene) and irq.cpus and irq.cpus <= scene.cpus.housekeeping:
                want = irq.cpus  # irqbalance chose one of them, and will choose again
            yield Step(knob, str(irq.cpus), str(want), why, f"irq {irq.number} ({irq.name})")


def _is_balanced(scene: Scene) -> bool:
    """Whether an irqbalance places the interrupts."""
    return scene.facts.irqbalance is not None or scene.facts.deaf_irqbalance is not None


MASK_WHY = {
    "/proc/irq/default_smp_affinity": "interrupts of devices to come go elsewhere",
    "/sys/devices/virtual/workqueue": "the kernel's unbound work is done elsewhere",
    "/proc/sys/kernel/watchdog_cpumask": "the lockup watchdog wakes up on each CPU it watches",
    "/sys/class/net": "the network's packets are handled elsewhere",
    "/proc/sys/net/core": "queues of network devices to come are handled elsewhere",
}


def masks(scene: Scene) -> Iterator[Step]:
    for knob, cpus in scene.facts.masks.items():
        base = scene.base(knob, cpus)
        if base & scene.cpus.dedicated:
            why = next(text for path, text in MASK_WHY.items() if knob.target.startswith(path))
            yield Step(knob, str(cpus), str(scene.cpus.cut(base)), why)


def irqbalance(scene: Scene) -> Iterator[Step]:
    facts = scene.facts
    bans, now = facts.irqbalance, str(facts.irqbalance)
    if facts.silent_irqbalance:
        bans, now = (facts.deaf_irqbalance or EMPTY) | facts.boot_isolated | facts.nohz_full, SILENT
    if bans is not None:
        knob = Knob("irqbalance", "banned CPUs")
        base = scene.base(knob, bans)
        why = "irqbalance does not see partitions, and would put interrupts back"
        want = str(base | scene.cpus.dedicated)
        yield Step(knob, now, want, why, "irqbalance", was=str(base))


def pool(scene: Scene) -> Iterator[Step]:
    """The slice in which the programs run that the dedicated CPUs are for.

    It is systemd's own: a cgroup that systemd does not know loses its cpuset at a daemon-reload.
    """
    systemd, found = scene.facts.systemd, scene.facts.pool
    if systemd is None:
        return
    active = knobs.activity(systemd.pool_active)
    yield Step(Knob("unit", POOL), active, "active", "the pool exists while its slice is started")
    # After the start, so that on the way back it goes before the stop, which it refuses.
    if systemd.pool_file in ("", SLICE_FILE):
        now = scene.facts.files.get(SLICE_FILE)
        yield Step(Knob("file", SLICE_FILE), now, SLICE, "nobody stops the pool by mistake")
    group = found or Group(f"{CGROUP}/{POOL}", POOL)
    yield from _set_group(scene, group, scene.cpus.dedicated, "the pool's CPUs")


def raw_pool(scene: Scene) -> Iterator[Step]:
    """The same without systemd: a cgroup below the root."""
    path, found = f"{CGROUP}/{RAW_POOL}", scene.facts.pool
    now = "cpuset" if "cpuset" in scene.facts.controllers.split() else ""
    controllers = Knob("controllers", f"{CGROUP}/cgroup.subtree_control")
    yield Step(controllers, now, "cpuset", "cgroups below the root get CPU sets")
    there = "there" if found else None
    yield Step(Knob("cgroup", path), there, "there", "the pool is a cgroup of its own")
    cpus = str(found.cpus or "") if found else ""
    why = "the pool's CPUs"
    yield Step(Knob("list", f"{path}/cpuset.cpus"), cpus, str(scene.cpus.dedicated), why)


def partition(scene: Scene) -> Iterator[Step]:
    """The kernel takes the CPUs out of everyone else's hands."""
    systemd, found, kind = scene.facts.systemd, scene.facts.pool, scene.settings.partition
    if scene.refused or not scene.cpus.dedicated & scene.facts.online:
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
            why = f"CPU {held(group) - scene.cpus.dedicated} is no longer dedicated"
            yield Step(_allowed(group), str(held(group)), str(cpus), why, journal=False)


def displaced(scene: Scene) -> Iterator[tuple[Group, CpuSet]]:
    """The subsets that lose CPUs, and what each has then: fewer CPUs where too few are free."""
    taken = union(held(group) & scene.cpus.dedicated for group in scene.facts.subsets)
    for group in scene.facts.subsets:
        lost = held(group) - scene.cpus.dedicated
        if group.name.startswith(SUBSET) and lost and group.populated:
            free = list(scene.cpus.dedicated - taken)[: len(lost)]
            cpus = (held(group) & scene.cpus.dedicated) | CpuSet.of(free)
            taken |= cpus
            yield group, cpus


def held(group: Group) -> CpuSet:
    """The CPUs that a cgroup was given."""
    return group.asked or group.cpus or EMPTY


def tasks(scene: Scene) -> Iterator[Step]:
    """Threads with an affinity of their own: kept off the dedicated CPUs, and otherwise given back
    what Linux before 6.2 forgets whenever their cpuset changes.
    """
    settled = _settled(scene)
    for task in scene.facts.tasks:
        if not is_exempt(scene, task.group):
            yield from _outside(scene, task, settled)
        elif scene.mode != "kubernetes":
            yield from _inside(scene, task)


def _outside(scene: Scene, task: Task, settled: bool) -> Iterator[Step]:
    base = chosen_by(scene, task)
    touches = task.cpus & scene.cpus.dedicated
    if base is None and touches and (settled or (task.kernel and _fenced(scene))):
        base = task.cpus
    if base is not None:
        why = "its affinity is kept" if not touches else f"it may run on CPU {touches}"
        yield _affinity(task, base, scene.cpus.cut(base), why)


def _inside(scene: Scene, task: Task) -> Iterator[Step]:
    def clip(cpus: CpuSet) -> CpuSet:
        return cpus & scene.cpus.dedicated & task.room or task.cpus

    base = _wish(scene, task, clip)
    if base is not None:
        yield _affinity(task, base, clip(base), "its affinity is kept")


def _wish(scene: Scene, task: Task, *clips: Callable[[CpuSet], CpuSet]) -> CpuSet | None:
    """The affinity that a task was given, before the pool's changes took of it; None: none."""
    was = scene.originals.get(Knob("affinity", task.id))
    remembered = None if was is None else CpuSet.parse(was)
    if remembered is not None:
        lost = scene.settling and not task.chosen
        cut = [clip(remembered) for clip in clips]
        if lost or task.cpus in (*cut, *(cpus & task.room for cpus in cut)):
            return remembered
    if not task.chosen:
        return None
    return scene.facts.usual(task) if _is_the_kernels(scene, task) else task.cpus


def asked_of(scene: Scene, group: Group) -> CpuSet:
    """The CPUs that a cgroup was given before the isolation; none where nobody gave it any."""
    return scene.base(_allowed(group), group.asked or group.cpus or EMPTY)


def chosen_by(scene: Scene, task: Task) -> CpuSet | None:
    """The affinity that a task outside the pool chose, or was given, before the isolation."""
    return _wish(scene, task, scene.cpus.cut, *(cpus.cut for cpus in scene.before))


def _is_the_kernels(scene: Scene, task: Task) -> bool:
    """Whether the kernel itself has put a thread of its own where it is.

    A partition that became invalid leaves them there (Linux 6.1). They may use what of the pool is
    balanced by itself (Linux 7).
    """
    taken = [cpus.dedicated for cpus in scene.before]
    if scene.facts.pool and scene.before:
        taken.append(scene.facts.pool.effective or EMPTY)
    usual = scene.facts.usual(task)
    return task.kernel and task.cpus in [usual - cpus for cpus in taken]


def _affinity(task: Task, base: CpuSet, want: CpuSet, why: str) -> Step:
    knob, kind = Knob("affinity", task.id), "kernel thread" if task.kernel else "task"
    name = f"{kind} {task.tid} ({task.name})"
    return Step(knob, str(task.cpus), str(want), why, name, was=str(base), keep=True)


def _fenced(scene: Scene) -> bool:
    return fence in WANTS[scene.mode]


def _settled(scene: Scene) -> bool:
    """Whether all that would move a task by itself is in place."""
    structure = (fence, pool) if _fenced(scene) else (pool, raw_pool, partition)
    steps = (step for want in structure if want in WANTS[scene.mode] for step in want(scene))
    return not any(step.needed for step in steps)


def kubelet(scene: Scene) -> Iterator[Step]:
    """A drop-in for kubelet's --config-dir: its pods get what the rest of the guest leaves."""
    from mdguest.render import Split, render

    split = Split(
        dedicated=scene.cpus.dedicated,
        housekeeping=scene.cpus.housekeeping,
        numa=scene.facts.numa,
        partition=scene.settings.partition,
    )
    now = scene.facts.files.get(KUBELET_FILE)
    why = "kubelet gives pods exclusive CPUs of those that are not reserved"
    yield Step(Knob("file", KUBELET_FILE), now, render("kubelet", split).rstrip("\n"), why)


_KERNEL = (irqbalance, interrupts, masks)
"""irqbalance first, so that it does not put back what is moved after."""

WANTS: dict[str, tuple[Want, ...]] = {
    "partition": (siblings, *_KERNEL, pool, partition, subsets, tasks),
    "kubernetes": (fence, *_KERNEL, kubelet, tasks),
    "fence": (fence, *_KERNEL, pool, subsets, tasks),
    "raw": (*_KERNEL, raw_pool, partition, subsets, tasks),
}
