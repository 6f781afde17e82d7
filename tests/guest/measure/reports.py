"""Reports made by hand."""

from __future__ import annotations

from mdguest.measure.report import CpuNoise, Probed, Report, Section
from mdguest.measure.snapshot import Counts


def cpu(
    number: int,
    *,
    dedicated: bool = False,
    timer: int = 0,
    worst_us: float | None = 12.0,
    steal_ms: float = 0.0,
    devices: dict[str, int] | None = None,
    unprobed: str = "",
) -> CpuNoise:
    """One CPU over two seconds."""
    found = devices or {}
    return CpuNoise(
        number,
        dedicated,
        Counts(
            interrupts={"LOC": timer, "device": sum(found.values())},
            devices=found,
            softirqs={"RCU": timer // 2},
            irq_ms=1.0,
            softirq_ms=1.0,
            steal_ms=steal_ms,
            switches=timer,
        ),
        probe=None
        if worst_us is None
        else Probed(2.1, worst_us, 4 * worst_us, 0, 3, [timer, 10, 1, 0, 0]),
        unprobed=unprobed,
    )


NOISY = Report(
    2.0,
    5000,
    [
        cpu(0, timer=500, worst_us=4120.0, devices={"virtio1-input.0": 42}),
        cpu(2, dedicated=True, timer=500, worst_us=800.0, steal_ms=30.0, devices={"eth0": 7}),
        cpu(3, dedicated=True, timer=2, worst_us=None, unprobed="in use"),
    ],
    missing="7",
    sections=[Section("oslat -q -D 2 -C 2 -c 3", "Maximum: 12 (us)")],
)

QUIET = Report(
    2.0,
    4000,
    [
        cpu(0, timer=600, worst_us=4120.0),
        cpu(2, dedicated=True, timer=4, worst_us=8.0),
        cpu(4, dedicated=True),
    ],
)
