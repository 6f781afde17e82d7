"""Two reports side by side: before, after, and their ratio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mdguest.measure import metrics
from mdguest.measure.look import Look, rows
from mdguest.measure.table import kind

if TYPE_CHECKING:
    from mdguest.measure.metrics import Metric
    from mdguest.measure.report import CpuNoise, Report

COMPARED = ("worst_us", "interrupts", "stalled", "switches", "softirqs", "steal")
"""What is compared, the most telling first: a narrow terminal shows the first of them."""


class Change(NamedTuple):
    """A number before and after; ``ratio`` is None where there is none."""

    before: float | None
    after: float | None
    ratio: float | None


def change(before: float | None, after: float | None) -> Change:
    """Nothing to nothing is a ratio of 1; from nothing to something there is none."""
    if before is None or after is None:
        return Change(before, after, None)
    if before == 0:
        return Change(before, after, None if after else 1.0)
    return Change(before, after, after / before)


def comparison(before: Report, after: Report) -> dict[int, dict[str, Change]]:
    """For each CPU of both reports, how each metric changed."""
    old = {cpu.cpu: cpu for cpu in before.cpus}
    return {
        cpu.cpu: {
            metric.name: change(
                metric.value(old[cpu.cpu], before.seconds), metric.value(cpu, after.seconds)
            )
            for metric in metrics.METRICS
        }
        for cpu in after.cpus
        if cpu.cpu in old
    }


def comparison_as_json(before: Report, after: Report) -> dict[str, Any]:
    """The comparison as a plain value."""
    changes = comparison(before, after)
    return {
        "cpus": [
            {
                "cpu": cpu.cpu,
                "dedicated": cpu.dedicated,
                **{name: found._asdict() for name, found in changes[cpu.cpu].items()},
            }
            for cpu in after.cpus
            if cpu.cpu in changes
        ]
    }


def comparison_as_table(before: Report, after: Report, look: Look | None = None) -> str:
    """The comparison as text: three columns for each of as many metrics as there is room for."""
    look = look or Look()
    changes = comparison(before, after)
    both = [cpu for cpu in after.cpus if cpu.cpu in changes]
    if not both:
        return "The two measurements have no CPU in common.\n"
    shown = metrics.named(COMPARED)
    while True:
        lines = rows(_cells(both, changes, shown))
        if max(map(len, lines)) <= look.width or len(shown) == 1:
            break
        shown.pop()
    explained = "; ".join(f"{metric.title}: before, after, ratio" for metric in shown)
    text = "".join(f"{line}\n" for line in [look.paint(lines[0], "bold"), *lines[1:]])
    return look.text(f"{text}\n{explained}\n")


def _cells(
    cpus: list[CpuNoise], changes: dict[int, dict[str, Change]], shown: list[Metric]
) -> list[list[str]]:
    """The table's cells, its heading first."""
    heading = [cell for metric in shown for cell in (metric.title, "after", "ratio")]
    cells = [["CPU", "", *heading]]
    for cpu in cpus:
        row = [str(cpu.cpu), kind(cpu)]
        for metric in shown:
            found = changes[cpu.cpu][metric.name]
            row += [_show(metric, found.before), _show(metric, found.after), _ratio(found)]
        cells.append(row)
    return cells


def _show(metric: Metric, value: float | None) -> str:
    return "–" if value is None else metric.show(value)


def _ratio(found: Change) -> str:
    """``×0.02``: after is a fiftieth of before."""
    if found.ratio is None:
        return "–" if found.before is None or found.after is None else "×∞"
    return f"×{found.ratio:.2g}" if found.ratio < 100 else f"×{found.ratio:.0f}"
