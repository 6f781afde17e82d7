"""The same for people, as plain text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from mdguest.exemption import listed

if TYPE_CHECKING:
    from mdguest.control import View
    from mdguest.isolation.plan import Plan
    from mdguest.isolation.steps import Step


_OTHERS = "Only others can put right"


def verdict(view: View) -> str:
    """That nothing is wrong, and how far that goes."""
    made, known = view.plan, view.state
    isolated = made.dedicated & view.facts.online
    if known.undone and known.dedicated:
        return f"CPU {known.dedicated} was put back by hand; mdguest apply isolates it again"
    if not made.mode:
        return "no CPU is to be isolated" + (f": {made.because}" if view.asked else "")
    if not isolated:
        return f"no CPU is isolated: of the dedicated CPUs {made.dedicated} none is online"
    if view.facts.container:
        why = "interrupts, workqueues and kernel threads are its host's"
        return f"CPU {isolated} isolated as far as a container can: {why}"
    if known.refused:
        why = f"the kernel refused a partition: {known.refused}"
        return f"CPU {isolated} isolated as far as this guest can: {why}"
    return f"CPU {isolated} isolated, as it should be"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, their cells below one another."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]


def plan_text(document: dict[str, Any], made: Plan) -> str:
    """What there is, what would change, and why."""
    stale = f" (stale: {document['stale']})" if document["stale"] else ""
    lines = [*_guest(document["guest"]), f"layout    {document['source']}{stale}"]
    if made.mode:
        lines += [
            f"isolate   CPU {made.dedicated}",
            f"leave     CPU {made.housekeeping}",
            *(f"exempt    {line}" for line in listed(made.exempt)),
            f"mode      {made.mode} ({made.because})",
        ]
    else:
        lines.append(f"isolate   nothing: {made.because}")
    lines += ["", *_steps(made)]
    lines += _list("Gets shared CPUs instead", (claim.line for claim in made.claims))
    lines += _list(_OTHERS, problem_lines(document)) + _list("Note", made.notes)
    return "\n".join(lines + _list("Only a reboot would add", made.reboot))


def _guest(guest: dict[str, Any]) -> list[str]:
    threads, cells = guest["threads_per_core"], len(guest["numa"])
    systemd = f"systemd {guest['systemd']}" if guest["systemd"] else "no systemd"
    on = guest["on_dedicated"]
    return [
        f"guest     CPU {guest['online_cpus']} online, {threads} to a core, {cells or 1} NUMA "
        f"{'cells' if cells > 1 else 'cell'}; Linux {guest['kernel']}, {systemd}",
        f"visitors  {on['tasks']} tasks, {on['kernel_threads']} kernel threads and {on['irqs']} "
        "interrupts may come to the dedicated CPUs",
    ]


def _steps(made: Plan) -> list[str]:
    if not made.changes:
        return [f"Nothing to change: all {len(made.steps)} settings are right."]
    rows = [_row(step) for step in made.changes]
    many = "change" if len(rows) == 1 else "changes"
    return [f"{len(rows)} {many}:", *(f"  {line}" for line in columns(rows))]


def _row(step: Step) -> tuple[str, ...]:
    return (step.title, step.shown(step.now), "→", step.shown(step.want), step.why)


def _list(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"  {line}" for line in lines]
    return ["", f"{title}:", *found] if found else []


def status_text(status: dict[str, Any]) -> str:
    """A page: the state, the sets, who holds what, what is wrong."""
    names = {
        "state": "state",
        "dedicated_cpus": "dedicated",
        "isolated_cpus": "isolated",
        "housekeeping_cpus": "housekeeping",
        "mode": "mode",
        "partition": "partition",
        "source": "layout from",
        "stale": "stale",
        "refused": "refused",
    }
    lines = columns([(title, str(status[key] or "-")) for key, title in names.items()])
    lines += _list("Exempt", exempt_lines(status))
    held = [f"{subset['name']}: CPU {subset['cpus']}" for subset in status["subsets"]]
    lines += _list("Held", held) + _list("Problems", problem_lines(status))
    lines += _list("Has shared CPUs instead", displaced_lines(status))
    lines += _list("Note", status["notes"]) + _list("Only a reboot would add", status["reboot"])
    return "\n".join(lines)


def doctor_text(abilities: Sequence[Sequence[str]], document: dict[str, Any]) -> str:
    """What this guest can do; what is in the way; what a reboot would add."""
    refused = [document["refused"]] if document["refused"] else []
    lines = columns(abilities) + _list("Cannot be isolated here", refused)
    lines += _list("Exempt", exempt_lines(document))
    lines += _list("Gets shared CPUs instead", displaced_lines(document))
    lines += _list(_OTHERS, problem_lines(document))
    return "\n".join(lines + _list("Only a reboot would add", document["reboot"]))


def exempt_lines(document: dict[str, Any]) -> list[str]:
    """One line for each slice that has dedicated CPUs of its own."""
    return [f"{one['slice']}: CPU {one['cpus']}" for one in document["exempt"]]


def problem_lines(status: dict[str, Any]) -> list[str]:
    return [
        f"{problem['what']}: {problem['found']}, expected {problem['expected']}: {problem['why']}"
        for problem in status["problems"]
    ]


def displaced_lines(document: dict[str, Any]) -> list[str]:
    """One line for each who asked for dedicated CPUs outside the pool."""
    return [claim["message"] for claim in document["displaced"]]
