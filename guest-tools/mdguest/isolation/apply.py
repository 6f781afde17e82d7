"""Carrying out a plan: journal, write, read back; again until nothing is left to change.

A round's changes may bring new ones about: kernel threads that a partition leaves behind, a
partition that this kernel refuses. So the facts are read and the plan is made anew each round.
Killed at any point, the next run goes on from the facts; the journal has every original, and what
the run was for. The state is saved once, when that is done.
"""

from __future__ import annotations

import errno
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from mdguest import knobs
from mdguest.cpuset import EMPTY, CpuSet
from mdguest.exemption import shown
from mdguest.facts import Knob
from mdguest.isolation import state
from mdguest.isolation.journal import Journal
from mdguest.isolation.memory import Memory
from mdguest.isolation.observe import observe
from mdguest.isolation.plan import STAND_INS, Plan, plan
from mdguest.isolation.wants import FILES
from mdguest.knobs import lost, waking
from mdguest.knobs.kind import Fate
from mdguest.knobs.systemctl import systemctl
from mdguest.procfs import uptime

if TYPE_CHECKING:
    from mdguest.isolation.steps import Step
    from mdguest.layout import Layout
    from mdguest.settings import Settings
    from mdguest.system import System

ROUNDS = 6
TRIES = 2
"""How often a step is tried: once more than one that a race with others may spoil."""

Say = Callable[[str], None]
Intent = Mapping[str, Any]
"""Fields of the state."""


@dataclass
class Outcome:
    """How it went."""

    plan: Plan
    done: list[Step] = field(default_factory=list)
    failures: dict[Knob, str] = field(default_factory=dict)
    """What each knob that is not right now says of it."""
    refused: str = ""
    immovable: dict[str, str] = field(default_factory=dict)
    crowded: dict[str, str] = field(default_factory=dict)


def memory(journal: Journal, remembered: state.State) -> Memory:
    return Memory(
        originals=journal.originals,
        settling=journal.settling,
        exempt=remembered.exempt,
        refused=remembered.refused,
        immovable=remembered.immovable,
        crowded=remembered.crowded,
        isolated=tuple(
            CpuSet.parse(cpus)
            for cpus in dict.fromkeys([remembered.isolated, *remembered.isolating.split()])
            if cpus
        ),
        left=tuple(map(CpuSet.parse, remembered.left.split())),
        since=remembered.since,
    )


def planned(system: System, asked: CpuSet, settings: Settings, remembered: Memory) -> Plan:
    """The plan as of now."""
    facts = observe(system, remembered.originals, FILES, settings.exempted())
    return plan(asked, facts, settings, remembered)


class Goal(NamedTuple):
    """What a run is for: how its plan is made anew, and what it is about to make of the state."""

    replan: Callable[[Memory], Plan]
    intent: Intent


def converge(system: System, first: Plan, goal: Goal, remembered: Memory, say: Say) -> Outcome:
    """Change what the first plan says, and the next ones, until the facts are as they want them.

    Afterwards the journal still says that changes are under way.
    """
    journal, outcome = Journal(system), Outcome(first)
    lost.tidy(system)
    waking.tidy(system)
    outcome.refused = remembered.refused
    outcome.immovable, outcome.crowded = dict(remembered.immovable), dict(remembered.crowded)
    tries: Counter[tuple[Knob, str | None]] = Counter()
    cut_off = journal.settling
    for _ in range(ROUNDS):
        if outcome.plan.changes:
            journal.begin(goal.intent)
        reloaded = _remember(system, journal, outcome.plan)
        hidden = (
            step for step in _hidden(outcome.plan) if cut_off or step.knob in outcome.failures
        )
        due = [*outcome.plan.changes, *hidden]
        todo = [step for step in due if tries[step.knob, step.want] < _tries(step, outcome)]
        if not todo and not reloaded:
            break
        journal.begin(goal.intent)
        tries.update((step.knob, step.want) for step in _counted(todo))
        for step in todo:
            _attempt(system, journal, step, outcome, say)
        outcome.refused = outcome.refused or _refusal(outcome, tries)
        remembered = replace(
            remembered,
            originals=journal.originals,
            settling=True,
            refused=outcome.refused,
            immovable=outcome.immovable,
            crowded=outcome.crowded,
        )
        outcome.plan = goal.replan(remembered)
    _finish(system, journal, outcome, cut_off)
    return outcome


def _tries(step: Step, outcome: Outcome) -> int:
    """Who acts later is told once: told again, it would begin anew."""
    is_open = step.needed or step.knob in outcome.failures
    return TRIES if is_open and not step.kind.seconds else 1


def _counted(todo: list[Step]) -> list[Step]:
    """The steps that are really tried: what a task may have is not settled while cpusets change."""
    moving = any(step.kind.moves_tasks for step in todo)
    return [step for step in todo if not (moving and step.kind.of_a_task)]


def _remember(system: System, journal: Journal, made: Plan) -> bool:
    """Note what the changes would lose; what is back already needs no more remembering.

    Returns whether systemd was told that drop-ins are gone: it may take cpusets away then, and
    Linux before 6.2 the affinities, so that comes before those are put back.
    """
    kept = [step for step in made.steps if step.keep or step.only_remember]
    if made.changes and kept:
        journal.note(*((step.knob, step.original) for step in kept))
    back = [step.knob for step in made.steps if step.restore and not step.needed]
    busy = {knobs.unit(step.knob) for step in made.steps if step.needed}
    back = [
        knob
        for knob in back
        if not (knobs.of(knob).at_reload and knobs.unit(knob) in busy)  # it will be written again
    ]
    wanted = {step.knob for step in made.steps}
    gone = (knob for knob in made.gone if knob not in wanted)  # with a slice that was stopped
    back += [knob for knob in gone if knobs.of(knob).at_reload]
    reload = any(knobs.of(knob).at_reload for knob in back)
    if reload:
        systemctl(system, "daemon-reload")
        back = [knob for knob in back if not knobs.of(knob).of_a_task]  # it may have lost them
    journal.back(*(knob for knob in back if not knobs.of(knob).seconds))
    return reload


def _hidden(made: Plan) -> list[Step]:
    """Affinities that may read right only because the kernel clips another, from before a kill or a
    failure: it keeps what was asked for last, and would come back to that.
    """
    return [
        step
        for step in made.steps
        if step.kind.of_a_task and not step.needed and step.original != step.want
    ]


def tend(system: System, made: Plan, say: Say) -> None:
    """See to what has just come into being, and touch nothing else."""
    young = [step for step in made.changes if step.young]
    if young:
        journal = Journal(system)
        journal.back(*(knob for knob in made.gone if knobs.of(knob).of_a_task))
        for step in young:
            _attempt(system, journal, step, Outcome(made), say)


def _attempt(system: System, journal: Journal, step: Step, outcome: Outcome, say: Say) -> None:
    try:
        _do(system, journal, step)
    except OSError as error:
        _failed(journal, step, error, outcome)
    else:
        outcome.failures.pop(step.knob, None)
        outcome.done.append(step)
        say(f"{step.title}: {step.shown(step.now)} → {step.shown(step.want)}")


def _note(journal: Journal, step: Step) -> None:
    """Have on record what a step is about to lose."""
    if step.journal and not step.restore:
        journal.note((step.knob, step.original))


def _do(system: System, journal: Journal, step: Step) -> None:
    _note(journal, step)
    knobs.write(system, step.knob, step.want)
    acts_now = not step.kind.seconds
    if acts_now:
        got = knobs.read(system, step.knob)
        if not step.is_set(got):
            raise OSError(errno.EIO, f"it reads {got or 'unset'!r} after {step.want or 'unset'!r}")
    if step.restore and acts_now and not step.kind.at_reload:
        journal.back(step.knob)


def _failed(journal: Journal, step: Step, error: OSError, outcome: Outcome) -> None:
    """What a failed step means; that a task ended or an interrupt cannot move is no error."""
    fate, message = step.kind.failure(error, step.want)
    name = step.kind.name(step.knob.target)
    if fate in (Fate.FAILED, Fate.CROWDED):
        outcome.failures[step.knob] = message
    if fate is Fate.CROWDED:
        outcome.crowded[name] = step.name
    if fate is Fate.IMMOVABLE:
        outcome.immovable[name] = step.name
    if fate in (Fate.GONE, Fate.IMMOVABLE):
        journal.back(step.knob)


def _refusal(outcome: Outcome, tries: Mapping[tuple[Knob, str | None], int]) -> str:
    """Why the kernel will have no partition, once it has been asked often enough."""
    for (knob, want), count in tries.items():
        granted = knobs.of(knob).granted
        if granted is not None and want != granted and count >= TRIES:
            return outcome.failures.get(knob, "")
    return ""


def _finish(system: System, journal: Journal, outcome: Outcome, cut_off: bool) -> None:
    """Forget tasks that ended or chose anew; say what is still not as it should be."""
    wanted = {step.knob for step in outcome.plan.steps}
    tasks = (knob for knob in journal.originals if knobs.of(knob).of_a_task)
    journal.back(*outcome.plan.gone, *(knob for knob in tasks if knob not in wanted))
    _set_again(system, journal, outcome)
    moved = cut_off or any(step.kind.moves_tasks for step in outcome.done)
    for step in outcome.plan.steps:
        step.kind.finish(system, step.knob.target, step.want, moved)
    left = {step.knob: step for step in outcome.plan.changes if not step.kind.seconds}
    failed = {
        knob: outcome.failures.get(knob, f"it reads {step.now or 'unset'!r} again")
        for knob, step in left.items()
    }
    outcome.failures = {**failed, **_that_stay(outcome)}


def _that_stay(outcome: Outcome) -> dict[Knob, str]:
    """The failures of this run that stay, whatever the plan says: of what is not tried again, and
    of what cannot be read back.
    """
    return {
        knob: message
        for knob, message in outcome.failures.items()
        if knobs.of(knob).seconds or knobs.of(knob).name(knob.target) in outcome.crowded
    }


def _set_again(system: System, journal: Journal, outcome: Outcome) -> None:
    """Set what takes its time once in each run, needed or not: what was set just before does not
    show yet.
    """
    done = {step.knob for step in outcome.done}
    for step in outcome.plan.steps:
        if step.kind.seconds:
            if step.knob not in done:
                _set_anew(system, journal, step, outcome)
            if step.restore and not step.needed and step.knob not in outcome.failures:
                journal.back(step.knob)


def _set_anew(system: System, journal: Journal, step: Step, outcome: Outcome) -> None:
    try:
        _note(journal, step)
        knobs.write(system, step.knob, step.want)
    except OSError as error:
        _failed(journal, step, error, outcome)
    else:
        outcome.failures.pop(step.knob, None)


def _intent(layout: Layout, settings: Settings, first: Plan, old: state.State) -> Intent:
    """What is about to be. What runs before it were cut off at is still to be put back."""
    isolating = dict.fromkeys([*old.isolating.split(), str(first.dedicated)])
    mode = {"mode": first.mode} if first.mode else {}
    left = str(first.housekeeping)
    exempt = {"exempt": shown(settings.exempted())} if layout.dedicated else {}
    return {
        "dedicated": str(layout.dedicated or EMPTY),
        "realtime": str(layout.realtime),
        "source": layout.source,
        **mode,
        "asked_mode": settings.mode or "",
        "partition": settings.partition,
        "housekeeping": settings.housekeeping,
        **exempt,
        "isolating": " ".join(filter(None, isolating)),
        "left": " ".join([*(cpus for cpus in old.left.split() if cpus != left), left]),
    }


class Occasion(NamedTuple):
    """Why a run is made."""

    then: Intent = {}
    """What else the state says at the end."""
    anew: bool = True
    """Whether to try again what the kernel refused before."""


USUAL = Occasion()


def apply(
    system: System,
    layout: Layout,
    settings: Settings,
    say: Say,
    occasion: Occasion = USUAL,
) -> Outcome:
    """Isolate what the layout names (the empty set: put everything back); remember how it went."""
    asked, old = layout.dedicated or EMPTY, state.load(system)
    if occasion.anew or old.dedicated != str(asked):
        old = replace(old, refused="", immovable={}, crowded={})
    if not old.isolated and not old.isolating:
        old = replace(old, since=uptime(system), left="")
    remembered = memory(Journal(system), old)
    replan = partial(planned, system, asked, settings)
    first = replan(remembered)  # refusals come before any change
    intent = _intent(layout, settings, first, old)
    beginning = {**intent, "since": old.since}
    outcome = converge(system, first, Goal(replan, beginning), remembered, say)
    ended = {
        "mode": outcome.plan.mode,
        "isolated": str(outcome.plan.dedicated),
        "isolating": "",
        "refused": outcome.refused if outcome.plan.mode in STAND_INS.values() else "",
        "immovable": outcome.immovable,
        "crowded": outcome.crowded,
        "stale": "",
        "applied_at": time.time(),
    }
    state.save(system, replace(old, **{**intent, **ended, **occasion.then}))
    Journal(system).complete()
    return outcome
