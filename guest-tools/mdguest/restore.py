"""The way back: steps that put every knob to what was found before its first change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from mdguest.cpuset import CpuSet
from mdguest.facts import Facts, Knob
from mdguest.observe import POOL
from mdguest.share import Share
from mdguest.steps import Step
from mdguest.wants import SLICE_FILE

OF_THE_POOL = (Knob("unit", POOL), Knob("file", SLICE_FILE))

Originals = Mapping[Knob, "str | None"]


def restored(
    facts: Facts, originals: Originals, isolated: CpuSet, wanted: AbstractSet[Knob]
) -> tuple[list[Step], list[str]]:
    """Steps, last change first, for the knobs that nothing wants any longer; and what to tell.

    Affinities come in a pass of their own once all else is back, since changes of a cpuset lose
    them before Linux 6.2; and only in a full undo, as tasks come and go.
    """
    back = [knob for knob in reversed(list(originals)) if knob not in wanted]
    structure = [knob for knob in back if knob.kind != "affinity" and knob in facts.journalled]
    notes = []
    if not wanted and facts.pool and facts.pool.populated:
        structure = [knob for knob in structure if knob not in OF_THE_POOL]
        notes.append(f"programs still run in {POOL}; undo again once they have ended removes it")
    steps = [_back(knob, facts.journalled[knob], originals[knob]) for knob in structure]
    if not wanted and isolated and not any(step.needed for step in steps):
        steps += _affinities(facts, originals, Share(isolated, facts.online - isolated))
    return steps, notes


def _back(knob: Knob, now: str | None, was: str | None, name: str = "") -> Step:
    return Step(knob, now, was, "as it was found", name, restore=True)


def _affinities(facts: Facts, originals: Originals, cpus: Share) -> Iterator[Step]:
    """Affinities that are still as the isolation left them; a program that chose anew keeps that.

    A kernel thread that was born meanwhile has its parent's, cut.
    """
    for task in facts.tasks:
        knob = Knob("affinity", task.id)
        name = f"task {task.tid} ({task.name})"
        was = originals.get(knob)
        if was is not None and (not task.chosen or task.cpus == cpus.cut(CpuSet.parse(was))):
            yield _back(knob, str(task.cpus), was, name)
        if was is None and task.kernel and task.cpus == cpus.housekeeping:
            yield _back(knob, str(task.cpus), str(facts.everything), name)
