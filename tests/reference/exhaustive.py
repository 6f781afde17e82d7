"""What a host can take, by trying everything: for small hosts, and plain enough to believe."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

from . import rules
from .facts import Cell, Json, cells_of
from .pools import Pool, floating_part_mb, left_kb, pools_for

Left = tuple[int, int, int]
Cost = tuple[int, ...]
"""Whole cores broken, then further L3 domains touched; then the guest cell that has the isolated
emulator's pCPU; then what is left of the kinds that are needed, as the host's packing sees it: free
pCPUs, shared vCPUs and memory.
"""


@dataclass(frozen=True)
class Place:
    """A guest cell on a host cell: the pCPUs it takes, the whole cores that this breaks, and in how
    many more L3 domains than it must it is; the pool of its memory, and what is left of the kinds
    that it needs.
    """

    broken: int
    domains: int
    host_cell: int
    pins: frozenset[int]
    emulator: int | None
    pool: Pool
    left: Left


def fits(host: Json, request: Json) -> bool:
    """Does any assignment satisfy every rule?"""
    return best_broken(host, request) is not None


def best_broken(host: Json, request: Json) -> int | None:
    """The fewest whole cores that a valid assignment breaks; None where there is no assignment."""
    best = best_cost(host, request)
    return None if best is None else best[0]


def best_cost(host: Json, request: Json) -> Cost | None:
    """The least cost of all assignments; None where it does not fit."""
    places = best_places(host, request)
    return None if places is None else cost(host, request, places)


def best_places(host: Json, request: Json) -> list[Place] | None:
    """One assignment of the least cost, a place for each guest cell."""
    cells = cells_of(host)
    if rules.host_faults(host, request):
        return None
    if not request["cells"]:
        return None if rules.plain_guest_faults(host, cells, request) else []
    assignments = _assignments(host, cells, request)
    return min(assignments, key=lambda places: cost(host, request, places), default=None)


def cost(host: Json, request: Json, places: list[Place]) -> Cost:
    """Of an assignment. Which of equal guest cells has the emulator's pCPU makes no difference."""
    carriers = [at for at, place in enumerate(places) if place.emulator is not None]
    home = min((_first_alike(request["cells"], at) for at in carriers), default=0)
    sign = 1 if host.get("packing") == "pack" else -1
    kinds = zip(*(place.left for place in places), strict=True)
    broken, domains = sum(p.broken for p in places), sum(p.domains for p in places)
    return broken, domains, home, *(sign * sum(amounts) for amounts in kinds)


def _first_alike(wanted: list[Json], at: int) -> int:
    def sizes(cell: Json) -> tuple[int, int, int]:
        return len(cell["shared"]), len(cell["dedicated"]), cell["memory_mb"]

    return [sizes(cell) for cell in wanted].index(sizes(wanted[at]))


def left(host: Json, cell: Cell, request: Json, wanted: Json, carries_emulator: bool) -> Left:
    """What is left of the kinds that a guest cell needs, on a host cell that takes it."""
    pool = pools_for(host, cell, request, wanted["memory_mb"])[0]
    beside_mb = floating_part_mb(host, cell) if pool.is_base else 0
    return (
        len(cell.free) if wanted["dedicated"] or carries_emulator else 0,
        rules.shared_left_beside_floating(host, cell) if wanted["shared"] else 0,
        max(0, left_kb(host, pool, request) // 1024 - beside_mb),
    )


def _assignments(host: Json, cells: list[Cell], request: Json) -> Iterator[list[Place]]:
    """Each guest cell on a host cell of its own, and the emulator pCPU in any one of them."""
    guests = range(len(request["cells"]))
    carriers = list(guests) if rules.isolates_emulator(request) else [None]
    best = {
        (g, h, carries): _best_place(host, cell, request, g, carries)
        for g in guests
        for h, cell in enumerate(cells)
        for carries in (False, True)
        if not carries or rules.isolates_emulator(request)
    }
    for order in permutations(range(len(cells)), len(guests)):
        for carrier in carriers:
            places = [best[g, h, g == carrier] for g, h in enumerate(order)]
            found = [place for place in places if place is not None]
            if len(found) == len(places) and not rules.beside_floating_faults(
                host, cells, request, [place.pool for place in found]
            ):
                yield found


def _best_place(
    host: Json, cell: Cell, request: Json, guest: int, carries_emulator: bool
) -> Place | None:
    """The place of this guest cell on this host cell that costs least."""
    wanted = request["cells"][guest]
    if not _holds_the_rest(host, cell, request, wanted):
        return None
    pool = pools_for(host, cell, request, wanted["memory_mb"])[0]
    rest = pool, left(host, cell, request, wanted, carries_emulator)
    pinned = _pinned(cell, len(wanted["dedicated"]), request["thread_policy"], carries_emulator)
    places = (
        Place(*_harm(cell, pins, emulator), cell.id, pins, emulator, *rest)
        for pins, emulator in pinned
    )
    return min(places, key=lambda place: (place.broken, place.domains), default=None)


def _holds_the_rest(host: Json, cell: Cell, request: Json, wanted: Json) -> bool:
    """All but the pins: shared vCPUs and memory."""
    return not rules.shared_faults(host, cell, len(wanted["shared"])) and not rules.memory_faults(
        host, cell, request, wanted["memory_mb"]
    )


def _harm(cell: Cell, pins: frozenset[int], emulator: int | None) -> tuple[int, int]:
    """Whole cores broken, and further L3 domains touched."""
    taken = pins if emulator is None else pins | {emulator}
    return rules.broken_cores(cell, taken), rules.further_domains(cell, pins, taken)


def _pinned(
    cell: Cell, dedicated: int, thread_policy: str | None, carries_emulator: bool
) -> Iterator[tuple[frozenset[int], int | None]]:
    """Every choice of pins, and of the emulator pCPU, that the rules allow in this cell."""
    for chosen in combinations(sorted(cell.free), dedicated):
        pins = frozenset(chosen)
        if rules.pin_faults(cell, pins, thread_policy):
            continue
        for emulator in sorted(cell.free - pins) if carries_emulator else [None]:
            if emulator is None or not rules.emulator_faults(cell, pins, emulator, thread_policy):
                yield pins, emulator
