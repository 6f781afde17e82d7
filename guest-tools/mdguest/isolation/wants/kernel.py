"""What the kernel and devices do on CPUs of their choice: interrupts, unbound work, packets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mdguest.facts import Knob
from mdguest.isolation.steps import Step
from mdguest.knobs.interrupts import knob as knob_of
from mdguest.knobs.irqbalance import Irqbalance
from mdguest.knobs.masks import why as why_of

if TYPE_CHECKING:
    from mdguest.isolation.wants.scene import Scene


def irqbalance(scene: Scene) -> Iterator[Step]:
    running = scene.facts.of(Irqbalance)
    if running and running.can_be_told:
        knob = Knob("irqbalance", "banned CPUs")
        base = scene.base(knob, running.banned)
        why = "irqbalance does not see partitions, and would put interrupts back"
        want = str(base | scene.cpus.dedicated)
        yield Step(knob, running.now, want, why, "irqbalance", was=str(base))


def interrupts(scene: Scene) -> Iterator[Step]:
    balanced = scene.facts.of(Irqbalance) is not None
    for irq in scene.facts.irqs:
        knob = knob_of(irq)
        base = scene.base(knob, irq.cpus)
        if base & scene.cpus.dedicated:
            why = "a device's interrupt stops the program on the CPU that takes it"
            want = scene.cpus.cut(base)
            if balanced and irq.cpus and irq.cpus <= scene.cpus.housekeeping:
                want = irq.cpus  # irqbalance chose one of them, and will choose again
            yield Step(knob, str(irq.cpus), str(want), why, irq.title)


def masks(scene: Scene) -> Iterator[Step]:
    for knob, cpus in scene.facts.masks.items():
        base = scene.base(knob, cpus)
        if base & scene.cpus.dedicated:
            yield Step(knob, str(cpus), str(scene.cpus.cut(base)), why_of(knob))


KERNEL = (irqbalance, interrupts, masks)
"""irqbalance first, so that it does not put back what is moved after."""
