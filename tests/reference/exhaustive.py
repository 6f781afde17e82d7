"""What a host can take, by trying everything: for small hosts, and plain enough to believe."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

from . import rules
from .facts import Cell, Json, cells_of

Cost = tuple[int, int]
"""Whole cores broken, then further L3 domains touched."""


@dataclass(frozen=True)
class Place:
    """A guest cell on a host cell: the pCPUs it takes, the whole cores that this breaks, and in how
    many more L3 domains than it must it is.
    """

    broken: int
    domains: int
    host_cell: int
    pins: frozenset[int]
    emulator: int | None


def fits(host: Json, request: Json) -> bool:
    """Does any assignment satisfy every rule?"""
    return best_broken(host, request) is not None


def best_broken(host: Json, request: Json) -> int | None:
    """The fewest whole cores that a valid assignment breaks; None where there is no assignment."""
    best = best_cost(host, request)
    return None if best is None else best[0]


def best_cost(host: Json, request: Json) -> Cost | None:
    """The fewest whole cores, and with these the fewest L3 domains; None where it does not fit."""
    places = best_places(host, request)
    return None if places is None else _cost(places)


def best_places(host: Json, request: Json) -> list[Place] | None:
    """One assignment of the least cost, a place for each guest cell."""
    cells = cells_of(host)
    if rules.host_faults(host, request):
        return None
    if not request["cells"]:
        return None if rules.plain_guest_faults(host, cells, request) else []
    return min(_assignments(host, cells, request), key=_cost, default=None)


def _cost(places: list[Place]) -> Cost:
    return sum(place.broken for place in places), sum(place.domains for place in places)


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
            if None not in places:
                yield [place for place in places if place is not None]


def _best_place(
    host: Json, cell: Cell, request: Json, guest: int, carries_emulator: bool
) -> Place | None:
    """The place of this guest cell on this host cell that costs least."""
    wanted = request["cells"][guest]
    if not _holds_the_rest(host, cell, request, wanted):
        return None
    places = _places(cell, len(wanted["dedicated"]), request["thread_policy"], carries_emulator)
    return min(places, key=lambda place: (place.broken, place.domains), default=None)


def _holds_the_rest(host: Json, cell: Cell, request: Json, wanted: Json) -> bool:
    """All but the pins: shared vCPUs, memory and pages."""
    memory_mb, page_size = wanted["memory_mb"], request["page_size"]
    return (
        not rules.shared_faults(host, cell, len(wanted["shared"]))
        and not rules.memory_faults(host, cell, memory_mb, rules.needs_dedicated(request))
        and (page_size is None or bool(rules.page_sizes(cell, page_size, memory_mb)))
    )


def _places(
    cell: Cell, dedicated: int, thread_policy: str | None, carries_emulator: bool
) -> Iterator[Place]:
    """Every choice of pins, and of the emulator pCPU, that the rules allow in this cell."""
    for chosen in combinations(sorted(cell.free), dedicated):
        pins = frozenset(chosen)
        if rules.pin_faults(cell, pins, thread_policy):
            continue
        for emulator in sorted(cell.free - pins) if carries_emulator else [None]:
            if emulator is None:
                taken = pins
            elif rules.emulator_faults(cell, pins, emulator, thread_policy):
                continue
            else:
                taken = pins | {emulator}
            domains = rules.further_domains(cell, pins, taken)
            yield Place(rules.broken_cores(cell, taken), domains, cell.id, pins, emulator)
