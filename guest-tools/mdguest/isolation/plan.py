"""What to do: the facts and the layout in, steps with their reasons out. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.errors import Refused
from mdguest.exemption import Exempt, cpus_of
from mdguest.facts import POOL, Knob
from mdguest.facts.boot import BOOT_CPU
from mdguest.isolation.claims import Claim, claims
from mdguest.isolation.memory import Memory
from mdguest.isolation.restore import restored
from mdguest.isolation.share import Share, share
from mdguest.isolation.steps import Step
from mdguest.isolation.wants import WANTS
from mdguest.isolation.wants.groups import held
from mdguest.isolation.wants.pool import displaced, subsets
from mdguest.isolation.wants.scene import Scene, is_exempt
from mdguest.knobs.lost import ROOT

if TYPE_CHECKING:
    from mdguest.facts import Facts
    from mdguest.settings import Settings

STAND_INS = {"partition": "fence", "raw": "raw"}
"""What keeps everyone else off the CPUs where the kernel would not: in raw mode their affinities
alone.
"""

WHY_LACKING = "the layout does not dedicate it any more; correct MDGUEST_EXEMPT"


@dataclass(frozen=True)
class Plan:
    """Every knob that matters, in the order in which to set them.

    ``mode`` is empty where nothing is to be isolated: then the steps put back what was found.
    """

    mode: str
    because: str
    dedicated: CpuSet
    housekeeping: CpuSet
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    reboot: tuple[str, ...] = ()
    """What only another kernel command line would give."""

    gone: tuple[Knob, ...] = ()
    """Knobs that were changed, and are no longer there."""

    exempt: Exempt = field(default_factory=dict)
    """Slices with dedicated CPUs of their own."""

    lacking: Exempt = field(default_factory=dict)
    """What such slices should have, and the layout does not dedicate."""

    claims: tuple[Claim, ...] = ()
    """Who asked for these CPUs outside the pool, and does not get them."""

    @property
    def pool(self) -> CpuSet:
        """The dedicated CPUs that are the pool's, or the pods'."""
        return self.dedicated - cpus_of(self.exempt)

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.needed)


def plan(asked: CpuSet, facts: Facts, settings: Settings, memory: Memory) -> Plan:
    """The way from these facts to isolated CPUs ``asked``; the empty set: back to what was found.

    Raises BadInput where the layout cannot be this guest's, Refused where the way would harm it.
    """
    if not asked:
        return replace(_nothing("no CPU is dedicated", facts, memory), lacking=settings.exempted())
    cpus = share(asked, facts, settings, memory.exempt)
    if not cpus.dedicated:
        return replace(
            _nothing("no dedicated CPU is left to isolate", facts, memory, cpus.notes),
            lacking=cpus.lacking,
        )
    return _isolating(cpus, facts, settings, memory)


def _isolating(cpus: Share, facts: Facts, settings: Settings, memory: Memory) -> Plan:
    """The way to CPUs that are shared out."""
    mode, because = _mode(facts, settings, memory)
    scene = Scene(
        cpus,
        facts,
        settings,
        memory.originals,
        memory.settling or _forgotten(cpus, facts, memory),
        mode,
        memory.shares(facts),
        memory.refused,
        WANTS[mode],
    )
    _check_neighbours(scene)
    wanted = [step for want in scene.wants for step in want(scene)]
    back, notes = restored(facts, memory, {step.knob for step in wanted})
    wanted = [step for step in wanted if not _is_immovable(step, memory)]
    return Plan(
        mode,
        because,
        cpus.dedicated,
        cpus.housekeeping,
        _with_lost(facts, (*back, *wanted)),
        (*cpus.notes, *notes, *_notes(scene, memory)),
        tuple(_reboot(cpus, facts, memory)),
        _gone(facts, memory),
        cpus.exempt,
        cpus.lacking,
        claims(scene),
    )


def _forgotten(cpus: Share, facts: Facts, memory: Memory) -> bool:
    """Whether affinities are lost, since shared CPUs came or went: Linux before 6.2."""
    return facts.release < (6, 2) and memory.left[-1:] not in ((), (cpus.housekeeping,))


def _check_neighbours(scene: Scene) -> None:
    """Somebody else's partition would be left without CPUs, or take the rest of the guest's."""
    for group in (*scene.facts.groups, *scene.facts.nested):
        theirs = (group.effective or EMPTY) & scene.cpus.dedicated
        ours = scene.facts.is_ours(group) or is_exempt(scene, group.below)
        if group.is_partition and theirs and not ours:
            raise Refused(
                f"CPU {theirs} cannot be isolated: it is in {group.below[1:]}, a cpuset partition "
                f"of its own ({group.partition}); make that a member, or give it other CPUs, first"
            )


def _nothing(because: str, facts: Facts, memory: Memory, notes: Iterable[str] = ()) -> Plan:
    back, more = restored(facts, memory, frozenset())
    steps = _with_lost(facts, back)
    return Plan("", because, EMPTY, facts.online, steps, (*notes, *more), (), _gone(facts, memory))


def _with_lost(facts: Facts, steps: Iterable[Step]) -> tuple[Step, ...]:
    """Before tasks get their affinities, CPUs that the kernel has lost, where nothing else that is
    to be done may bring them back.
    """
    steps = tuple(steps)
    pending = any(step.needed and step.kind.moves_tasks for step in steps)
    if facts.root is None or not facts.lost or pending:
        return steps
    want = str(facts.root | facts.lost)
    why = f"CPU {facts.lost} belongs to nobody since a partition was invalid"
    name = "the root's cpuset.cpus.effective"
    back = Step(Knob("root", ROOT), str(facts.root), want, why, name, journal=False)
    tasks = [step for step in steps if step.kind.of_a_task]
    return (*(step for step in steps if step not in tasks), back, *tasks)


def _gone(facts: Facts, memory: Memory) -> tuple[Knob, ...]:
    return tuple(knob for knob in memory.originals if knob not in facts.journalled)


def _mode(facts: Facts, settings: Settings, memory: Memory) -> tuple[str, str]:
    """The mode and why: the one that was asked for, or the one that suits this guest."""
    if facts.container and (facts.frozen or not facts.cpuset):
        raise Refused(
            f"this is a container ({facts.container}) that may not divide its CPUs: "
            "/sys/fs/cgroup is read-only, or without the cpuset controller; run mdguest on its "
            f"host, and start it with --cgroup-parent={POOL} there"
        )
    if not facts.cpuset:
        raise Refused(
            "/sys/fs/cgroup is not a version 2 hierarchy with the cpuset controller, which "
            "isolation needs; boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2 there"
        )
    mode, because = _asked(settings) or _kept(facts, settings) or _suitable(facts)
    if mode == "raw" and facts.systemd:
        raise Refused(
            "mode raw: systemd runs this guest, and takes the cpuset controller away from cgroups "
            "that are not its own; use mode partition"
        )
    if mode != "raw" and not facts.systemd:
        raise Refused(f"mode {mode}: it needs systemd, which does not run this guest; use mode raw")
    if mode in STAND_INS and memory.refused:
        return STAND_INS[mode], f"the kernel refused a partition: {memory.refused}"
    return mode, because


def _asked(settings: Settings) -> tuple[str, str] | None:
    return (settings.mode, "as asked for") if settings.mode else None


def _kept(facts: Facts, settings: Settings) -> tuple[str, str] | None:
    """The mode that is in force goes on, though another would be chosen now; but a kubelet that has
    come since gets its own, once nothing runs in the pool, and takes it along when it goes.
    """
    if settings.kept is None:
        return None
    kubelet_was, kubelet_is = (
        mode == "kubernetes" for mode in (settings.kept, _suitable(facts)[0])
    )
    idle = not (facts.pool and facts.pool.populated)
    if kubelet_was != kubelet_is and (kubelet_was or idle):
        return None
    return settings.kept, "as it was applied"


def _suitable(facts: Facts) -> tuple[str, str]:
    if not facts.systemd:
        return "raw", "no systemd runs this guest"
    if facts.kubernetes:
        return "kubernetes", f"{facts.kubernetes[0]} is here"
    return "partition", "systemd and cgroup version 2 are here"


def _is_immovable(step: Step, memory: Memory) -> bool:
    """Whether it could not be set before. Devices come and go: another may have its number now."""
    name = step.kind.name(step.knob.target)
    return step.name in (memory.immovable.get(name), memory.crowded.get(name))


def _notes(scene: Scene, memory: Memory) -> list[str]:
    notes = []
    managed = _managed(scene.facts, memory)
    if managed:
        notes.append(
            f"managed, not movable: {', '.join(managed)}; such an interrupt "
            "comes to a dedicated CPU only for what a program there asks of the device"
        )
    if TIMER in memory.immovable:
        notes.append(
            f"{memory.immovable[TIMER]} cannot be moved; the kernel hardly uses it after its start"
        )
    notes += _lasting(scene)
    if scene.facts.tickless is False:
        notes.append(
            "this kernel is built without NO_HZ_FULL: its timer tick runs on the dedicated CPUs "
            "too, and no reboot with nohz_full= changes that"
        )
    if not scene.cpus.dedicated & scene.facts.online:
        notes.append(f"of the dedicated CPUs {scene.cpus.dedicated} none is online")
    if scene.facts.container:
        notes.append(
            f"in a container ({scene.facts.container}): interrupts, workqueues and kernel threads "
            "are its host's, and come to the dedicated CPUs unless mdguest runs there, too"
        )
    if subsets in scene.wants:
        notes += _crowded(scene)
    return notes


def _lasting(scene: Scene) -> Iterator[str]:
    for found in scene.facts.lasting:
        claimed = found.cpus & scene.cpus.dedicated
        if claimed and not is_exempt(scene, f"/{found.unit}"):
            mended = found.mended(scene.cpus.cut(found.cpus))
            yield (
                f"{found.unit} has CPU {claimed} by {found.path}, which comes back at each "
                f"systemctl daemon-reload; to mend it: {mended}"
            )


TIMER = "0"
"""The interrupt of a PC's timer, which is bound to its CPU, and is no device's."""


def _managed(facts: Facts, memory: Memory) -> list[str]:
    here = {irq.title for irq in facts.irqs}
    return [name for number, name in memory.immovable.items() if number != TIMER and name in here]


def _crowded(scene: Scene) -> Iterator[str]:
    """Programs whose subset has become smaller, because the pool has."""
    for group, cpus in displaced(scene):
        if len(cpus) < len(held(group)):
            left = f"it keeps CPU {cpus}" if cpus else "it shares all of the pool"
            yield f"{group.name} held CPU {held(group)} and too few are free: {left}"


def _reboot(cpus: Share, facts: Facts, memory: Memory) -> list[str]:
    if facts.container:
        return []  # the command line is the host's
    wishes = []
    can = EMPTY if facts.tickless is False else cpus.dedicated - BOOT_CPU
    ticking, calling = can - facts.nohz_full, cpus.dedicated - facts.no_callbacks
    wanted = {
        f"nohz_full={can}": ("the timer tick", ticking),
        f"rcu_nocbs={cpus.dedicated}": ("RCU callbacks", calling),
    }
    missing = {argument: run for argument, run in wanted.items() if run[1]}
    if missing:
        what = " and ".join(name for name, _ in missing.values())
        runs = "run" if calling else "runs"
        wishes.append(f"{' '.join(missing)}: {what} still {runs} on CPU {ticking | calling}")
    if _managed(facts, memory) and "managed_irq" not in facts.cmdline:
        wishes.append(
            f"isolcpus=managed_irq,{cpus.dedicated}: interrupts that the kernel manages stay off"
        )
    return wishes
