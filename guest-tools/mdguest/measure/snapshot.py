"""All counters at one moment, and what happened on a CPU between two."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mdguest.cpuset import CpuSet
from mdguest.measure import counters

if TYPE_CHECKING:
    from mdguest.measure.counters import Line, Times
    from mdguest.system import System


@dataclass(frozen=True)
class Snapshot:
    """The counters at one moment of the monotonic clock, in seconds."""

    at: float
    cpus: CpuSet
    interrupts: dict[str, Line]
    softirqs: dict[str, dict[int, int]]
    times: dict[int, Times]
    context_switches: int
    turns: dict[int, int]


@dataclass(frozen=True)
class Counts:
    """What happened on one CPU; times in milliseconds.

    ``switches`` is None where the kernel does not count them by CPU.
    """

    interrupts: dict[str, int]
    devices: dict[str, int]
    softirqs: dict[str, int]
    irq_ms: float
    softirq_ms: float
    steal_ms: float
    switches: int | None


def take(system: System) -> Snapshot:
    """Read everything once."""
    interrupts = system.read("/proc/interrupts")
    stat = system.read("/proc/stat")
    return Snapshot(
        at=time.monotonic(),
        cpus=CpuSet.of(counters.columns(interrupts.partition("\n")[0])),
        interrupts=counters.interrupts(interrupts),
        softirqs=counters.softirqs(system.read("/proc/softirqs")),
        times=counters.times(stat),
        context_switches=counters.context_switches(stat),
        turns=counters.turns(_schedstat(system)),
    )


def _schedstat(system: System) -> str:
    """/proc/schedstat; a kernel without CONFIG_SCHEDSTATS has none."""
    try:
        return system.read("/proc/schedstat")
    except OSError:
        return ""


def between(before: Snapshot, after: Snapshot, cpu: int) -> Counts:
    """What happened on a CPU that both snapshots have."""
    kinds: dict[str, int] = {}
    devices: dict[str, int] = {}
    for key, line in after.interrupts.items():
        was = before.interrupts.get(key)
        count = _grown(was.counts if was else {}, line.counts, cpu)
        kinds[line.kind] = kinds.get(line.kind, 0) + count
        if line.kind == counters.DEVICE and count:
            devices[line.name] = devices.get(line.name, 0) + count
    ticks = [new - old for old, new in zip(before.times[cpu], after.times[cpu])]
    irq_ms, softirq_ms, steal_ms = (max(0, tick) * _tick_ms() for tick in ticks[5:8])
    known = cpu in before.turns and cpu in after.turns
    return Counts(
        interrupts=kinds,
        devices=devices,
        softirqs=_softirqs(before, after, cpu),
        irq_ms=irq_ms,
        softirq_ms=softirq_ms,
        steal_ms=steal_ms,
        switches=_grown(before.turns, after.turns, cpu) if known else None,
    )


def _softirqs(before: Snapshot, after: Snapshot, cpu: int) -> dict[str, int]:
    """The softirqs that ran, by name."""
    grown = {
        name: _grown(before.softirqs.get(name, {}), counts, cpu)
        for name, counts in after.softirqs.items()
    }
    return {name: count for name, count in grown.items() if count}


def _grown(before: dict[int, int], after: dict[int, int], cpu: int) -> int:
    """By how much a counter grew. One that fell belongs to a new device: it began at nothing."""
    old, new = before.get(cpu, 0), after.get(cpu, 0)
    return new - old if new >= old else new


def _tick_ms() -> float:
    """The length of a clock tick of /proc/stat, which is not the scheduler's."""
    return 1000 / os.sysconf("SC_CLK_TCK")


def busy(before: Snapshot, after: Snapshot) -> CpuSet:
    """The CPUs that were in use for most of the time between the two."""
    found = []
    for cpu in before.cpus & after.cpus:
        ticks = [new - old for old, new in zip(before.times[cpu], after.times[cpu])]
        idle = ticks[3] + ticks[4]
        if idle * 2 < sum(ticks):
            found.append(cpu)
    return CpuSet.of(found)
