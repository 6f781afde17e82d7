"""The kernel's counters, read from the texts of /proc. Pure: text in, numbers out."""

from __future__ import annotations

import re
from typing import NamedTuple

KINDS = {
    "Local timer interrupts": "LOC",
    "Hyper-V stimer0 interrupts": "LOC",
    "arch_timer": "LOC",
    "Rescheduling interrupts": "RES",
    "Function call interrupts": "CAL",
    "TLB shootdowns": "TLB",
}
"""Interrupts by their descriptions, which architectures share while their short names differ."""

DEVICE, OTHER = "device", "other"

_TRIGGER = re.compile(r"(?:^|[\s-])(?:edge|level|event|fasteoi|virq|ipi)(?:\s+|$)", re.IGNORECASE)
"""What stands between an interrupt's controller and the names of those who asked for it."""

_STAT_FIELDS = 8
"""Up to ``steal``; kernels of today have two more, of time that ``user`` includes already."""


class Line(NamedTuple):
    """A row of /proc/interrupts: what kind, whose, and how many on each CPU."""

    kind: str
    name: str
    counts: dict[int, int]


class Times(NamedTuple):
    """Where a CPU's time went, in clock ticks."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int


def interrupts(text: str) -> dict[str, Line]:
    """/proc/interrupts by its first column.

    Only online CPUs have a column. Rows that do not count by CPU, as ERR and MIS, are left out.
    """
    header, _, body = text.partition("\n")
    cpus = columns(header)
    found = {}
    for row in body.splitlines():
        key, _, rest = row.partition(":")
        fields = rest.split(None, len(cpus))
        described = fields[len(cpus) :]
        if described and all(count.isdigit() for count in fields[: len(cpus)]):
            counts = dict(zip(cpus, map(int, fields)))
            found[key.strip()] = Line(*_whose(key.strip(), described[0].strip()), counts)
    return found


def columns(header: str) -> list[int]:
    """The CPUs that a header line names: ``CPU0 CPU2 CPU3``."""
    return [int(word[3:]) for word in header.split() if re.fullmatch(r"CPU[0-9]+", word)]


def _whose(key: str, description: str) -> tuple[str, str]:
    """An interrupt's kind and name."""
    if not key.isdigit():
        return KINDS.get(description, OTHER), description
    parts = _TRIGGER.split(description, maxsplit=1)
    name = parts[1] if len(parts) > 1 else description.rsplit(maxsplit=1)[-1]
    return KINDS.get(name, DEVICE), name or f"irq {key}"


def softirqs(text: str) -> dict[str, dict[int, int]]:
    """/proc/softirqs: counts by name and CPU."""
    header, _, body = text.partition("\n")
    cpus = columns(header)
    rows = (row.partition(":") for row in body.splitlines())
    return {name.strip(): dict(zip(cpus, map(int, counts.split()))) for name, _, counts in rows}


def times(text: str) -> dict[int, Times]:
    """The rows of /proc/stat that begin with a CPU's name."""
    found = {}
    for row in text.splitlines():
        name, *fields = row.split()
        if re.fullmatch(r"cpu[0-9]+", name):
            found[int(name[3:])] = Times(*map(int, fields[:_STAT_FIELDS]))
    return found


def context_switches(text: str) -> int:
    """All context switches since boot, from /proc/stat, which does not tell CPUs apart."""
    match = re.search(r"^ctxt ([0-9]+)$", text, re.MULTILINE)
    return int(match[1]) if match else 0


def turns(text: str) -> dict[int, int]:
    """How many times a task got each CPU, from /proc/schedstat where the kernel keeps it.

    Documentation/scheduler/sched-stats.rst: the ninth field, *"# of timeslices run on this cpu"*.
    """
    rows = (row.split() for row in text.splitlines())
    return {
        int(row[0][3:]): int(row[9])
        for row in rows
        if len(row) == 10 and re.fullmatch(r"cpu[0-9]+", row[0])
    }
