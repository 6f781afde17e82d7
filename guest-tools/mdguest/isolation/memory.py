"""What a plan has to know of the steps before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mdguest.cpuset import CpuSet
from mdguest.facts import Facts, Knob
from mdguest.isolation.share import Share


@dataclass(frozen=True)
class Memory:
    """What is remembered of earlier steps."""

    originals: Mapping[Knob, str | None]
    """The first value of every knob that was changed."""
    settling: bool = False
    """An apply is under way: a task that has lost its affinity lost it by that."""
    exempt: str = ""
    """The slices that have dedicated CPUs of their own until now."""
    refused: str = ""
    """Why the kernel refused a partition of these CPUs."""
    immovable: Mapping[str, str] = field(default_factory=dict)
    """Interrupts that the kernel would not move: number → name."""
    crowded: Mapping[str, str] = field(default_factory=dict)
    """Interrupts for which no vector was left elsewhere: number → name."""
    isolated: tuple[CpuSet, ...] = ()
    """What was isolated until now: several sets where runs were cut off between them."""
    left: tuple[CpuSet, ...] = ()
    """What was left for everything else since then, the last one last: shared CPUs come and go."""
    since: int = 0
    """When that began, in clock ticks since boot."""

    def shares(self, facts: Facts) -> tuple[Share, ...]:
        """How the CPUs may have been divided until now."""
        return tuple(
            Share(cpus, left - cpus, elsewhere=facts.elsewhere)
            for cpus in self.isolated
            for left in (facts.open, *self.left)
        )
