"""The interrupts that drivers listen to: what each was told, and the CPU that it comes to in truth.

Where no vector is left on the CPUs that an interrupt was told, the kernel takes any other one that
is online. But most lines show their old CPU until their next interrupt, which moves them. So it is
looked at twice, and only what has come to the wrong CPU meanwhile is there to stay.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mdguest.cpuset import EMPTY, CpuSet
from mdguest.facts import Irq, Knob
from mdguest.knobs.files import read_list
from mdguest.knobs.kind import Failure, Fate, Kind, same_cpus
from mdguest.procfs import cpu_list, text

if TYPE_CHECKING:
    from mdguest.system import System

_BETWEEN_LOOKS = 0.2
"""Seconds."""


def no_vector(cpus: CpuSet | str | None) -> str:
    """Why an interrupt cannot come to these CPUs, and what helps."""
    return (
        f"no interrupt vector is left on CPU {cpus}: give devices fewer queues (ethtool -L DEVICE "
        "combined N), or keep more CPUs for housekeeping (MDGUEST_HOUSEKEEPING)"
    )


def knob(irq: Irq) -> Knob:
    return Knob("irq", f"/proc/irq/{irq.number}/smp_affinity_list")


def _number(path: str) -> str:
    return path.split("/")[3]


def _write(system: System, path: str, value: str | None) -> None:
    system.write(path, value or "")


def _failure(error: OSError, want: str | None) -> Failure:
    """The kernel itself places those that it manages: EIO before Linux 6.12, EPERM since."""
    if error.errno == errno.ENOSPC:
        return Failure(Fate.CROWDED, no_vector(want))
    managed = error.errno in (errno.EIO, errno.EPERM) and error.filename is None
    fate = Fate.IMMOVABLE if managed else Fate.FAILED
    return Failure(fate, error.strerror or str(error))


IRQ = Kind(read_list, _write, same_cpus, failure=_failure, name=_number)


def look(system: System) -> tuple[Irq, ...]:
    """The interrupts now; those that seem to come elsewhere are looked at again."""
    first = tuple(_look(system))
    counts = {irq.number: _count(system, irq) for irq in first if irq.astray}
    if not counts:
        return first
    system.pause(_BETWEEN_LOOKS)
    return tuple(
        _second_look(system, irq, counts[irq.number]) if irq.astray else irq for irq in first
    )


def _second_look(system: System, irq: Irq, before: str) -> Irq:
    count = _count(system, irq)  # first: the interrupt that is counted has moved it, if it can
    has_come = not count or count != before
    return replace(irq, astray=_astray(system, irq.number, irq.cpus) if has_come else EMPTY)


def _look(system: System) -> Iterator[Irq]:
    for path in system.glob("/proc/irq/[0-9]*/smp_affinity_list"):
        number = int(_number(path))
        name = text(system, f"/sys/kernel/irq/{number}/actions")
        if name:
            cpus = cpu_list(system, path)
            yield Irq(number, name, cpus, _astray(system, number, cpus))


def _astray(system: System, number: int, cpus: CpuSet) -> CpuSet:
    return cpu_list(system, f"/proc/irq/{number}/effective_affinity_list") - cpus


def _count(system: System, irq: Irq) -> str:
    """How often it came to each CPU; empty where this kernel does not tell."""
    return text(system, f"/sys/kernel/irq/{irq.number}/per_cpu_count")
