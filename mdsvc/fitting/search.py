"""The best vacancies for a request: what each vacancy costs each guest cell, and the least total.

A cost is one whole number, most significant first: whole cores broken, L3 domains that the pCPUs
are in, what the host's packing prefers, and the place in the ranking. What it prefers is what is
left of the kinds that the guest cell needs: free pCPUs, then shared vCPUs by the overcommit ratio,
then memory of the pool that it takes. The least is the emptiest where the host spreads, and the
fullest where it packs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec

from mdsvc.fitting.assignment import assign
from mdsvc.fitting.demand import Demand, overcommits, pool, variants
from mdsvc.fitting.vacancy import Vacancy, broken, ranked, spanned, vacancies
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host

# Each part has head-room for the sum over all guest cells, of which there are 1024 at most: a cell
# has 2**13 pCPUs at most, and 2**23 shared vCPUs.
_PLACES = 1 << 20
_MEMORY = 1 << 52
_SHARED = 1 << 34
_FREE = 1 << 26
_MOST_MB = (_MEMORY >> 10) - 1  # counts as all the memory that there is
_MOST = (_FREE >> 10) * _SHARED * _MEMORY  # so that hosts that spread come after all that pack
_DOMAIN = _FREE * _SHARED * _MEMORY * _PLACES
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
    return _affordable(host, request, ranked(host), _ranks(host))


def price(host: Host, request: Request) -> int | None:
    """What the best vacancies cost, comparable between hosts; None where there are none."""
    if not request.cells:
        return _floating_price(host, request)
    in_any_order = vacancies(host)  # places do not count between hosts
    ranks = _rank_groups(host, zip(in_any_order))
    found = _affordable(host, request, in_any_order, ranks)
    return found and found.cost // _PLACES


def cores_broken(price: int) -> int:
    """How many whole cores a layout of that price breaks."""
    return price * _PLACES // _CORE


# ---- what a vacancy costs ----


class _Rank(NamedTuple):
    """Vacancies that are alike but for their labels: the first of them, and how many there are.

    Of what is left in it a guest cell pays for the kinds that it needs, the more the better where
    the host packs, the less where it spreads.
    """

    vacancy: Vacancy
    alike: int
    first: (
        int  # what the first costs without anything that is left in it; the next one costs 1 more
    )
    free: int  # what its free pCPUs add
    shared: int  # what the shared vCPUs that may still come add
    per_mb: int  # what each MiB of the pool adds


def _ranks(host: Host) -> Sequence[_Rank]:
    """The host's vacancies in their ranking. Worked out once for a host."""
    kept: Sequence[_Rank] | None = host.__dict__.get("_ranks")
    if kept is None:
        groups = [list(group) for _, group in groupby(ranked(host), key=attrgetter("signature"))]
        kept = host.__dict__["_ranks"] = _rank_groups(host, groups)
    return kept


def _rank_groups(host: Host, groups: Iterable[Sequence[Vacancy]]) -> Sequence[_Rank]:
    per_mb = -_PLACES if host.packing == "spread" else _PLACES
    per_shared = per_mb * _MEMORY
    per_free = per_shared * _SHARED
    ranks, cost = [], _MOST * _PLACES if host.packing == "spread" else 0
    for group in groups:
        vacancy, alike = group[0], len(group)
        free, shared = vacancy.free * per_free, vacancy.shared_left * per_shared
        ranks.append(_Rank(vacancy, alike, cost, free, shared, per_mb))
        cost += alike
    return ranks


def _floating_price(host: Host, request: Request) -> int:
    """By what is left on the whole host beside the other guests that float over it."""
    shared = sum(vacancy.shared_left for vacancy in vacancies(host)) - host.floating_vcpus
    memory_kb = host.base_left_kb(overcommits(request))
    amount = max(0, shared) * _MEMORY + min(max(0, memory_kb) >> 10, _MOST_MB)
    return _MOST - amount if host.packing == "spread" else amount


def _row(demand: Demand, ranks: Sequence[_Rank]) -> list[int | None]:
    """What it costs to put the guest cell in each vacancy; None where a rule forbids it.

    vCPUs cannot do without one L3 domain, so it is free of charge, and known domains do not stand
    behind unknown ones.
    """
    row: list[int | None] = []
    threads, vcpus, emulator = demand.threads, demand.dedicated, demand.reserved
    free_domains = 1 if vcpus else 0
    for vacancy, alike, first, free, shared, per_mb in ranks:
        taken = pool(demand, vacancy)
        if taken is None:
            row += (None,) * alike
            continue
        left_kb = taken.left_kb if demand.overcommits else taken.free_kb
        cost = first + min(left_kb >> 10, _MOST_MB) * per_mb
        if demand.shared:
            cost += shared
        if vcpus or emulator:
            cost += free + broken(vacancy, threads, vcpus, emulator) * _CORE
            if vacancy.l3 > free_domains:
                domains = spanned(vacancy, threads, vcpus, emulator)
                cost += (domains - free_domains) * _DOMAIN
        row += range(cost, cost + alike)
    return row


# ---- which vacancies ----


def _affordable(
    host: Host, request: Request, in_order: Sequence[Vacancy], ranks: Sequence[_Rank]
) -> Found | None:
    """The cheapest that leaves guests without a NUMA topology their memory in the base pools.

    Only a guest that may have memory of either kind of pool has a choice there; of all others
    that is a question to the whole host.
    """
    asked = variants(request)
    cheapest = _cheapest(asked, in_order, ranks)
    if cheapest is None or not host.floating_memory_mb or request.page_size in _ONE_KIND:
        return cheapest
    left_kb = max(0, host.base_left_kb())
    if sum(_on_base(cheapest).values()) <= left_kb:
        return cheapest
    options = [_sparing(demands, left_kb, in_order, ranks) for demands in asked]
    possible = [(o.cost // _DOMAIN, home, o) for home, o in enumerate(options) if o]
    return min(possible)[-1] if possible else None


_ONE_KIND = (None, "small", "large")


def _on_base(found: Found) -> dict[int, int]:
    """Which guest cells have memory of a base pool, and how much, in KiB."""
    taken = map(pool, found.demands, found.vacancies)
    pairs = enumerate(zip(found.demands, taken, strict=True))
    return {at: demand.memory_mb * 1024 for at, (demand, some) in pairs if some and some.is_base}


def _sparing(
    demands: Sequence[Demand], left_kb: int, in_order: Sequence[Vacancy], ranks: Sequence[_Rank]
) -> Found | None:
    """The cheapest that takes no more of the base pools: branch and bound over the guest cells
    that are kept from them. What keeps more guest cells from them costs no less.
    """
    best: Found | None = None
    seen = set()
    branches = [tuple(demands)]
    while branches:
        branch = branches.pop()
        kind = frozenset(Counter(branch).items())  # equal guest cells are as good as each other
        option = None if kind in seen else _cheapest([branch], in_order, ranks)
        seen.add(kind)
        if option is None or (best is not None and best.cost <= option.cost):
            continue
        on_base = _on_base(option)
        if sum(on_base.values()) <= left_kb:
            best = option
        else:
            branches += (_with_spared(branch, at) for at in on_base)
    return best


def _with_spared(demands: Sequence[Demand], at: int) -> tuple[Demand, ...]:
    spared = msgspec.structs.replace(demands[at], spares_base=True)
    return (*demands[:at], spared, *demands[at + 1 :])


def _cheapest(
    asked: Sequence[Sequence[Demand]], in_order: Sequence[Vacancy], ranks: Sequence[_Rank]
) -> Found | None:
    """Over the variants of the demands: the fewest cores broken, then the fewest L3 domains, then
    the earliest variant.
    """
    if len(asked) == 1 == len(asked[0]):
        row = _row(asked[0][0], ranks)
        cost = min((cost for cost in row if cost is not None), default=None)
        return None if cost is None else Found(cost, asked[0], (in_order[row.index(cost)],))
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
    return found and Found(found[0], asked[found[1]], [in_order[at] for at in found[2]])


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
