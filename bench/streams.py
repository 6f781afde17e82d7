"""How much of a stream of guests a host takes: packing, beside Nova and beside a best fit.

    make bench, or .venv/bin/python -m bench.streams

Guests of one cell come and go: at random times, for a random time, with a random number of
dedicated vCPUs. A *load* of 1 asks for as many vCPUs as there are dedicated pCPUs, on average. All
are asked the same stream, and what is printed is the share of all its vCPUs that found a place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from bench.hosts import VCPU_MB, Machine
from bench.nova_process import Nova, nova
from mdsvc.errors import DoesNotFit
from mdsvc.forms import from_builtins
from mdsvc.layout import Layout, fit
from mdsvc.placing import usage
from mdsvc.policy.flavor import Flavor, request
from mdsvc.topology import Host

GUESTS = 5000
SEED = 1

Event = tuple[int, int, bool]
"""The guest's number, its vCPUs, and whether it has the thread policy `require`; with no vCPUs it
leaves."""


@dataclass(frozen=True)
class Stream:
    """Guests that come to a machine."""

    name: str
    machine: Machine
    load: float
    sizes: tuple[int, ...]
    require: float = 0.0  # the share that has this thread policy, of the guests that may have it:
    require_from: int = 1  # those of so many vCPUs and more

    def events(self) -> list[Event]:
        """Poisson arrivals, exponential lifetimes of 1 on average."""
        random, machine = Random(SEED), self.machine
        pcpus = machine.cells * (machine.cores - machine.shared) * 2
        rate = self.load * pcpus * len(self.sizes) / sum(self.sizes)
        now, timed = 0.0, []
        for guest in range(GUESTS):
            now += random.expovariate(rate)
            vcpus = random.choice(self.sizes)
            require = random.random() < self.require and vcpus >= self.require_from
            timed.append((now, (guest, vcpus, require)))
            timed.append((now + random.expovariate(1), (guest, 0, require)))
        return [event for _, event in sorted(timed)]


ODD = (1, 1, 2, 3, 4)
EVEN = (1, 2, 4, 8)
SMALL, LARGE = Machine(2, 16, 1), Machine(8, 8, 1)

STREAMS = (
    # In the first, half of all guests have `require`, but none of those with one vCPU.
    Stream("2×32, load 1.1, 1 1 2 3 4, half require, not 1", SMALL, 1.1, ODD, 5 / 6, 2),
    Stream("2×32, load 1.1, 1 1 2 3 4, half require", SMALL, 1.1, ODD, 1 / 2),
    Stream("8×16, load 0.95, 1 1 2 3 4, half require", LARGE, 0.95, ODD, 1 / 2),
    Stream("8×16, load 0.95, 1 2 4 8", LARGE, 0.95, EVEN),
)


class Packer(Protocol):
    """Something that guests come to; it keeps them until they leave."""

    def place(self, guest: int, vcpus: int, require: bool) -> bool: ...

    def remove(self, guest: int) -> None: ...


def accepted(packer: Packer, events: Sequence[Event]) -> Iterator[int]:
    """The guests that had a place when they came."""
    placed = set()
    for guest, vcpus, require in events:
        if vcpus and packer.place(guest, vcpus, require):
            placed.add(guest)
            yield guest
        elif not vcpus and guest in placed:
            packer.remove(guest)


class Ours:
    """``mdsvc.layout.fit``."""

    def __init__(self, machine: Machine, packing: str) -> None:
        self.host = from_builtins(machine.host() | {"packing": packing}, Host)
        self.layouts: dict[int, tuple[Layout, Flavor]] = {}

    def place(self, guest: int, vcpus: int, require: bool) -> bool:
        specs = {"hw:cpu_policy": "dedicated"} | (
            {"hw:cpu_thread_policy": "require"} if require else {}
        )
        flavor = Flavor(vcpus=vcpus, memory_mb=VCPU_MB * vcpus, extra_specs=specs)
        try:
            layout = fit(self.host, request(flavor))
        except DoesNotFit:
            return False
        self.layouts[guest] = layout, flavor
        self.host = usage.place(self.host, layout, flavor)
        return True

    def remove(self, guest: int) -> None:
        self.host = usage.remove(self.host, *self.layouts.pop(guest))


class BestFit:
    """Written for this only: whole cores for pairs, a lone thread for what is left over, and of
    the cells where that breaks no core the fullest. It knows nothing but how many threads of each
    core are free.
    """

    def __init__(self, machine: Machine) -> None:
        self.cells = [[2] * (machine.cores - machine.shared) for _ in range(machine.cells)]
        self.taken: dict[int, tuple[list[int], dict[int, int]]] = {}

    def place(self, guest: int, vcpus: int, require: bool) -> bool:
        best: tuple[bool, int, int] | None = None
        for at, cell in enumerate(self.cells):
            whole, lone, free = cell.count(2), cell.count(1), sum(cell)
            pairs = vcpus // 2 if require else min(whole, vcpus // 2)
            breaks = vcpus - 2 * pairs > (0 if require else lone)
            if pairs + breaks <= whole and vcpus <= free:
                best = min(best or (breaks, free, at), (breaks, free, at))
        if best is None:
            return False
        self._take(guest, self.cells[best[2]], vcpus, broken=best[0])
        return True

    def _take(self, guest: int, cell: list[int], vcpus: int, broken: bool) -> None:
        whole = [core for core, free in enumerate(cell) if free == 2]
        lone = [core for core, free in enumerate(cell) if free == 1]
        pairs = min(len(whole), vcpus // 2)
        left = vcpus - 2 * pairs
        used = dict.fromkeys(whole[:pairs], 2)
        used |= dict.fromkeys((whole[pairs:] if broken else lone)[:left], 1)
        for core, threads in used.items():
            cell[core] -= threads
        self.taken[guest] = cell, used

    def remove(self, guest: int) -> None:
        cell, used = self.taken.pop(guest)
        for core, threads in used.items():
            cell[core] += threads


COLUMNS = ("Nova spread", "pack", "mdsvc spread", "pack", "best fit")


def shares(stream: Stream, other: Nova | None) -> list[float | None]:
    """The accepted share of vCPUs for each of the columns."""
    events, machine = stream.events(), stream.machine
    if other:  # Nova looks for its answers while the others are asked here
        other.send("stream", host=machine.host(), events=events)
    packers = Ours(machine, "spread"), Ours(machine, "pack"), BestFit(machine)
    found = [list(accepted(packer, events)) for packer in packers]
    sizes = {guest: vcpus for guest, vcpus, _ in events if vcpus}
    novas = other.answer()["accepted"] if other else [None, None]
    return [
        None if guests is None else sum(map(sizes.__getitem__, guests)) / sum(sizes.values())
        for guests in [*novas, *found]
    ]


def main() -> None:
    """Measure, and print a table."""
    title = f"accepted share of the vCPUs of {GUESTS} guests, in %"
    print(f"{title:49}", *(f"{column:>13}" for column in COLUMNS), sep="")
    with nova() as other:
        for stream in STREAMS:
            row = shares(stream, other)
            texts = ["-" if share is None else f"{100 * share:.1f}" for share in row]
            print(f"{stream.name:49}", *(f"{text:>13}" for text in texts), sep="", flush=True)


if __name__ == "__main__":
    main()
