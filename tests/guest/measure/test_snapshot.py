"""What happened between two readings."""

from __future__ import annotations

import pytest
from mdguest.cpuset import CpuSet
from mdguest.measure import counters, snapshot
from mdguest.measure.counters import Line, Times
from mdguest.measure.snapshot import Snapshot, between, busy
from mdguest.system import System
from typing_extensions import override

from tests.guest.measure.samples import SOFTIRQS, STAT, X86

IDLE = Times(0, 0, 0, 0, 0, 0, 0, 0)


def taken(
    interrupts: dict[str, Line] | None = None,
    times: Times = IDLE,
    softirqs: dict[str, dict[int, int]] | None = None,
    turns: dict[int, int] | None = None,
) -> Snapshot:
    """A reading of a guest with CPU 0 alone."""
    return Snapshot(
        0.0, CpuSet.of([0]), interrupts or {}, softirqs or {}, {0: times}, 0, turns or {}
    )


def device(count: int) -> dict[str, Line]:
    return {"25": Line("device", "eth0", {0: count})}


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        (device(3), device(10), 7),
        ({}, device(10), 10),
        (device(30), device(10), 10),
        (device(3), device(3), 0),
        (device(3), {}, 0),
    ],
    ids=["grew", "is new", "was replaced", "stood still", "is gone"],
)
def test_a_devices_interrupts_are_those_since(
    before: dict[str, Line], after: dict[str, Line], count: int
) -> None:
    counts = between(taken(before), taken(after), 0)
    assert counts.interrupts.get("device", 0) == count
    assert counts.devices == ({"eth0": count} if count else {})


def test_queues_of_one_kind_are_added_up_and_devices_kept_apart() -> None:
    after = {
        "1": Line("device", "eth0-rx", {0: 2}),
        "2": Line("device", "eth0-tx", {0: 3}),
        "LOC": Line("LOC", "Local timer interrupts", {0: 5}),
    }
    counts = between(taken(), taken(after), 0)
    assert counts.interrupts == {"device": 5, "LOC": 5}
    assert counts.devices == {"eth0-rx": 2, "eth0-tx": 3}


def test_times_are_milliseconds_and_never_negative() -> None:
    before = Times(0, 0, 0, 0, 0, irq=5, softirq=5, steal=5)
    counts = between(taken(times=before), taken(times=Times(0, 0, 0, 0, 0, 7, 5, 4)), 0)
    assert (counts.irq_ms, counts.softirq_ms, counts.steal_ms) == (20.0, 0.0, 0.0)


def test_switches_are_unknown_where_the_kernel_does_not_count_them_by_cpu() -> None:
    assert between(taken(), taken(), 0).switches is None
    assert between(taken(turns={0: 3}), taken(turns={0: 8}), 0).switches == 5


def test_only_softirqs_that_ran_are_kept() -> None:
    after = taken(softirqs={"RCU": {0: 9}, "TIMER": {0: 1}})
    assert between(taken(softirqs={"RCU": {0: 4}, "TIMER": {0: 1}}), after, 0).softirqs == {
        "RCU": 5
    }


@pytest.mark.parametrize(
    ("times", "is_busy"),
    [
        (Times(20, 0, 0, 5, 0, 0, 0, 0), True),
        (Times(5, 0, 0, 15, 5, 0, 0, 0), False),
        (Times(0, 0, 0, 0, 0, 0, 0, 25), True),
        (IDLE, False),
    ],
    ids=["in use", "idle and waiting for a disk", "kept by the host", "not accounted"],
)
def test_a_cpu_is_busy_where_it_was_idle_for_less_than_half(times: Times, is_busy: bool) -> None:
    assert (0 in busy(taken(), taken(times=times))) is is_busy


class Sample(System):
    """A guest that has the sample texts and no scheduler statistics."""

    @override
    def read(self, path: str) -> str:
        texts = {"/proc/interrupts": X86, "/proc/stat": STAT, "/proc/softirqs": SOFTIRQS}
        if path not in texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return texts[path].rstrip("\n")


def test_a_reading_has_the_online_cpus_of_the_interrupts_columns() -> None:
    found = snapshot.take(Sample())
    assert str(found.cpus) == "0-1,3"
    assert found.interrupts == counters.interrupts(X86)
    assert found.turns == {}
