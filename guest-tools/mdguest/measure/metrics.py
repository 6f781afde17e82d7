"""The numbers that tables show of a CPU, each a row of METRICS."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Callable

    from mdguest.measure.report import CpuNoise


class Metric(NamedTuple):
    """A number that a CPU has, or has not: None is shown as a dash."""

    name: str
    title: str
    value: Callable[[CpuNoise, float], float | None]
    show: Callable[[float], str]


def rate(value: float) -> str:
    """A number of times a second."""
    return "0" if value == 0 else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def share(value: float) -> str:
    """A part of the time, in per cent."""
    return "0" if value == 0 else f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"


def duration(us: float) -> str:
    """A time given in microseconds."""
    for limit, divisor, unit in ((1e3, 1, "µs"), (1e6, 1e3, "ms")):
        if us < limit:
            shown = us / divisor
            return f"{shown:.1f} {unit}" if shown < 10 else f"{shown:.0f} {unit}"
    return f"{us / 1e6:.1f} s"


def _of_kind(kind: str) -> Callable[[CpuNoise, float], float]:
    return lambda cpu, seconds: cpu.counts.interrupts.get(kind, 0) / seconds


def interrupts(cpu: CpuNoise, seconds: float) -> float:
    """Interrupts of every kind, a second."""
    return sum(cpu.counts.interrupts.values()) / seconds


def _switches(cpu: CpuNoise, seconds: float) -> float | None:
    return None if cpu.counts.switches is None else cpu.counts.switches / seconds


def _part(ms: float, seconds: float) -> float:
    """Milliseconds as per cent of the time."""
    return ms / seconds / 10


METRICS = (
    Metric("LOC", "LOC", _of_kind("LOC"), rate),
    Metric("RES", "RES", _of_kind("RES"), rate),
    Metric("CAL", "CAL", _of_kind("CAL"), rate),
    Metric("TLB", "TLB", _of_kind("TLB"), rate),
    Metric("device", "device", _of_kind("device"), rate),
    Metric("other", "other", _of_kind("other"), rate),
    Metric("interrupts", "interrupts", interrupts, rate),
    Metric("softirqs", "softirq", lambda cpu, s: sum(cpu.counts.softirqs.values()) / s, rate),
    Metric("switches", "switch", _switches, rate),
    Metric(
        "irq_time",
        "irq %",
        lambda cpu, s: _part(cpu.counts.irq_ms + cpu.counts.softirq_ms, s),
        share,
    ),
    Metric("steal", "steal %", lambda cpu, s: _part(cpu.counts.steal_ms, s), share),
    Metric(
        "preempted",
        "preempted",
        lambda cpu, s: cpu.probe.involuntary / cpu.probe.seconds if cpu.probe else None,
        rate,
    ),
    Metric(
        "stalled",
        "stalled %",
        lambda cpu, s: _part(cpu.probe.stalled_us / 1e3, cpu.probe.seconds) if cpu.probe else None,
        share,
    ),
    Metric(
        "worst_us",
        "worst stall",
        lambda cpu, s: cpu.probe.worst_us if cpu.probe else None,
        duration,
    ),
)


def named(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, in this order."""
    by_name = {metric.name: metric for metric in METRICS}
    return [by_name[name] for name in names]
