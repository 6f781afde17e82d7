"""The best vacancies for a request: what each vacancy costs each guest cell, and the least total.

**The problem.** Each guest cell goes to a vacancy of its own. Whether it fits there does not depend
on where the others go (``demand.fits``), nor does what it costs; so that is a table, rows of guest
cells and columns of vacancies, and the best place is an assignment of rows to columns with the
least sum. Only an isolated emulator thread ties the rows together: its pCPU is in any one of them.
Each of these choices is a *variant* of the demands, a table of its own.

**The cost** is one whole number, in which each part outweighs all sums of the parts after it, so
that the least sum is the lexicographic best. The most significant first: whole cores broken; L3
domains that pCPUs are in, beyond the first; what the host's packing prefers of CPUs and then of
memory, less for emptier vacancies where it spreads, and for fuller ones where it packs; the place
in the ranking. The last makes the answer the same whatever the labels are: vacancies are ranked by
what tells them apart, and by their ids only where nothing does (``vacancy.alike``).

**Exact.** All costs are integers, of any size, and the assignment is solved and not estimated: for
one row the least is taken, for equal rows the cheapest columns, else by shortest augmenting paths
(``assignment``). Where there is none, a set of rows has too few columns (Hall), which is found
first and quickly. Variants are compared by cores and domains, then the earliest wins, so that the
emulator is in guest cell 0 unless another place is better in these.

**How long it takes.** With g guest cells, k different ones, and h vacancies of d kinds: k × d
costs, each from counts, or with known L3 domains from a search for the fewest (``l3``). Then h for
one row, h log h for equal rows, g² × h else; a variant is only solved if its cores and domains
could be fewer than those that were reached, so mostly one of g is.

Cases, by number where they are below:

1. No guest cells: the guest floats, and all vacancies together are its place.
2. One guest cell on one of many hosts: the least of a row, ranked only between equals.
3. One row: the least of it.
4. One variant: its assignment.
5. Several variants: their assignments, while they could be better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from mdsvc.fitting.assignment import assign
from mdsvc.fitting.demand import Demand, fits, variants
from mdsvc.fitting.vacancy import Vacancy, alike, broken, ranked, spanned, vacancies
from mdsvc.kept import kept
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host

# Each part has head-room for the sum over all guest cells.
_PLACES = 1 << 20
_MEMORY = 1 << 52
_CPUS = 1 << 40
_MOST = (_CPUS >> 8) * _MEMORY
_DOMAIN = _CPUS * _MEMORY * _PLACES
_CORE = (1 << 20) * _DOMAIN


class Found(msgspec.Struct, frozen=True, gc=False):
    """The best vacancies of a host, with the demands: one of them with the isolated emulator's
    pCPU.
    """

    host: Host
    cost: int
    demands: Sequence[Demand]
    vacancies: Sequence[Vacancy]

    @property
    def price(self) -> int:
        """The cost without places, which say nothing between hosts."""
        return self.cost // _PLACES

    @property
    def cores_broken(self) -> int:
        """How many whole cores the layout breaks."""
        return self.cost // _CORE


def best(host: Host, request: Request) -> Found | None:
    """The least cost of all assignments that satisfy every rule of the cells."""
    if not request.cells:  # case 1
        return Found(host, _floating(host) * _PLACES, (), ())
    found = _cheapest(_ranks(host), variants(request))
    if found is None:
        return None
    in_order = ranked(host)
    return Found(host, found.cost, found.demands, [in_order[column] for column in found.columns])


def best_of_many(host: Host, request: Request) -> Found | None:
    """The same for a host that is one of many, and seldom the one that is taken: its vacancies are
    ranked only where that decides, for guests of one cell between those that cost the same.
    """
    if len(request.cells) != 1:
        return best(host, request)
    [demands] = variants(request)  # case 2
    row = _row(demands[0], [_rank(host, vacancy, 0, 1) for vacancy in vacancies(host)])
    cost = min((cost for cost in row if cost is not None), default=None)
    if cost is None:
        return None
    if row.count(cost) == 1:
        return Found(host, cost, demands, (vacancies(host)[row.index(cost)],))
    ids = {v.cell.id for v, its in zip(vacancies(host), row, strict=True) if its == cost}
    return Found(host, cost, demands, (next(v for v in ranked(host) if v.cell.id in ids),))


def _floating(host: Host) -> int:
    """What the host's packing prefers, for a guest without a NUMA topology."""
    left = sum(v.shared_most for v in vacancies(host)) - host.floating_vcpus
    memory = sum(v.memory_free_mb for v in vacancies(host)) - host.floating_memory_mb
    return _preference(host, max(0, left), max(0, memory))


# ---- what a vacancy costs ----


class _Rank(NamedTuple):
    """Vacancies that are alike but for their labels: the first of them, and how many there are."""

    vacancy: Vacancy
    dedicated: int  # what the first costs a guest cell with pCPUs of its own; the next one more
    shared: int  # and one without
    many: int


@kept
def _ranks(host: Host) -> Sequence[_Rank]:
    """The host's vacancies in their ranking."""
    ranks, place = [], 0
    for group in alike(host):
        ranks.append(_rank(host, group[0], place, len(group)))
        place += len(group)
    return ranks


def _rank(host: Host, vacancy: Vacancy, place: int, many: int) -> _Rank:
    dedicated = _preference(host, vacancy.free, vacancy.memory_free_mb) * _PLACES + place
    shared = _preference(host, vacancy.shared_most, vacancy.memory_free_mb) * _PLACES + place
    return _Rank(vacancy, dedicated, shared, many)


def _preference(host: Host, cpus: int, memory_mb: int) -> int:
    """Emptiest first where the host spreads, fullest first where it packs."""
    amount = cpus * _MEMORY + memory_mb
    return _MOST - amount if host.packing == "spread" else amount


def _row(demand: Demand, ranks: Sequence[_Rank]) -> list[int | None]:
    """What it costs to put the guest cell in each vacancy; None where a rule forbids it.

    vCPUs cannot do without one L3 domain, so it is free of charge, and known domains do not stand
    behind unknown ones.
    """
    row: list[int | None] = []
    free_domains = 1 if demand.dedicated else 0
    for vacancy, dedicated, shared, many in ranks:
        if not fits(demand, vacancy):
            row += (None,) * many
        elif demand.dedicated or demand.reserved:
            threads, vcpus, emulator = demand.threads, demand.dedicated, demand.reserved
            cost = dedicated + broken(vacancy, threads, vcpus, emulator) * _CORE
            if vacancy.l3 > free_domains:
                domains = spanned(vacancy, threads, vcpus, emulator)
                cost += (domains - free_domains) * _DOMAIN
            row += range(cost, cost + many)
        else:
            row += range(shared, shared + many)
    return row


# ---- which vacancies ----


class _Assignment(NamedTuple):
    """One variant of the demands, and the place in the ranking of the vacancy of each."""

    cost: int
    demands: Sequence[Demand]
    columns: Sequence[int]


class _Bound(NamedTuple):
    """What a variant costs at the least, and which it is."""

    domains: int  # the cost without what comes after L3 domains
    home: int


def _cheapest(ranks: Sequence[_Rank], asked: Sequence[Sequence[Demand]]) -> _Assignment | None:
    """Over the variants of the demands: the fewest cores broken, then the fewest L3 domains, then
    the earliest variant.
    """
    if len(asked) == 1 == len(asked[0]):  # case 3
        row = _row(asked[0][0], ranks)
        cost = min((cost for cost in row if cost is not None), default=None)
        return None if cost is None else _Assignment(cost, asked[0], [row.index(cost)])
    rows = {demand: _row(demand, ranks) for demands in asked for demand in dict.fromkeys(demands)}
    cheapest, reached = None, None
    for bound in _bounds(asked, rows) if len(asked) > 1 else (_Bound(0, 0),):  # cases 5 and 4
        if reached and reached <= bound:
            break  # neither this variant nor a later one is better
        costs = [rows[demand] for demand in asked[bound.home]]
        columns = assign(costs)
        if columns is not None:
            total = sum(row[column] or 0 for row, column in zip(costs, columns, strict=True))
            this = _Bound(total // _DOMAIN, bound.home)
            if reached is None or this < reached:
                cheapest, reached = _Assignment(total, asked[bound.home], columns), this
    return cheapest


def _bounds(
    asked: Sequence[Sequence[Demand]], rows: Mapping[Demand, Sequence[int | None]]
) -> list[_Bound]:
    """The variants that may be possible, with the cores and domains that each costs at the least;
    the least first.
    """
    least = {
        demand: min((cost // _DOMAIN for cost in row if cost is not None), default=None)
        for demand, row in rows.items()
    }
    rows_least = [[least[demand] for demand in demands] for demands in asked]
    return sorted(
        _Bound(sum(filter(None, row)), home)
        for home, row in enumerate(rows_least)
        if None not in row
    )
