"""The state of the guest for people, programs and Prometheus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from mdguest.pool.subsets import subsets

if TYPE_CHECKING:
    from mdguest.control import View
    from mdguest.facts import Facts
    from mdguest.isolation.plan import Plan
    from mdguest.isolation.steps import Step
    from mdguest.knobs.kind import Problem
    from mdguest.layout import Layout

STATES = ("off", "isolated", "degraded", "displaced", "broken")
"""Nothing is isolated; all is well; a fence stands in for a partition; somebody outside
the pool who asked for its CPUs has shared ones; something is not right.
"""


def status(view: View) -> dict[str, Any]:
    """Everything, as JSON has it. CPU sets are in list form."""
    made, state = view.plan, view.state
    return {
        "state": _state(view),
        "dedicated_cpus": str(view.asked),
        "isolated_cpus": str(made.dedicated & view.facts.online),
        "housekeeping_cpus": str(made.housekeeping),
        "exempt": exempt(made),
        "source": state.source,
        "stale": state.stale or None,
        "mode": made.mode or None,
        "partition": view.facts.pool.partition or None if view.facts.pool else None,
        "refused": state.refused or None,
        "immovable_irqs": state.immovable,
        "subsets": [{"name": held.name, "cpus": str(held.cpus)} for held in subsets(view.facts)],
        "problems": problems(view.problems),
        "displaced": displaced(made),
        "notes": list(made.notes),
        "reboot": list(made.reboot),
    }


def problems(found: Iterable[Problem]) -> list[dict[str, Any]]:
    """What is wrong."""
    return [asdict(problem) for problem in found]


def reported(view: View, layout: Layout) -> dict[str, Any]:
    """What a server that takes reports is told: little enough for any proxy."""
    seen = status(view)
    told = {key: seen[key] for key in ("state", "dedicated_cpus", "isolated_cpus", "mode")}
    return told if layout.generation is None else {"generation": layout.generation, **told}


def exempt(made: Plan) -> list[dict[str, str]]:
    """Slices with dedicated CPUs of their own."""
    return [{"slice": name, "cpus": str(cpus)} for name, cpus in made.exempt.items()]


def displaced(made: Plan) -> list[dict[str, Any]]:
    """Who asked for the dedicated CPUs outside the pool, and what mends it."""
    return [
        {
            "unit": claim.where,
            "threads": list(claim.threads),
            "by": claim.how,
            "cpus": str(claim.cpus),
            "dedicated": str(claim.dedicated),
            "mend": claim.remedy,
            "message": claim.line,
        }
        for claim in made.claims
    ]


def _state(view: View) -> str:
    if view.problems:
        return "broken"
    if not view.plan.mode:
        return "off"
    if view.plan.claims:
        return "displaced"
    return "degraded" if view.state.refused else "isolated"


def guest(facts: Facts, made: Plan) -> dict[str, Any]:
    """What there is in this guest, and who may run where it matters."""
    return {
        "online_cpus": str(facts.online),
        "numa": [str(cell) for cell in facts.numa],
        "threads_per_core": max(map(len, facts.siblings), default=1),
        "kernel": facts.kernel,
        "systemd": facts.systemd.version if facts.systemd else None,
        "boot_isolated_cpus": str(facts.boot_isolated),
        "nohz_full_cpus": str(facts.nohz_full),
        "on_dedicated": {
            "tasks": _visitors(facts, made, kernel=False),
            "kernel_threads": _visitors(facts, made, kernel=True),
            "irqs": sum(bool((irq.cpus | irq.astray) & made.dedicated) for irq in facts.irqs),
        },
    }


def _visitors(facts: Facts, made: Plan, *, kernel: bool) -> int:
    """How many tasks from outside the pool may run on the dedicated CPUs."""
    pools = [facts.pool.name] if facts.pool else []
    inside = {*pools, *made.exempt}
    return sum(
        task.kernel == kernel
        and bool(task.cpus & made.dedicated)
        and task.group.strip("/").partition("/")[0] not in inside
        for task in facts.tasks
    )


def plan_document(made: Plan, layout: Layout | None) -> dict[str, Any]:
    """A plan as JSON: the changes, and how many knobs are right already."""
    return {
        "mode": made.mode or None,
        "because": made.because,
        "isolated_cpus": str(made.dedicated),
        "housekeeping_cpus": str(made.housekeeping),
        "exempt": exempt(made),
        "steps": [_step(step) for step in made.changes],
        "right_already": len(made.steps) - len(made.changes),
        "displaced": displaced(made),
        "source": layout.source if layout else None,
        "stale": (layout.stale if layout else "") or None,
        "notes": list(made.notes),
        "reboot": list(made.reboot),
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "kind": step.knob.kind,
        "target": step.knob.target,
        "name": step.title,
        "now": step.now,
        "want": step.want,
        "why": step.why,
    }


METRICS = {
    "mdguest_state": "The state of the isolation: 1 for the one that holds",
    "mdguest_dedicated_cpus": "CPUs that the metadata calls dedicated",
    "mdguest_isolated_cpus": "CPUs that are isolated and online",
    "mdguest_problems": "Things that are not as they should be",
    "mdguest_displaced": "Units and programs outside the pool that asked for dedicated CPUs",
    "mdguest_stale": "1 while the layout could not be read and the last good one stands",
    "mdguest_subset_cpus": "CPUs of the pool that a program holds",
    "mdguest_applied_timestamp_seconds": "When the layout was applied last",
}


def _label(text: str) -> str:
    """A label's value: systemd escapes unit names with backslashes, which mean others there."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def prometheus(view: View) -> str:
    """The textfile collector's format: Prometheus exposition format 0.0.4."""
    samples: dict[str, list[tuple[str, float]]] = {
        "mdguest_state": [(f'{{state="{name}"}}', int(name == _state(view))) for name in STATES],
        "mdguest_dedicated_cpus": [("", len(view.asked))],
        "mdguest_isolated_cpus": [("", len(view.plan.dedicated & view.facts.online))],
        "mdguest_problems": [("", len(view.problems))],
        "mdguest_displaced": [("", len(view.plan.claims))],
        "mdguest_stale": [("", int(bool(view.state.stale)))],
        "mdguest_subset_cpus": [
            (f'{{name="{_label(held.name)}"}}', len(held.cpus)) for held in subsets(view.facts)
        ],
        "mdguest_applied_timestamp_seconds": [("", view.state.applied_at)],
    }
    lines = []
    for name, text in METRICS.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        lines += [f"{name}{labels} {value}" for labels, value in samples[name]]
    return "\n".join(lines) + "\n"
