"""The best vacancies for a request: what each vacancy costs each guest cell, and the least total.

**The problem.** Each guest cell goes to a vacancy of its own. Whether it fits there does not depend
on where the others go (``demand.fits``), nor does what it costs; so that is a table, rows of guest
cells and columns of vacancies, and the best place is an assignment of rows to columns with the
least sum. Only an isolated emulator thread ties the rows together: its pCPU is in any one of them.
Each of these choices is a *variant* of the demands, a table of its own.

**The cost** is one whole number, in which each part outweighs all sums of the parts after it, so
that the least sum is the lexicographic best. The most significant first: whole cores broken; L3
domains that pCPUs are in, beyond the first; what the host's packing prefers; the place in the
ranking. What packing looks at is what is left of the kinds that the guest cell needs: free pCPUs,
then shared vCPUs by the overcommit ratio, then memory of the pool that it takes; of the last two
without the cell's part of what guests that float have. It is less for emptier vacancies where the
host spreads, and for fuller ones where it packs. The place makes the
answer the same whatever the labels are: vacancies are ranked by what tells them apart, and by their
ids only where nothing does (``vacancy.alike``).

**Beside guests that float.** Guests without a NUMA topology have the base pools of all cells
together, and others must leave them that. For most guests that is one question to the whole host.
But one that takes any page size may have huge pages in one vacancy and base pages in another, so
that it depends on the assignment: a side condition, which makes a knapsack of it. Where the best
assignment takes too much of the base pools, the sets of guest cells that are kept from them are
searched, an assignment each: keeping more from them costs no less, which bounds the search.

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
6. The best takes too much memory from guests that float: the best that does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mdsvc.fitting.assignment import assign
from mdsvc.fitting.demand import Demand, overcommits, pool, variants
from mdsvc.fitting.vacancy import Vacancy, alike, broken, ranked, spanned, vacancies
from mdsvc.kept import kept
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


Variants = Sequence[Sequence[Demand]]
"""The demands of the guest cells, once for each place that the emulator's pCPU may have."""


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
        return Found(host, _floating(host, request) * _PLACES, (), ())
    return _affordable(host, request, _best_ranked)


def best_of_many(host: Host, request: Request) -> Found | None:
    """The same for a host that is one of many, and seldom the one that is taken: its vacancies are
    ranked only where that decides, for guests of one cell between those that cost the same.
    """
    if len(request.cells) != 1:
        return best(host, request)
    return _affordable(host, request, _best_unranked)


def _best_ranked(host: Host, asked: Variants) -> Found | None:
    if len(asked[0]) == 1:  # case 3
        [demands] = asked
        row = _row(demands[0], _ranks(host))
        cost = _least(row)
        if cost is None:
            return None
        return Found(host, cost, demands, (ranked(host)[row.index(cost)],))
    found = _cheapest(_ranks(host), asked) if len(asked) > 1 else _solved(_ranks(host), asked[0])
    if found is None:
        return None
    in_order = ranked(host)
    return Found(host, found.cost, found.demands, [in_order[column] for column in found.columns])


def _best_unranked(host: Host, asked: Variants) -> Found | None:
    [demands] = asked  # case 2
    row = _row(demands[0], [_rank(host, vacancy, 0, 1) for vacancy in vacancies(host)])
    cost = _least(row)
    if cost is None:
        return None
    if row.count(cost) == 1:
        return Found(host, cost, demands, (vacancies(host)[row.index(cost)],))
    ids = {v.cell.id for v, its in zip(vacancies(host), row, strict=True) if its == cost}
    return Found(host, cost, demands, (next(v for v in ranked(host) if v.cell.id in ids),))


def _least(row: Sequence[int | None]) -> int | None:
    """The least cost of a row; None where there is none."""
    costs = [cost for cost in row if cost is not None]
    return min(costs) if costs else None


def _floating(host: Host, request: Request) -> int:
    """What the host's packing prefers, for a guest without a NUMA topology: by what is left on the
    whole host beside the others that float over it.
    """
    shared = sum(vacancy.shared_left for vacancy in vacancies(host)) - host.floating_vcpus
    memory_kb = host.base_left_kb(overcommits(request))
    amount = max(0, shared) * _MEMORY + min(max(0, memory_kb) >> 10, _MOST_MB)
    return _MOST - amount if host.packing == "spread" else amount


# ---- what a vacancy costs ----


class _Rank(NamedTuple):
    """Vacancies that are alike but for their labels: the first of them, and how many there are.

    Of what is left in it a guest cell pays for the kinds that it needs, the more the better where
    the host packs, the less where it spreads.
    """

    vacancy: Vacancy
    many: int
    first: int  # what the first costs by its place, and each next one 1 more
    free: int  # what its free pCPUs add
    shared: int  # what the shared vCPUs that may still come add
    per_mb: int  # what each MiB of the pool adds
    floating_mb: int  # MiB of the base pool that count as had by guests that float


@kept
def _ranks(host: Host) -> Sequence[_Rank]:
    """The host's vacancies in their ranking."""
    ranks, place = [], 0
    for group in alike(host):
        ranks.append(_rank(host, group[0], place, len(group)))
        place += len(group)
    return ranks


def _rank(host: Host, vacancy: Vacancy, place: int, many: int) -> _Rank:
    spread = host.packing == "spread"
    unit = -_PLACES if spread else _PLACES
    free = vacancy.free * unit * _SHARED * _MEMORY
    shared_left = max(0, vacancy.shared_left - _floating_vcpus(host, vacancy))
    shared = shared_left * unit * _MEMORY
    first = _MOST * _PLACES * spread + place
    return _Rank(vacancy, many, first, free, shared, unit, _floating_mb(host, vacancy))


def _floating_vcpus(host: Host, vacancy: Vacancy) -> int:
    """Guests without a NUMA topology float over all cells alike: each has its part of them, by its
    shared CPUs.
    """
    if not host.floating_vcpus:
        return 0
    return host.floating_vcpus * vacancy.shared_cpus // max(1, len(host.cpu_shared_set))


def _floating_mb(host: Host, vacancy: Vacancy) -> int:
    """The same of their memory, by its base pool."""
    if not host.floating_memory_mb:
        return 0
    return host.floating_memory_mb * vacancy.cell.base.capacity_kb // max(1, _base_kb(host))


@kept
def _base_kb(host: Host) -> int:
    return sum(cell.base.capacity_kb for cell in host.cells)


def _row(demand: Demand, ranks: Sequence[_Rank]) -> list[int | None]:
    """What it costs to put the guest cell in each vacancy; None where a rule forbids it.

    vCPUs cannot do without one L3 domain, so it is free of charge, and known domains do not stand
    behind unknown ones.
    """
    row: list[int | None] = []
    threads, vcpus, emulator = demand.threads, demand.dedicated, demand.reserved
    free_domains = 1 if vcpus else 0
    for vacancy, many, first, free, shared, per_mb, floating_mb in ranks:
        taken = pool(demand, vacancy)
        if taken is None:
            row += (None,) * many
            continue
        left_mb = (taken.left_kb if demand.overcommits else taken.free_kb) >> 10
        if floating_mb and taken.is_base:
            left_mb = max(0, left_mb - floating_mb)
        cost = first + min(left_mb, _MOST_MB) * per_mb
        if demand.shared:
            cost += shared
        if vcpus or emulator:
            cost += free + broken(vacancy, threads, vcpus, emulator) * _CORE
            if vacancy.l3 > free_domains:
                domains = spanned(vacancy, threads, vcpus, emulator)
                cost += (domains - free_domains) * _DOMAIN
        row += range(cost, cost + many)
    return row


# ---- which vacancies ----


def _affordable(
    host: Host, request: Request, solve: Callable[[Host, Variants], Found | None]
) -> Found | None:
    """The best that leaves guests without a NUMA topology their memory in the base pools.

    Only a guest that may have memory of either kind of pool has a choice there; of all others
    that is a question to the whole host.
    """
    asked = variants(request)
    found = solve(host, asked)
    if found is None or not host.floating_memory_mb or request.page_size in _ONE_KIND:
        return found
    left_kb = max(0, host.base_left_kb())
    if sum(_on_base(found).values()) <= left_kb:
        return found
    options = [_sparing(host, demands, left_kb) for demands in asked]  # case 6
    possible = [(option.cost // _DOMAIN, home) for home, option in enumerate(options) if option]
    return options[min(possible)[1]] if possible else None


_ONE_KIND = (None, "small", "large")


def _on_base(found: Found) -> dict[int, int]:
    """Which guest cells have memory of a base pool, and how much, in KiB."""
    taken = map(pool, found.demands, found.vacancies)
    pairs = enumerate(zip(found.demands, taken, strict=True))
    return {at: demand.memory_mb * 1024 for at, (demand, some) in pairs if some and some.is_base}


def _sparing(host: Host, demands: Sequence[Demand], left_kb: int) -> Found | None:
    """The cheapest that takes no more of the base pools: branch and bound over the guest cells
    that are kept from them.
    """
    least: Found | None = None
    seen = set()
    branches = [tuple(demands)]
    while branches:
        branch = branches.pop()
        kind = frozenset(Counter(branch).items())  # equal guest cells are as good as each other
        option = None if kind in seen else _best_ranked(host, [branch])
        seen.add(kind)
        if option is None or (least is not None and least.cost <= option.cost):
            continue
        on_base = _on_base(option)
        if sum(on_base.values()) <= left_kb:
            least = option
        else:
            branches += (_with_spared(branch, at) for at in on_base)
    return least


def _with_spared(demands: Sequence[Demand], at: int) -> tuple[Demand, ...]:
    spared = msgspec.structs.replace(demands[at], spares_base=True)
    return (*demands[:at], spared, *demands[at + 1 :])


class _Assignment(NamedTuple):
    """One variant of the demands, and the place in the ranking of the vacancy of each."""

    cost: int
    demands: Sequence[Demand]
    columns: Sequence[int]


class _Bound(NamedTuple):
    """What a variant costs at the least, and which it is."""

    domains: int  # the cost without what comes after L3 domains
    home: int


def _solved(
    ranks: Sequence[_Rank],
    demands: Sequence[Demand],
    rows: Mapping[Demand, Sequence[int | None]] | None = None,
) -> _Assignment | None:
    """The cheapest assignment of these demands; their rows need not be made twice."""
    rows = rows or {demand: _row(demand, ranks) for demand in dict.fromkeys(demands)}  # case 4
    costs = [rows[demand] for demand in demands]
    columns = assign(costs)
    if columns is None:
        return None
    total = sum([row[column] or 0 for row, column in zip(costs, columns, strict=True)])
    return _Assignment(total, demands, columns)


def _cheapest(ranks: Sequence[_Rank], asked: Variants) -> _Assignment | None:
    """Over the variants of the demands: the fewest cores broken, then the fewest L3 domains, then
    the earliest variant.
    """
    rows = {demand: _row(demand, ranks) for demands in asked for demand in dict.fromkeys(demands)}
    cheapest, reached = None, None
    for bound in _bounds(asked, rows):  # case 5
        if reached and reached <= bound:
            break  # neither this variant nor a later one is better
        solved = _solved(ranks, asked[bound.home], rows)
        if solved is not None:
            this = _Bound(solved.cost // _DOMAIN, bound.home)
            if reached is None or this < reached:
                cheapest, reached = solved, this
    return cheapest


def _bounds(asked: Variants, rows: Mapping[Demand, Sequence[int | None]]) -> list[_Bound]:
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
