"""L3 domains: as few as can be, where they are known, and nothing else changes where they are not.

`reference/test_fit.py` compares this with an exhaustive search too, on hosts of several cells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdsvc.errors import DoesNotFit
from mdsvc.fitting.cores import Cores
from mdsvc.fitting.demand import Demand, fits
from mdsvc.fitting.l3 import joined
from mdsvc.fitting.vacancy import Vacancy, broken, pick, ranked, spanned, vacancies
from mdsvc.forms import to_json
from mdsvc.layout import Layout, fit
from mdsvc.policy.flavor import Request, ThreadPolicy
from mdsvc.topology import MAX_L3
from tests.promptly import promptly
from tests.reference.facts import Json, cells_of, format_cpus
from tests.reference.generate import Case
from tests.reference.rules import broken_cores, emulator_faults, further_domains, pin_faults
from tests.strategies import QUICK, THOROUGH, all_cases, asked, host_of, request_of

POLICIES: list[ThreadPolicy | None] = [None, "prefer", "require", "isolate"]


def cell_of(*domains: str, pinned: str = "", **more: Any) -> Json:
    """A cell with these domains, each of cores that are parted by blanks."""
    cores = [core for domain in domains for core in domain.split()]
    l3 = [",".join(domain.split()) for domain in domains]
    cpus = ",".join(cores)
    form = {"id": 0, "memory_mb": 4096, "cpus": cpus, "siblings": cores, "l3": l3, "pinned": pinned}
    return form | more


def host_form(*cells: Json, **more: Any) -> Json:
    dedicated = ",".join(cell["cpus"] for cell in cells)
    sets = {"cpu_shared_set": "", "cpu_dedicated_set": dedicated}
    return {"name": "h1", "cells": list(cells), **sets, **more}


def epyc(cells: int = 1) -> Json:
    """Cells of 96 cores of two threads in 12 L3 domains, numbered as Linux does."""
    forms = []
    for at in range(cells):
        cores = [f"{core},{core + 96 * cells}" for core in range(96 * at, 96 * at + 96)]
        ccds = (" ".join(cores[ccd : ccd + 8]) for ccd in range(0, 96, 8))
        forms.append(cell_of(*ccds, id=at))
    return host_form(*forms)


def dedicated(vcpus: int, nodes: int = 1, **specs: object) -> Any:
    extra = {f"hw:{key}": value for key, value in specs.items()}
    return asked({"hw:cpu_policy": "dedicated", "hw:numa_nodes": nodes, **extra}, vcpus=vcpus)


def touched(form: Json, layout: Layout) -> int:
    """How many L3 domains the layout's pCPUs are in."""
    taken = {pcpu for cell in layout.cells for pcpu in cell.pcpus}
    return sum(bool(domain & taken) for cell in cells_of(form) for domain in cell.l3)


# ---- the machine that this is for ----


def test_16_vcpus_on_a_cell_of_an_epyc_9654_are_in_one_of_its_12_domains() -> None:
    layout = fit(host_of(epyc()), dedicated(16))
    assert str(layout.cells[0].pcpus) == "0-7,96-103"


@pytest.mark.parametrize(("vcpus", "domains"), [(1, 1), (15, 1), (17, 2), (32, 2), (192, 12)])
def test_an_empty_epyc_gives_no_more_domains_than_are_needed(vcpus: int, domains: int) -> None:
    assert touched(epyc(), fit(host_of(epyc()), dedicated(vcpus))) == domains


def test_an_epyc_where_each_domain_has_three_cores_left_needs_three_for_16_vcpus() -> None:
    form = epyc()
    busy = [core for ccd in range(0, 96, 8) for core in range(ccd, ccd + 5)]
    form["cells"][0]["pinned"] = format_cpus([*busy, *(core + 96 for core in busy)])
    assert touched(form, fit(host_of(form), dedicated(16))) == 3


def test_the_cell_that_takes_it_in_one_domain_comes_before_the_emptiest() -> None:
    form = epyc(2)
    scattered = [core for ccd in range(0, 96, 8) for core in (ccd, ccd + 192)]
    form["cells"][0]["pinned"] = format_cpus(scattered)
    form["cells"][1]["pinned"] = format_cpus([*range(104, 192), *range(296, 384)])
    layout = fit(host_of(form), dedicated(16))
    assert (layout.cells[0].host_cell, touched(form, layout)) == (1, 1)


# ---- which of several domains ----

PAIRS = "0-1 2-3 4-5"
MORE = "6-7 8-9 10-11"
# The claim, the domains, what is pinned, thread policy, vCPUs and emulator pCPU, and what is taken.
Row = tuple[str, tuple[str, ...], str, ThreadPolicy | None, int, int, str]
TAKEN: list[Row] = [
    ("the lowest of those that are alike", (PAIRS, MORE), "", None, 4, 0, "0-3"),
    ("the fullest that suffices", (PAIRS, MORE), "6-7", None, 4, 0, "8-11"),
    ("not one that does not suffice", (PAIRS, MORE), "6-9", None, 4, 0, "0-3"),
    ("pairs stay on whole cores", (PAIRS, MORE), "6,8,10", None, 2, 0, "0-1"),
    ("an odd one takes a loose thread", (PAIRS, MORE), "8,10-11", None, 3, 0, "6-7,9"),
    ("which may need another domain", (PAIRS, "6-7 8-9", "10-11"), "10", None, 3, 0, "0-1,11"),
    ("fewer domains than cores that break", (PAIRS, MORE), "", None, 3, 0, "0-2"),
    ("the emulator is with the vCPUs", (PAIRS, MORE), "6", None, 3, 1, "8-11"),
    ("require: a lone thread is of no use", (PAIRS, MORE), "6,8,10", "require", 3, 0, "0-2"),
    ("require: but to the emulator", (PAIRS, MORE), "0,6,8", "require", 2, 1, "7,10-11"),
    ("isolate: cores of its own", (PAIRS, MORE), "0,6-7", "isolate", 2, 0, "8,10"),
    ("isolate: single CPUs first", ("0-1 2-3 4-5", "6-7 8"), "", "isolate", 2, 0, "6,8"),
    ("all but one, and the fullest", (PAIRS, MORE, "12-13"), "", None, 8, 0, "0-5,12-13"),
]


def vacancy_of(form: Json) -> Vacancy:
    return vacancies(host_of(host_form(form)))[0]


@pytest.mark.parametrize("row", TAKEN, ids=lambda row: row[0])
def test_which_domains_are_taken(row: Row) -> None:
    _, domains, pinned, policy, vcpus, reserved, taken = row
    vacancy = vacancy_of(cell_of(*domains, pinned=pinned))
    picked = pick(vacancy, policy, vcpus, reserved)
    emulator = {cpu for cpu in vacancy.cell.cpus if picked.reserved >> cpu & 1}
    assert format_cpus({*picked.pcpus, *emulator}) == taken
    assert len(emulator) == reserved


def sized(*domains: str) -> Json:
    """A cell of domains of cores: `43 4` is a core of four threads with three of them free, and
    another one of four that are all free.
    """
    texts: list[str] = []
    pinned: list[int] = []
    first = 0
    for domain in domains:
        cores = []
        for core in domain.split():
            size, free = int(core[0]), int(core[-1])
            cores.append(format_cpus(range(first, first + size)))
            pinned += range(first + free, first + size)
            first += size
        texts.append(" ".join(cores))
    return cell_of(*texts, pinned=format_cpus(pinned))


# The claim, the domains, thread policy, vCPUs and emulator pCPU, and which of the domains.
SUMS: list[tuple[str, tuple[str, ...], ThreadPolicy | None, int, int, set[int]]] = [
    ("loose threads of both", ("4 4 4 4", "4 4 4 41", "4 4 42"), None, 23, 0, {1, 2}),
    ("the emulator on the lone", ("4 4 4 4", "4 4 4 41", "4 4 42"), "require", 22, 1, {1, 2}),
    ("3 and 4 are 7", ("5 5 5", "3 3", "4"), None, 7, 0, {1, 2}),
    ("nothing but all of it", ("5", "3", "4"), None, 12, 0, {0, 1, 2}),
    ("no such sum, so the fullest", ("5 5 5", "3 3 3"), None, 7, 0, {1}),
]


@pytest.mark.parametrize("row", SUMS, ids=lambda row: row[0])
def test_domains_that_only_together_break_no_core_are_found(row: Any) -> None:
    """The largest domains do not have the right threads."""
    _, domains, policy, vcpus, reserved, expected = row
    form = sized(*domains)
    picked = pick(vacancy_of(form), policy, vcpus, reserved)
    taken = {*picked.pcpus, *(cpu for cpu in range(99) if picked.reserved >> cpu & 1)}
    [cell] = cells_of(host_form(form))
    assert {at for at, domain in enumerate(cell.l3) if domain & taken} == expected
    cost(vacancy_of(form), policy, vcpus, reserved)


@pytest.mark.parametrize(("known", "home"), [(True, 1), (False, 0)])
def test_an_isolated_emulator_goes_where_it_touches_no_further_domain(
    known: bool, home: int
) -> None:
    """Else it would be in the first guest cell, which has shared vCPUs alone."""
    cells = [cell_of("0-1 2-3 4-5", id=0), cell_of("6-7 8-9 10-11", id=1)]
    specs: dict[str, object] = {
        "hw:cpu_policy": "mixed",
        "hw:cpu_dedicated_mask": "1-2",
        "hw:emulator_threads_policy": "isolate",
        "hw:numa_nodes": 2,
        "hw:numa_cpus.0": "0",
        "hw:numa_cpus.1": "1-2",
        "hw:numa_mem.0": 1,
        "hw:numa_mem.1": 1,
    }
    sets = {"cpu_shared_set": "0-1,6-7", "cpu_dedicated_set": "2-5,8-11"}
    form = host_form(*(cell if known else cell | {"l3": []} for cell in cells), **sets)
    layout = fit(host_of(form), asked(specs, vcpus=3, memory_mb=2))
    assert [bool(cell.cpuset_reserved) for cell in layout.cells].index(True) == home


# ---- against trying everything ----


@st.composite
def small_cells(draw: st.DrawFn) -> Json:
    """Up to ten CPUs in up to five domains, on cores of any size, some of them pinned."""
    sizes = draw(st.lists(st.sampled_from([1, 2, 2, 3, 4]), min_size=1, max_size=6))
    random = Random(draw(st.integers(0, 2**32)))
    domains: dict[int, list[str]] = {}
    first = 0
    for size in sizes:
        if first + size <= 10:
            core = format_cpus(range(first, first + size))
            domains.setdefault(random.randrange(5), []).append(core)
            first += size
    pinned = draw(st.sets(st.integers(0, first - 1), max_size=3))
    return cell_of(*map(" ".join, domains.values()), pinned=format_cpus(pinned))


@THOROUGH
@given(small_cells(), st.integers(1, 6), st.sampled_from(POLICIES), st.integers(0, 1))
def test_what_is_picked_is_in_as_few_domains_as_any_choice_is(
    form: Json, vcpus: int, policy: ThreadPolicy | None, reserved: int
) -> None:
    """Of those that break the fewest cores."""
    [cell] = cells_of(host_form(form))
    best = min(
        (
            (broken_cores(cell, taken), further_domains(cell, pins, taken))
            for pins in map(frozenset, combinations(sorted(cell.free), vcpus))
            if not pin_faults(cell, pins, policy)
            for emulator in (sorted(cell.free - pins) if reserved else [None])
            if emulator is None or not emulator_faults(cell, pins, emulator, policy)
            for taken in [pins if emulator is None else pins | {emulator}]
        ),
        default=None,
    )
    vacancy = vacancy_of(form)
    assert fits(demand(vcpus, policy, reserved), vacancy) is (best is not None)
    if best is not None:
        assert cost(vacancy, policy, vcpus, reserved) == best


def demand(vcpus: int, policy: ThreadPolicy | None, reserved: int) -> Demand:
    return Demand(
        dedicated=vcpus,
        reserved=reserved,
        shared=0,
        memory_mb=1,
        threads=policy,
        page_size=None,
        overcommits=False,
    )


def cost(
    vacancy: Vacancy, policy: ThreadPolicy | None, vcpus: int, reserved: int
) -> tuple[int, int]:
    """What the picked pCPUs cost, as the reference counts it; it must be what was said before."""
    [cell] = cells_of(host_form(form_of(vacancy)))
    picked = pick(vacancy, policy, vcpus, reserved)
    pins = frozenset(picked.pcpus)
    taken = pins | {cpu for cpu in cell.free if picked.reserved >> cpu & 1}
    assert len(taken) == vcpus + reserved
    found = broken_cores(cell, taken), further_domains(cell, pins, taken)
    assert found == (
        broken(vacancy, policy, vcpus, reserved),
        spanned(vacancy, policy, vcpus, reserved) - 1,
    )
    return found


def form_of(vacancy: Vacancy) -> Json:
    form: Json = json.loads(to_json(vacancy.cell))
    return form


@st.composite
def large_cells(draw: st.DrawFn) -> Json:
    """Up to seven domains of up to eight cores, of one size or of several, about half pinned."""
    random = Random(draw(st.integers(0, 2**32)))
    sizes = draw(st.sampled_from([(1,), (2,), (2, 2, 1), (3,), (4,), (4, 2), (8,), (5, 3, 2)]))
    busy = draw(st.sampled_from([0.0, 0.03, 0.1, 0.5]))
    domains, first = [], 0
    for _ in range(random.randint(2, 7)):
        cores = []
        for _ in range(random.randint(1, 8)):
            size = random.choice(sizes)
            cores.append(format_cpus(range(first, first + size)))
            first += size
        domains.append(" ".join(cores))
    pinned = [cpu for cpu in range(first) if random.random() < busy]
    return cell_of(*domains, pinned=format_cpus(pinned))


@settings(max_examples=400, deadline=None)
@given(large_cells(), st.integers(1, 200), st.sampled_from(POLICIES), st.integers(0, 1))
def test_no_fewer_domains_would_do(
    form: Json, vcpus: int, policy: ThreadPolicy | None, reserved: int
) -> None:
    """Every choice of domains is tried, as if it was a cell of its own."""
    vacancy = vacancy_of(form)
    vcpus = 1 + vcpus % max(1, vacancy.free)
    if not fits(demand(vcpus, policy, reserved), vacancy):
        return
    cores, domains = cost(vacancy, policy, vcpus, reserved)
    for fewer in combinations(vacancy.domains, domains):
        alone = vacancy_of(form | {"pinned": format_cpus(_others(vacancy, fewer))})
        if fewer and fits(demand(vcpus, policy, reserved), alone):
            assert broken(alone, policy, vcpus, reserved) > cores


def _others(vacancy: Vacancy, domains: Sequence[Cores]) -> set[int]:
    """The CPUs that are not free in these domains."""
    free = {cpu for cpu in vacancy.cell.cpus if joined(domains).free_mask >> cpu & 1}
    return {*vacancy.cell.cpus} - free


def test_the_most_domains_that_a_cell_can_have_are_searched_at_once() -> None:
    """With cores of unequal sizes, which take longest, and few threads on cores that are used."""
    random, cores, first = Random(1), [], 0
    while first < 7000:
        size = random.choice([3, 4, 5, 8])
        cores.append(format_cpus(range(first, first + size)))
        first += size
    count = len(cores) // MAX_L3
    domains = [" ".join(cores[at : at + count]) for at in range(0, count * MAX_L3, count)]
    vacancy = vacancy_of(cell_of(*domains, pinned="0"))
    with promptly():
        assert spanned(vacancy, None, 3333, 0) < MAX_L3


# ---- where it is not known ----


@QUICK
@given(all_cases())
def test_a_cell_of_one_domain_is_as_one_whose_domains_are_not_known(case: Case) -> None:
    form, flavor, image, _ = case
    wanted = request_of(flavor, image)
    if wanted.isolated_emulator:
        return  # which avoids a domain that is known
    one = [cell | {"l3": [cell["cpus"]] if cell["cpus"] else []} for cell in form["cells"]]
    none = [{key: cell[key] for key in cell if key != "l3"} for cell in form["cells"]]
    layouts = [tried(form | {"cells": cells}, wanted) for cells in (one, none)]
    assert layouts[0] == layouts[1]


def tried(form: Json, wanted: Request) -> Layout | None:
    try:
        return fit(host_of(form), wanted)
    except DoesNotFit:
        return None


def test_rooms_that_differ_in_their_domains_alone_are_ranked_apart_from_labels() -> None:
    split, one = cell_of("0-1", "2-3", id=0), cell_of("4-5 6-7", id=1)
    other = cell_of("0-1 2-3", id=0), cell_of("4-5", "6-7", id=1)
    orders = [
        [vacancy.l3 for vacancy in ranked(host_of(host_form(*cells)))]
        for cells in ((split, one), other)
    ]
    assert orders[0] == orders[1]
