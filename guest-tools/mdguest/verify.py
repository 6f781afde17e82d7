"""Is it as it should be? The plan's view of the facts, and what the kernel made of the pool."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdguest.irqbalance import SCAN_SECONDS, SOCKETS

if TYPE_CHECKING:
    from mdguest.facts import Facts
    from mdguest.plan import Plan
    from mdguest.state import State
    from mdguest.steps import Step


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be."""

    what: str
    found: str
    expected: str
    why: str


def problems(made: Plan, facts: Facts, state: State, now: float | None = None) -> list[Problem]:
    """What is wrong; empty where the dedicated CPUs are isolated as well as this guest can."""
    age = (time.time() if now is None else now) - state.applied_at
    found = [_problem(step) for step in made.changes if not _pending(step, age)]
    return [*found, *_pool(made, facts), *_irqbalance(made, facts)]


def _pending(step: Step, age: float) -> bool:
    """irqbalance acts at its next scan."""
    return step.knob.kind == "irqbalance" and 0 <= age < SCAN_SECONDS


def _problem(step: Step) -> Problem:
    return Problem(step.title, step.shown(step.now), step.shown(step.want), step.why)


def _irqbalance(made: Plan, facts: Facts) -> list[Problem]:
    """One that runs and does not answer will move interrupts to the dedicated CPUs again."""
    if not made.mode or facts.deaf_irqbalance is None or made.dedicated <= facts.deaf_irqbalance:
        return []
    found = f"it keeps off CPU {facts.deaf_irqbalance or 'none'}, and cannot be told"
    why = f"its socket ({SOCKETS}) is missing or dead; see mdguest render irqbalance"
    return [Problem("irqbalance", found, f"it keeps off CPU {made.dedicated}", why)]


def _pool(made: Plan, facts: Facts) -> list[Problem]:
    """A pool that the kernel clipped: it gives other CPUs than it was told, without an error."""
    pool = facts.pool
    expected = made.dedicated & facts.online
    if made.mode in ("", "kubernetes") or pool is None or not expected:
        return []
    effective = facts.pool_cpus
    if effective == expected:
        return []
    why = "the kernel gives the pool other CPUs than it was told"
    return [Problem(f"{pool.name} cpuset.cpus.effective", str(effective), str(expected), why)]
