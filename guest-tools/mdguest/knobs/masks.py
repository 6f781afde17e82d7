"""Files that hold a CPU mask or list which decides where the kernel works: a row for each.

Linux Documentation/core-api/irq/irq-affinity.rst, core-api/workqueue.rst,
admin-guide/lockup-watchdogs.rst, networking/scaling.rst.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mdguest.facts import Knob


class Mask(NamedTuple):
    """All that is known of one of them, or of several alike."""

    kind: str
    """Its row in ``KINDS``."""
    path: str
    """A pattern."""
    why: str
    """Why it keeps off the dedicated CPUs."""


_WORK = "the kernel's unbound work is done elsewhere"
_PACKETS = "the network's packets are handled elsewhere"

MASKS = (
    Mask("mask", "/proc/irq/default_smp_affinity", "interrupts of devices to come go elsewhere"),
    Mask("mask", "/sys/devices/virtual/workqueue/cpumask", _WORK),
    Mask("mask", "/sys/devices/virtual/workqueue/*/cpumask", _WORK),
    Mask(
        "mask",
        "/proc/sys/net/core/rps_default_mask",
        "queues of network devices to come are handled elsewhere",
    ),
    Mask("mask", "/sys/class/net/*/queues/rx-*/rps_cpus", _PACKETS),
    Mask("mask", "/sys/class/net/*/queues/tx-*/xps_cpus", _PACKETS),
    Mask(
        "list",
        "/proc/sys/kernel/watchdog_cpumask",
        "the lockup watchdog wakes up on each CPU it watches",
    ),
)


def why(knob: Knob) -> str:
    """Why this one keeps off the dedicated CPUs."""
    return next(mask.why for mask in MASKS if fnmatchcase(knob.target, mask.path))
