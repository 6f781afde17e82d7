"""The best vacancies for a request: what each vacancy costs each guest cell, and the least total.

A cost is one whole number, most significant first: whole cores broken, L3 domains that the pCPUs
are in, what the host's packing prefers of CPUs, then of memory, and the place in the ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from mdsvc.fitting.assignment import assign
from mdsvc.fitting.demand import Demand, fits, variants
from mdsvc.fitting.vacancy import Vacancy, broken, ranked, spanned, vacancies
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


class Found(NamedTuple):
    """The best vacancies, with the demands: one of them with the isolated emulator's pCPU."""

    cost: int
    demands: Sequence[Demand]
    vacancies: Sequence[Vacancy]


def best(host: Host, request: Request) -> Found | None:
    """The least cost of all assignments that satisfy every rule of the cells."""
    if not request.cells:
        return Found(0, (), ())
    found = _cheapest(_ranks(host), variants(request))
    if found is None:
        return None
    cost, demands, columns = found
    in_order = ranked(host)
    return Found(cost, demands, [in_order[column] for column in columns])


def price(host: Host, request: Request) -> int | None:
    """What the best vacancies cost, comparable between hosts; None where there are none."""
    if not request.cells:
        left = sum(v.shared_most for v in vacancies(host)) - host.floating_vcpus
        memory = sum(v.memory_free_mb for v in vacancies(host)) - host.floating_memory_mb
        return _preference(host, max(0, left), max(0, memory))
    in_any_order = zip(vacancies(host))  # places do not count between hosts
    found = _cheapest(_rank_groups(host, in_any_order), variants(request))
    return found and found[0] // _PLACES


def cores_broken(price: int) -> int:
    """How many whole cores a layout of that price breaks."""
    return price * _PLACES // _CORE


# ---- what a vacancy costs ----


class _Rank(NamedTuple):
    """Vacancies that are alike but for their labels: the first of them, and how many there are."""

    vacancy: Vacancy
    dedicated: int  # what the first costs a guest cell with pCPUs of its own; the next one more
    shared: int  # and one without
    alike: int


@kept
def _ranks(host: Host) -> Sequence[_Rank]:
    """The host's vacancies in their ranking."""
    groups = groupby(ranked(host), key=attrgetter("signature"))
    return _rank_groups(host, [list(group) for _, group in groups])


def _rank_groups(host: Host, groups: Iterable[Sequence[Vacancy]]) -> Sequence[_Rank]:
    ranks, place = [], 0
    for group in groups:
        vacancy = group[0]
        dedicated = _preference(host, vacancy.free, vacancy.memory_free_mb) * _PLACES + place
        shared = _preference(host, vacancy.shared_most, vacancy.memory_free_mb) * _PLACES + place
        ranks.append(_Rank(vacancy, dedicated, shared, len(group)))
        place += len(group)
    return ranks


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
    for vacancy, dedicated, shared, alike in ranks:
        if not fits(demand, vacancy):
            row += (None,) * alike
        elif demand.dedicated or demand.reserved:
            threads, vcpus, emulator = demand.threads, demand.dedicated, demand.reserved
            cost = dedicated + broken(vacancy, threads, vcpus, emulator) * _CORE
            if vacancy.l3 > free_domains:
                domains = spanned(vacancy, threads, vcpus, emulator)
                cost += (domains - free_domains) * _DOMAIN
            row += range(cost, cost + alike)
        else:
            row += range(shared, shared + alike)
    return row


# ---- which vacancies ----


def _cheapest(
    ranks: Sequence[_Rank], asked: Sequence[Sequence[Demand]]
) -> tuple[int, Sequence[Demand], list[int]] | None:
    """Over the variants of the demands: the fewest cores broken, then the fewest L3 domains, then
    the earliest variant.
    """
    if len(asked) == 1 == len(asked[0]):
        row = _row(asked[0][0], ranks)
        cost = min((cost for cost in row if cost is not None), default=None)
        return None if cost is None else (cost, asked[0], [row.index(cost)])
    rows = {demand: _row(demand, ranks) for demands in asked for demand in dict.fromkeys(demands)}
    found = None
    for bound, home in _bounds(asked, rows) if len(asked) > 1 else ((0, 0),):
        if found and (found[0] // _DOMAIN, found[1]) <= (bound, home):
            break  # neither this variant nor a later one is better
        costs = [rows[demand] for demand in asked[home]]
        columns = assign(costs)
        if columns is not None:
            total = sum(row[column] or 0 for row, column in zip(costs, columns, strict=True))
            if found is None or (total // _DOMAIN, home) < (found[0] // _DOMAIN, found[1]):
                found = total, home, columns
    return found and (found[0], asked[found[1]], found[2])


def _bounds(
    asked: Sequence[Sequence[Demand]], rows: Mapping[Demand, Sequence[int | None]]
) -> list[tuple[int, int]]:
    """How few whole cores each variant can break at best, and then how few L3 domains it can be
    in, in one number, and which variant it is; the fewest first.
    """
    least = {
        demand: min((cost // _DOMAIN for cost in row if cost is not None), default=None)
        for demand, row in rows.items()
    }
    rows_least = [[least[demand] for demand in demands] for demands in asked]
    return sorted(
        (sum(filter(None, row)), at) for at, row in enumerate(rows_least) if None not in row
    )
