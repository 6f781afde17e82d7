"""Why a guest does not fit: which rule fails where, what was needed, and what was there.

Each rule is one row of a table. ``demand.fits`` asks the same in the quickest form; a test holds
the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor
from operator import attrgetter, itemgetter

import msgspec
from msgspec.structs import replace

from mdsvc.errors import Reason
from mdsvc.fitting.assignment import assign, blocking
from mdsvc.fitting.demand import Demand, fits, overcommits, pool, pools, room_kb, variants
from mdsvc.fitting.vacancy import Vacancy, ranked
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host


class Rule(msgspec.Struct, frozen=True):
    """One rule: needed and available, in ``unit``; it holds when needed is not more."""

    name: str
    unit: Callable[[Vacancy], str]
    needed: Callable[[Demand], int]
    available: Callable[[Demand, Vacancy], int]

    def short(self, demand: Demand, vacancy: Vacancy) -> int:
        """How much is missing, 0 when the rule holds."""
        needed = self.needed(demand)
        return max(0, needed - self.available(demand, vacancy)) if needed else 0


def _by_policy(demand: Demand, vacancy: Vacancy) -> int:
    return vacancy.isolated if demand.threads == "isolate" else vacancy.pairable


def _needed_by_policy(demand: Demand) -> int:
    """`require` speaks of vCPUs only; `isolate` gives the emulator a core of its own too."""
    return {
        "require": demand.dedicated,
        "isolate": demand.dedicated + demand.reserved,
    }.get(demand.threads or "", 0)


def _held_mb(demand: Demand, vacancy: Vacancy) -> int:
    """The most of the demand that one of its pools could hold in whole pages (R15)."""
    memory_kb = demand.memory_mb * 1024
    held = (
        min(room_kb(demand, pool), memory_kb - memory_kb % (pool.size_kb or 1))
        for pool in pools(demand, vacancy)
    )
    return max(held, default=0) // 1024


def _free_base_mb(demand: Demand, vacancy: Vacancy) -> int:
    """What there is of the base pool, for a guest that asks for no page size."""
    memory_kb = demand.memory_mb * 1024
    base = vacancy.pools[0]
    return 0 if memory_kb % (base.size_kb or 1) else room_kb(demand, base) // 1024


def _of(unit: str) -> Callable[[Vacancy], str]:
    return lambda vacancy: unit


def _base_memory(vacancy: Vacancy) -> str:
    """Where there are huge pages, what is meant is not all the memory that is free."""
    return "MiB of memory outside huge pages" if len(vacancy.pools) > 1 else "MiB of memory"


RULES = (
    Rule(
        "dedicated_cpus",
        _of("free dedicated pCPUs"),
        lambda demand: demand.dedicated + demand.reserved,
        lambda demand, vacancy: vacancy.free,
    ),
    Rule("thread_policy", _of("pCPUs by the thread policy"), _needed_by_policy, _by_policy),
    Rule(
        "shared_cpus",
        _of("shared vCPUs"),
        lambda demand: demand.shared,
        lambda demand, vacancy: vacancy.shared_most,
    ),
    Rule(
        "memory",
        _base_memory,
        lambda demand: demand.memory_mb if demand.page_size is None else 0,
        _free_base_mb,
    ),
    Rule(
        "pages",
        _of("MiB in pages of that size"),
        lambda demand: demand.memory_mb if demand.page_size is not None else 0,
        _held_mb,
    ),
)


_MOST = 4096
"""Reasons that are given; a big guest on a big host has more, and the nearest come first."""


def whole_host_reasons(host: Host, request: Request) -> list[Reason]:
    """The rules that no choice of cells can change."""
    reasons: list[Reason] = []
    if host.draining:
        message = f"host {host.name} is draining, and takes no new guests"
        reasons.append(Reason(rule="draining", message=message))
    if request.cpu_policy == "mixed" and not host.knows_mixed:
        message = f"host {host.name} has service version {host.service_version}, which does not "
        message += "know mixed guests (R17)"
        reasons.append(Reason(rule="service_version", message=message))
    if len(request.cells) > 1 and not host.gives_nodes:
        message = f"host {host.name} is {host.arch}, whose guests cannot have several NUMA nodes"
        reasons.append(Reason(rule="guest_numa", message=message))
    reasons += _floating_reasons(host, request)
    return reasons


def is_refused(host: Host, request: Request) -> bool:
    """Whether some rule of the whole host forbids the guest."""
    if host.draining:
        return True
    if request.cpu_policy == "mixed" and not host.knows_mixed:
        return True
    if len(request.cells) > 1 and not host.gives_nodes:
        return True
    floats = not request.cells or host.floating_vcpus or host.floating_memory_mb
    return bool(floats and _floating_reasons(host, request))


def _floating_reasons(host: Host, request: Request) -> list[Reason]:
    """Guests without a NUMA topology float over what all cells have left together, so they need
    that much, and must not lose it to others. None takes more than the host has (R15).
    """
    cells, floats = host.cells, not request.cells
    ratio = host.cpu_allocation_ratio
    vcpus = request.vcpus if floats else sum(len(cell.shared) for cell in request.cells)
    reasons = []
    if floats or host.floating_vcpus:
        left = sum(max(0, len(host.shared(c)) * ratio - c.shared_used) for c in cells)
        most_there = floor(left) - host.floating_vcpus
        most = min(most_there, len(host.cpu_shared_set)) if floats else most_there
        reasons += _shortage("shared_cpus", "shared vCPUs", vcpus, most)
    if floats or (host.floating_memory_mb and request.page_size in (None, "small")):
        most = host.base_left_kb(overcommits(request)) // 1024
        if floats:
            most = min(most, sum(cell.base.capacity_kb for cell in cells) // 1024)
        reasons += _base_shortage(host, request.memory_mb, most)
    return reasons


def _base_shortage(host: Host, memory_mb: int, there_mb: int) -> list[Reason]:
    """Of the base pools of all cells together."""
    huge = any(len(cell.pools) > 1 for cell in host.cells)
    unit = "MiB of memory outside huge pages" if huge else "MiB of memory"
    return _shortage("memory", unit, memory_mb, there_mb)


def _base_reasons(host: Host, request: Request) -> list[Reason]:
    """Where any pool would do, and guests that float do not leave the base pools enough: the least
    that the guest needs of these.
    """
    if not host.floating_memory_mb:
        return []
    needs = (_least_of_base(demands, ranked(host)) for demands in variants(request))
    least = min((mb for mb in needs if mb is not None), default=0)
    return _base_shortage(host, least, host.base_left_kb() // 1024)


def _least_of_base(demands: Sequence[Demand], vacancies: Sequence[Vacancy]) -> int | None:
    """The least memory of base pools, in MiB, with which the guest cells find their places."""
    rows = [[_of_base(demand, vacancy) for vacancy in vacancies] for demand in demands]
    columns = assign(rows)
    if columns is None:
        return None
    return sum(row[at] or 0 for row, at in zip(rows, columns, strict=True))


def _of_base(demand: Demand, vacancy: Vacancy) -> int | None:
    taken = pool(demand, vacancy)
    if taken is None:
        return None
    return demand.memory_mb if taken.is_base else 0


def explain(host: Host, request: Request) -> list[Reason]:
    """Why the request does not fit on the host, nearest to fitting first."""
    vacancies = ranked(host)
    demands = [Demand.of(request, cell) for cell in request.cells]
    whole = sorted(whole_host_reasons(host, request), key=attrgetter("share_missing"))
    reasons = whole or _stuck(demands, vacancies) or _base_reasons(host, request)
    if not reasons:  # each cell has its place, but the isolated emulator thread has none
        reasons = _pairs(dict(enumerate(d.with_emulator() for d in demands)), vacancies)
    return reasons[:_MOST]


def _stuck(demands: Sequence[Demand], vacancies: Sequence[Vacancy]) -> list[Reason]:
    """Guest cells that fit nowhere, pair by pair; else the set of cells that block each other."""
    possible = [[fits(demand, vacancy) or None for vacancy in vacancies] for demand in demands]
    nowhere = {at: demands[at] for at, row in enumerate(possible) if not any(row)}
    if nowhere:
        return _pairs(nowhere, vacancies)
    blocked = blocking(possible)
    return [_blocked(*blocked, vacancies)] if blocked else []


def _pairs(demands: dict[int, Demand], vacancies: Sequence[Vacancy]) -> list[Reason]:
    """The rules that fail, pair by pair; first the pair of which the least share is missing."""
    pairs = [
        (sum(reason.share_missing for reason in failing), at, vacancy.cell.id, failing)
        for at, demand in demands.items()
        for vacancy in vacancies
        if (failing := _failing(at, demand, vacancy))
    ]
    pairs.sort(key=itemgetter(slice(3)))
    return [reason for *_, failing in pairs for reason in failing]


def _failing(at: int, demand: Demand, vacancy: Vacancy) -> list[Reason]:
    emulator = " with the emulator thread" if demand.reserved else ""
    where = f"guest cell {at}{emulator} on host cell {vacancy.cell.id}: "
    return [
        replace(reason, guest_cell=at, host_cell=vacancy.cell.id, message=where + reason.message)
        for rule in RULES
        if rule.short(demand, vacancy)
        for reason in _shortage(
            rule.name, rule.unit(vacancy), rule.needed(demand), rule.available(demand, vacancy)
        )
    ]


def _shortage(rule: str, unit: str, needed: int, available: int) -> list[Reason]:
    available = max(0, available)
    short = needed - available
    if short <= 0:
        return []
    message = f"needs {needed} {unit}, {available} there, {short} short"
    return [Reason(rule=rule, needed=needed, available=available, short=short, message=message)]


def _blocked(guests: Sequence[int], columns: Sequence[int], vacancies: Sequence[Vacancy]) -> Reason:
    hosts = sorted(vacancies[column].cell.id for column in columns)
    message = f"guest {_listed(guests)} can only use host {_listed(hosts)}"
    return Reason(
        rule="assignment",
        guest_cells=tuple(guests),
        host_cells=tuple(hosts),
        message=f"{message}, and each needs one of its own",
    )


def _listed(cells: Sequence[int]) -> str:
    """``cell 1``, ``cells 0 and 2``, ``cells 0, 1 and 2``."""
    if len(cells) == 1:
        return f"cell {cells[0]}"
    return f"cells {', '.join(map(str, cells[:-1]))} and {cells[-1]}"
