"""Every kind of thing that mdguest sets. A row says all that is known of a kind (``kind``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.knobs import cpusets, files, interrupts, irqbalance, tasks, units

if TYPE_CHECKING:
    from mdguest.facts import Knob
    from mdguest.knobs.kind import Kind
    from mdguest.system import System

KINDS: dict[str, Kind] = {
    "list": cpusets.CPUS,
    "root": cpusets.ROOT,
    "partition": cpusets.PARTITION,
    "controllers": cpusets.CONTROLLERS,
    "cgroup": cpusets.GROUP,
    "unit": units.UNIT,
    "cpus": units.CPUS,
    "native": units.PROPERTY,
    "dropin": files.DROPIN,
    "file": files.FILE,
    "mask": files.MASK,
    "irq": interrupts.IRQ,
    "irqbalance": irqbalance.BANS,
    "affinity": tasks.AFFINITY,
}
"""By the names that the journal has for them."""


def of(knob: Knob) -> Kind:
    """What is known of this one's kind."""
    return KINDS[knob.kind]


def same(knob: Knob, one: str | None, other: str | None) -> bool:
    return of(knob).same(one, other)


def unit(knob: Knob) -> str:
    """The systemd unit whose setting it is; empty for others."""
    return of(knob).unit(knob.target)


def read(system: System, knob: Knob) -> str | None:
    return of(knob).read(system, knob.target)


def write(system: System, knob: Knob, value: str | None) -> None:
    of(knob).write(system, knob.target, value)
