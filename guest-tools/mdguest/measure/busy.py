"""The probe: a program that does nothing but read the clock, and notes when it was kept from it.

It is run by its text (``python -I -S -c``), pinned to one CPU, so it imports nothing of mdguest's.
Its argument is its parent's process id. It waits for a line with the seconds to run, and answers
with one line of numbers. It ends with its parent, whatever happens to that.
"""

from __future__ import annotations

import gc
import os
import sys
import time

STALL_NS = 10_000
"""From here on a gap between two reads of the clock is a stall; the reads take a tenth of a µs."""

DECADES = 5
"""Stalls are counted by length: from 10 µs, 100 µs, 1 ms, 10 ms, and 100 ms on."""

LOOK_ROUND_NS = 100_000_000
WARM_UP_NS = 5_000_000


def watch(duration: int, parent: int) -> list[int]:
    """Read the clock for ``duration`` ns: time taken, longest gap, sum of stalls, decades."""
    clock = time.perf_counter_ns
    worst = stalled = 0
    decades = [0] * DECADES
    begin = last = clock()
    look_round = begin + LOOK_ROUND_NS
    until = begin + duration
    while last < until:
        now = clock()
        gap = now - last
        last = now
        if gap > worst:  # noqa: PLR1730  # max() would take longer than the rest of the loop
            worst = gap
        if gap >= STALL_NS:
            stalled += gap
            decades[decade(gap)] += 1
        if now > look_round:
            if os.getppid() != parent:
                sys.exit(1)
            look_round = now + LOOK_ROUND_NS
    return [last - begin, worst, stalled, *decades]


def decade(gap: int) -> int:
    """The place of a stall among the decades."""
    return min(DECADES, len(str(gap // STALL_NS))) - 1


def switches() -> list[int]:
    """How often this process gave up its CPU, and how often it was taken away."""
    with open("/proc/self/status") as file:  # noqa: PTH123  # pathlib would be half the start
        rows = dict(line.split(":", 1) for line in file)
    return [int(rows["voluntary_ctxt_switches"]), int(rows["nonvoluntary_ctxt_switches"])]


def main() -> None:
    """Wait, measure, answer."""
    gc.disable()
    parent = int(sys.argv[1])
    told = sys.stdin.readline()
    if not told:
        return
    watch(WARM_UP_NS, parent)
    before = switches()
    found = watch(int(float(told) * 1e9), parent)
    print(*found[:3], *(new - old for old, new in zip(before, switches())), *found[3:])


if __name__ == "__main__":
    main()
