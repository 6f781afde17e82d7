"""The exhaustive search is right by itself: cases small enough to see the answer."""

from itertools import islice

import pytest

from .checker import check
from .exhaustive import best_broken, best_cost, best_places, fits
from .facts import Json, format_cpus, parse_cpus
from .generate import cases, unequal_cases
from .layouts import layout_of
from .nova_cases import NOVA_CASES, NovaCase


def host_of(*cells: list[str], pinned: str = "", shared: str = "") -> Json:
    """A host with cells of these sibling groups; what is not shared is dedicated."""
    forms, every = [], set[int]()
    for index, siblings in enumerate(cells):
        cpus = parse_cpus(",".join(siblings))
        every |= cpus
        form = {"id": index, "memory_mb": 64, "cpus": format_cpus(cpus), "siblings": siblings}
        forms.append(form | {"pinned": format_cpus(cpus & parse_cpus(pinned))})
    return {
        "name": "h1",
        "service_version": 2,
        "cpu_shared_set": shared,
        "cpu_dedicated_set": format_cpus(every - parse_cpus(shared)),
        "cpu_allocation_ratio": 1.0,
        "ram_allocation_ratio": 1.0,
        "cells": forms,
    }


def guest_of(
    *sizes: tuple[int, int], threads: str | None = None, emulator: str | None = None
) -> Json:
    """A guest with cells of so many (shared, dedicated) vCPUs."""
    names = iter(range(100))
    return {
        "policy": "mixed" if any(shared for shared, _ in sizes) else "dedicated",
        "thread_policy": threads,
        "emulator_threads_policy": emulator,
        "page_size": None,
        "vcpus": sum(shared + dedicated for shared, dedicated in sizes),
        "memory_mb": len(sizes),
        "realtime": [],
        "cells": [
            {
                "shared": list(islice(names, shared)),
                "dedicated": list(islice(names, dedicated)),
                "memory_mb": 1,
            }
            for shared, dedicated in sizes
        ],
    }


@pytest.mark.parametrize("case", NOVA_CASES, ids=lambda case: case.name)
def test_the_truth_where_nova_goes_wrong(case: NovaCase) -> None:
    assert fits(case.host, case.request) is case.fits


PAIRS = ["0-1", "2-3", "4-5"]
QUADS = ["0-3", "4-7"]
SINGLES = ["0", "1", "2"]

# name, host, guest, whole cores broken at best (None: does not fit)
BROKEN: list[tuple[str, Json, Json, int | None]] = [
    ("two vCPUs take one core", host_of(PAIRS), guest_of((0, 2)), 0),
    ("an odd vCPU breaks a core", host_of(PAIRS), guest_of((0, 3)), 1),
    ("an odd vCPU takes the lone thread", host_of(PAIRS, pinned="5"), guest_of((0, 3)), 0),
    ("the emulator fills the core", host_of(PAIRS), guest_of((0, 3), emulator="isolate"), 0),
    ("seven do not fit in six", host_of(PAIRS), guest_of((0, 7)), None),
    ("nor six with an emulator", host_of(PAIRS), guest_of((0, 6), emulator="isolate"), None),
    ("nor seven over two cells", host_of(QUADS, ["8-9"]), guest_of((0, 4), (0, 3)), None),
    ("single CPUs cannot be broken", host_of(SINGLES), guest_of((0, 2)), 0),
    (
        "the emulator goes to the other cell rather than break a core",
        host_of(["0-1"], ["2-3"]),
        guest_of((0, 2), (0, 1), emulator="isolate"),
        0,
    ),
    (
        "the emulator goes to a cell without dedicated vCPUs",
        host_of(["0-1"], ["2-3", "4"], pinned="3", shared="4"),
        guest_of((0, 2), (1, 0), emulator="isolate"),
        0,
    ),
    (
        "the emulator goes to none but a chosen cell",
        host_of(["0-1"], ["2-3"]),
        guest_of((0, 2), emulator="isolate"),
        None,
    ),
    ("require: a pair", host_of(PAIRS), guest_of((0, 2), threads="require"), 0),
    ("require: a leftover", host_of(PAIRS), guest_of((0, 3), threads="require"), 1),
    ("require: one alone", host_of(PAIRS), guest_of((0, 1), threads="require"), 1),
    (
        "require: no lone thread for the leftover",
        host_of(PAIRS, pinned="3,5"),
        guest_of((0, 3), threads="require"),
        None,
    ),
    (
        "require: no two lone threads",
        host_of(PAIRS, pinned="1,3,5"),
        guest_of((0, 2), threads="require"),
        None,
    ),
    (
        "require: the emulator may have a lone thread",
        host_of(PAIRS, pinned="3,4-5"),
        guest_of((0, 2), threads="require", emulator="isolate"),
        0,
    ),
    (
        "require: the emulator may have the leftover's second thread",
        host_of(PAIRS, pinned="4-5"),
        guest_of((0, 3), threads="require", emulator="isolate"),
        0,
    ),
    ("require: never without SMT", host_of(SINGLES), guest_of((0, 2), threads="require"), None),
    ("require: three of one core", host_of(QUADS), guest_of((0, 3), threads="require"), 1),
    (
        "require: three and two of two cores",
        host_of(QUADS, pinned="0,4"),
        guest_of((0, 5), threads="require"),
        0,
    ),
    ("isolate: a core each", host_of(PAIRS), guest_of((0, 3), threads="isolate"), 3),
    ("isolate: four on three", host_of(PAIRS), guest_of((0, 4), threads="isolate"), None),
    (
        "isolate: the emulator has a core too",
        host_of(PAIRS),
        guest_of((0, 2), threads="isolate", emulator="isolate"),
        3,
    ),
    (
        "isolate: and needs one",
        host_of(PAIRS),
        guest_of((0, 3), threads="isolate", emulator="isolate"),
        None,
    ),
    (
        "isolate: single CPUs first",
        host_of([*PAIRS, "6"]),
        guest_of((0, 2), threads="isolate"),
        1,
    ),
    (
        "isolate: a half pinned core is no whole core",
        host_of(PAIRS, pinned="0"),
        guest_of((0, 3), threads="isolate"),
        None,
    ),
    (
        "shared vCPUs need a shared CPU each",
        host_of(PAIRS, shared="0-1"),
        guest_of((3, 1)),
        None,
    ),
    ("a half shared core cannot be broken", host_of(PAIRS, shared="0"), guest_of((1, 1)), 0),
    ("more guest cells than host cells", host_of(PAIRS), guest_of((0, 1), (0, 1)), None),
    (
        "the odd cell goes where its lone thread is",
        host_of(["0-1"], ["2-3"], pinned="2"),
        guest_of((0, 1), (0, 2)),
        0,
    ),
]


@pytest.mark.parametrize(
    ("host", "guest", "broken"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_the_fewest_whole_cores_are_broken(host: Json, guest: Json, broken: int | None) -> None:
    assert best_broken(host, guest) == broken
    assert fits(host, guest) is (broken is not None)


# name, L3 domains, guest, whole cores broken and further domains touched at best
DOMAINS: list[tuple[str, list[str], Json, tuple[int, int]]] = [
    ("two in one", ["0-1", "2-5"], guest_of((0, 4)), (0, 0)),
    ("six in two", ["0-1", "2-5"], guest_of((0, 6)), (0, 1)),
    ("and in three", ["0-1", "2-3", "4-5"], guest_of((0, 6)), (0, 2)),
    ("those that none names are one more", ["0-1"], guest_of((0, 6)), (0, 1)),
    ("nothing is known", [], guest_of((0, 6)), (0, 0)),
    ("the emulator counts", ["0-1", "2-5"], guest_of((0, 4), emulator="isolate"), (1, 1)),
    ("isolate", ["0-1", "2-5"], guest_of((0, 3), threads="isolate"), (3, 1)),
]


@pytest.mark.parametrize("row", DOMAINS, ids=lambda row: row[0])
def test_the_fewest_domains_are_touched(row: tuple[str, list[str], Json, tuple[int, int]]) -> None:
    host = host_of(PAIRS)
    host["cells"][0]["l3"] = row[1]
    best = best_cost(host, row[2])
    assert best is not None
    assert best[:2] == row[3]


def test_a_host_of_service_version_1_takes_no_mixed_guest() -> None:
    old = host_of(PAIRS, shared="0") | {"service_version": 1}
    assert not fits(old, guest_of((1, 1)))
    assert fits(old, guest_of((0, 1)))


def test_what_the_search_finds_is_sound() -> None:
    """Search and checker come to the same rules from two sides."""
    for host, _, _, request in [*cases(1, 1500), *unequal_cases(1, 50)]:
        places = best_places(host, request)
        if places is not None:
            assert check(host, request, layout_of(host, request, places)) == [], (host, request)


def test_about_half_of_the_cases_fit() -> None:
    fitting = [fits(host, request) for host, _, _, request in cases(2, 1500)]
    assert 0.4 < sum(fitting) / len(fitting) < 0.6


def test_the_cases_are_the_same_for_the_same_seed() -> None:
    assert list(cases(3, 50)) == list(cases(3, 50)) != list(cases(4, 50))
