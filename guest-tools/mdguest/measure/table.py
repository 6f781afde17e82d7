"""A report for people: a table, a picture, and what can be said in words."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mdguest.measure import metrics
from mdguest.measure.look import Look, rows

if TYPE_CHECKING:
    from mdguest.measure.metrics import Metric
    from mdguest.measure.report import CpuNoise, Report

SHOWN = (
    *("LOC", "RES", "CAL", "TLB", "device", "other", "softirqs", "switches", "irq_time"),
    *("steal", "preempted", "stalled", "worst_us"),
)

DROPPED = ("other", "TLB", "irq_time", "preempted", "softirqs", "CAL", "RES", "switches", "stalled")
"""What a narrow terminal does without, in this order."""

LEGEND = (
    "LOC timer tick, RES rescheduling, CAL function call, TLB shootdown, device: interrupts/s. "
    "Stalls: how long a busy program was kept from its CPU, and how often for 10 µs or more, "
    "100 µs, 1 ms, 10 ms, 100 ms."
)

CULPRITS = 4


def as_table(report: Report, look: Look | None = None) -> str:
    """The whole report as text."""
    look = look or Look()
    legend = textwrap.fill(LEGEND, min(look.width, 100)) + "\n"
    parts = [_title(report), _table(report, look), legend, _picture(report, look)]
    parts += ["".join(f"{line}\n" for line in _words(report))]
    parts += [f"--- {section.title}\n{section.text}\n" for section in report.sections]
    return look.text("\n".join(part for part in parts if part))


def _title(report: Report) -> str:
    return (
        f"Noise on {len(report.cpus)} CPUs in {report.seconds:.1f} s; "
        f"{report.context_switches / report.seconds:.0f} context switches a second in all.\n"
    )


def _table(report: Report, look: Look) -> str:
    """As many columns as there is room for."""
    dropped = 0
    while True:
        shown = [name for name in SHOWN if name not in DROPPED[:dropped]]
        lines = rows(_cells(report, metrics.named(shown), look))
        if max(map(len, lines)) <= look.width or dropped == len(DROPPED):
            break
        dropped += 1
    painted = [look.paint(lines[0], "bold")]
    for cpu, line in zip(report.cpus, lines[1:]):
        painted.append(look.paint(line, "green") if cpu.dedicated else line)
    return "".join(f"{line}\n" for line in painted)


def _cells(report: Report, shown: list[Metric], look: Look) -> list[list[str]]:
    """The table's cells, its heading first."""
    cells = [["CPU", "", *(metric.title for metric in shown), "stalls"]]
    for cpu in report.cpus:
        values = [(metric, metric.value(cpu, report.seconds)) for metric in shown]
        cells.append(
            [
                str(cpu.cpu),
                kind(cpu),
                *("–" if value is None else metric.show(value) for metric, value in values),
                look.sparkline(cpu.probe.stalls).ljust(len(cpu.probe.stalls)) if cpu.probe else "",
            ]
        )
    return cells


def kind(cpu: CpuNoise) -> str:
    return "dedicated" if cpu.dedicated else "shared"


def _picture(report: Report, look: Look) -> str:
    """A bar for each CPU: all its interrupts, on a logarithmic scale."""
    rates = [metrics.interrupts(cpu, report.seconds) for cpu in report.cpus]
    if not rates:
        return ""
    heads = rows([[str(cpu.cpu), kind(cpu), metrics.rate(r)] for cpu, r in zip(report.cpus, rates)])
    room = max(10, min(60, look.width - len(heads[0]) - 2))
    lines = [
        f"{head}  {look.paint(look.bar(r, max(rates), room), 'green' if cpu.dedicated else 'dim')}"
        for cpu, head, r in zip(report.cpus, heads, rates)
    ]
    return "All interrupts a second, logarithmic:\n" + "".join(
        f"{line.rstrip()}\n" for line in lines
    )


def _words(report: Report) -> list[str]:
    """What explains the numbers: who interrupts, what the host takes, and what is not known."""
    lines = []
    for cpu in report.cpus:
        busiest = sorted(cpu.counts.devices.items(), key=lambda item: (-item[1], item[0]))
        if cpu.dedicated and busiest:
            named = ", ".join(
                f"{name} {metrics.rate(count / report.seconds)}/s"
                for name, count in busiest[:CULPRITS]
            )
            lines.append(f"CPU {cpu.cpu} is interrupted by {named}")
    stolen = [cpu for cpu in report.cpus if cpu.counts.steal_ms]
    if stolen:
        total = sum(cpu.counts.steal_ms for cpu in stolen)
        where = ", ".join(str(cpu.cpu) for cpu in stolen)
        lines.append(f"Steal: the host took {total:.0f} ms of CPU {where}; only it can mend that.")
    lines += [f"CPU {cpu.cpu} without probe: {cpu.unprobed}" for cpu in report.cpus if cpu.unprobed]
    if report.missing:
        lines.append(f"CPU {report.missing} not measured: not online all the time")
    return lines
