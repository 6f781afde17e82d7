"""How long it takes to fit a guest to a host, beside Nova's own fitter; and to rank many hosts.

    make bench, or .venv/bin/python -m bench.fit

One call after the other on the same machine, in rounds; the median of the calls is printed. *Warm*
is a host value that was asked before, *cold* one that is new in every part, as when it was just
read. Nova takes part where `make setup-tests` has installed it; nobody waits for it longer than
5 seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from random import Random

from msgspec.structs import replace
from typing_extensions import override

from bench.hosts import CASES, LARGEST_MISS, Case, Machine
from bench.nova_process import Nova, nova
from mdsvc.cpuset import CpuSet
from mdsvc.errors import DoesNotFit
from mdsvc.forms import from_builtins
from mdsvc.layout import fit
from mdsvc.placing.choice import rank
from mdsvc.policy.flavor import Flavor, Request, request
from mdsvc.topology import Host, HostCell

ROUNDS = 5
SECONDS = 0.03
"""For each case and kind of call in each round."""
NOVA_SECONDS = 0.1
NOVA_LIMIT = 5.0

MISS_GOAL_US = 2000
HOSTS = 10_000
RANK_GOAL = 0.3


class Row:
    """One case, and the microseconds of each call."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.host = from_builtins(case.machine.host(), Host)
        self.request = request(from_builtins(case.flavor(), Flavor))
        self.warm: list[float] = []
        self.cold: list[float] = []
        self.nova: list[float] = []
        self.nova_is_slow = False

    def take(self, other: Nova | None) -> None:
        """One round."""
        self.warm += _times(lambda: self.host, self.request, self.case.fits)
        self.cold += _times(lambda: fresh(self.host), self.request, self.case.fits)
        if other and not self.nova_is_slow:
            seconds = {"seconds": NOVA_SECONDS, "limit": NOVA_LIMIT}
            host, guest = self.case.machine.host(), self.case.guest
            answer = other.ask("time", host=host, guest=guest, **seconds)
            self.nova_is_slow = answer["times"] is None
            self.nova += answer["times"] or ()
            assert answer["fits"] in (self.case.fits, None), self.case.name

    @override
    def __str__(self) -> str:
        warm, cold = statistics.median(self.warm), statistics.median(self.cold)
        shown = f"{self.case.name:34}{warm:9.1f}{cold:9.1f}"
        if self.nova_is_slow:
            limit = NOVA_LIMIT * 1e6
            return f"{shown}{f'> {NOVA_LIMIT:.0f} s':>10}{_over(limit / warm)}{_over(limit / cold)}"
        if self.nova:
            took = statistics.median(self.nova)
            return f"{shown}{took:10.0f}{took / warm:11.1f}{took / cold:11.1f}"
        return shown


def _over(ratio: float) -> str:
    return f"{f'> {ratio:.0f}':>11}"


def fresh(host: Host) -> Host:
    """An equal host that is new in every part."""
    return replace(host, cells=tuple(map(replace, host.cells)))


def _times(host: Callable[[], Host], wanted: Request, fits: bool) -> Iterator[float]:
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        asked, found = host(), True
        start = time.perf_counter_ns()
        try:
            fit(asked, wanted)
        except DoesNotFit:
            found = False
        yield (time.perf_counter_ns() - start) / 1000
        assert found is fits


def fit_table() -> None:
    rows = [Row(case) for case in CASES]
    with nova() as other:
        for _ in range(ROUNDS):
            for row in rows:
                row.take(other)
    print(f"fit in µs, median of the calls of {ROUNDS} rounds")
    print(f"{'host, guest':34}{'warm':>9}{'cold':>9}", end="")
    print(
        f"{'Nova':>10}{'Nova/warm':>11}{'Nova/cold':>11}"
        if other
        else "   (no Nova: make setup-tests)"
    )
    for row in rows:
        print(row)
    miss = max(statistics.median(row.cold) for row in rows if row.case in LARGEST_MISS)
    print(
        f"no fit of 24 cells on 24, cold: {miss / 1000:.2f} ms, goal {MISS_GOAL_US / 1000:.0f} ms"
    )


# ---- many hosts ----


def alike() -> list[Host]:
    host = from_builtins(Machine(2, 16, 2).host(), Host)
    return [replace(fresh(host), name=f"h{at}") for at in range(HOSTS)]


def different() -> list[Host]:
    """Each with other pCPUs pinned, about half of them."""
    random = Random(1)
    return [replace(h, cells=tuple(_used(random, h, cell) for cell in h.cells)) for h in alike()]


def _used(random: Random, host: Host, cell: HostCell) -> HostCell:
    pinnable = host.dedicated(cell).mask
    return replace(cell, pinned=CpuSet(pinnable & random.getrandbits(pinnable.bit_length())))


def rank_table() -> None:
    wanted = request(from_builtins(CASES[0].flavor(), Flavor))
    print(f"rank of {HOSTS} hosts of 2×32 for 4 vCPUs mixed, in seconds, goal {RANK_GOAL}")
    print(f"{'hosts':34}{'warm':>9}{'cold':>9}")
    for name, make in (("all alike", alike), ("all different", different)):
        times: list[list[float]] = [[], []]
        for _ in range(ROUNDS):
            hosts = make()
            for kind in times:
                start = time.perf_counter()
                rank(hosts, wanted)
                kind.append(time.perf_counter() - start)
        cold, warm = map(statistics.median, times)
        print(f"{name:34}{warm:9.2f}{cold:9.2f}")


def main() -> None:
    """Measure, and print two tables."""
    fit_table()
    print()
    rank_table()


if __name__ == "__main__":
    main()
