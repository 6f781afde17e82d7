"""The free part of a host cell, and which of its pCPUs a guest cell takes."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.fitting import picking
from mdsvc.fitting.demand import Demand, fits
from mdsvc.fitting.vacancy import Vacancy, broken, pick, ranked, vacancies
from mdsvc.policy.flavor import ThreadPolicy
from tests.reference.facts import Json, format_cpus
from tests.strategies import QUICK, THOROUGH, grid, host_of

POLICIES: list[ThreadPolicy | None] = [None, "prefer", "require", "isolate"]


def vacancy_of(
    *siblings: str, pinned: str = "", dedicated: str | None = None, split: str = ""
) -> Vacancy:
    """The vacancy of a host with one cell of these cores."""
    cpus = ",".join(siblings)
    cell = {"id": 0, "memory_mb": 64, "cpus": cpus, "siblings": list(siblings)}
    cell |= {"pinned": pinned, "split": split}
    form = {"name": "h", "cells": [cell], "cpu_dedicated_set": dedicated or cpus}
    return vacancies(host_of(form))[0]


def demand(vcpus: int, policy: ThreadPolicy | None, reserved: int = 0) -> Demand:
    return Demand(
        dedicated=vcpus,
        reserved=reserved,
        shared=0,
        memory_mb=1,
        threads=policy,
        page_size=None,
        overcommits=False,
    )


@st.composite
def small_rooms(draw: st.DrawFn) -> Vacancy:
    """Up to four cores of up to four threads, some of them pinned."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    siblings, first = [], 0
    for size in sizes:
        siblings.append(format_cpus(range(first, first + size)))
        first += size
    pinned = draw(st.sets(st.integers(0, first - 1), max_size=4))
    return vacancy_of(*siblings, pinned=format_cpus(pinned))


def cores_of(vacancy: Vacancy) -> list[tuple[set[int], set[int]]]:
    """Each core, and its free threads."""
    free = {cpu for left in (*vacancy.whole, *vacancy.loose) for cpu in _bits(left)}
    return [(set(core), set(core) & free) for core in vacancy.cell.cores]


def _bits(mask: int) -> set[int]:
    return {bit for bit in range(mask.bit_length()) if mask >> bit & 1}


# ---- what is free ----


def test_whole_cores_and_loose_threads() -> None:
    vacancy = vacancy_of("0-1", "2-3", "4", "5-8", pinned="3,5", dedicated="0-4,6-8")
    assert [_bits(core) for core in vacancy.whole] == [{0, 1}]
    assert [_bits(left) for left in vacancy.loose] == [{4}, {2}, {6, 7, 8}]
    assert vacancy.free == 7
    assert vacancy.isolated == 2
    assert vacancy.pairable == 5


def test_a_split_thread_is_loose_and_no_core_of_its_own() -> None:
    vacancy = vacancy_of("0-1", "2", "3", "4", pinned="4", split="3-4")
    assert (vacancy.free, vacancy.isolated, vacancy.singles, vacancy.pairable) == (4, 2, 1, 2)
    assert vacancy.single_cpus == [2]
    assert [_bits(left) for left in vacancy.loose] == [{3}, {2}], "what isolate may take comes last"


def test_an_overfull_cell_has_nothing_less_than_nothing() -> None:
    cell = {"id": 0, "memory_mb": 64, "cpus": "0", "shared_used": 99, "memory_used_mb": 99}
    vacancy = vacancies(host_of({"name": "h", "cells": [cell], "cpu_shared_set": "0"}))[0]
    assert vacancy.shared_left == vacancy.shared_most == 0
    [base] = vacancy.pools
    assert base.free_kb == base.left_kb == base.most_kb == 0


def test_the_overcommit_ratio_never_lets_a_guest_overcommit_against_itself() -> None:
    form = grid(1, 4, shared=4, cpu_allocation_ratio=16.0, ram_allocation_ratio=2.0)
    vacancy = vacancies(host_of(form))[0]
    [base] = vacancy.pools
    assert (vacancy.shared_most, base.most_kb) == (4, 16384 * 1024)
    assert (vacancy.shared_left, base.left_kb) == (64, 2 * 16384 * 1024)


def test_rooms_are_ranked_by_what_is_free_and_then_by_id() -> None:
    form = grid(4, 4)
    form["cells"][1]["pinned"] = "4"
    form["cells"].reverse()
    assert [vacancy.cell.id for vacancy in ranked(host_of(form))] == [1, 0, 2, 3]


# ---- what is taken ----


@THOROUGH
@given(small_rooms(), st.integers(1, 8), st.sampled_from(POLICIES), st.integers(0, 1))
def test_what_is_picked_is_free_and_breaks_as_few_cores_as_was_said(
    vacancy: Vacancy, vcpus: int, policy: ThreadPolicy | None, reserved: int
) -> None:
    if not fits(demand(vcpus, policy, reserved), vacancy):
        return
    picked = pick(vacancy, policy, vcpus, reserved)
    emulator = _bits(picked.reserved)
    taken = {*picked.pcpus, *emulator}
    assert len(picked.pcpus) == vcpus
    assert len(emulator) == reserved
    assert len(taken) == vcpus + reserved
    cores = cores_of(vacancy)
    assert taken <= {cpu for _, free in cores for cpu in free}
    harmed = [core for core, free in cores if core == free and len(core) > 1 and taken & core]
    assert sum(not core <= taken for core in harmed) == broken(vacancy, policy, vcpus, reserved)
    if policy == "isolate":
        assert all(
            len(taken & core) <= 1 and (not taken & core or core == free) for core, free in cores
        )
    if policy == "require":
        lone = [len(free) for core, free in cores if len(set(picked.pcpus) & core) == 1]
        assert len(lone) <= 1
        assert all(size > 1 for size in lone)


@QUICK
@given(small_rooms(), st.integers(1, 6))
def test_prefer_breaks_as_few_whole_cores_as_any_choice_does(vacancy: Vacancy, vcpus: int) -> None:
    cores = cores_of(vacancy)
    free = sorted(cpu for _, left in cores for cpu in left)
    if vcpus > len(free):
        return
    whole = [core for core, left in cores if core == left and len(core) > 1]
    best = min(
        sum(bool(core & set(choice)) and not core <= set(choice) for core in whole)
        for choice in combinations(free, vcpus)
    )
    assert broken(vacancy, None, vcpus, 0) == best


@pytest.mark.parametrize(
    ("vacancy", "policy", "counts", "pcpus", "emulator"),
    [
        (vacancy_of("0", "1", "2", "3"), None, (3, 0), (0, 1, 2), set()),
        (vacancy_of("0-1", "2-3", "4-5"), None, (4, 0), (0, 1, 2, 3), set()),
        (vacancy_of("0-1", "2-3", "4-5"), None, (3, 0), (0, 1, 2), set()),
        (vacancy_of("0-1", "2-3", "4-5", pinned="0"), None, (3, 0), (2, 3, 1), set()),
        (vacancy_of("0-1", "2-3", "4-5"), None, (3, 1), (0, 1, 2), {3}),
        (vacancy_of("0-1", "2-3", "4-5"), "isolate", (2, 1), (0, 2), {4}),
        (vacancy_of("0-1", "2-3", "4"), "isolate", (2, 0), (4, 0), set()),
        (vacancy_of("0", "1-2", "3", split="0"), "isolate", (2, 0), (3, 1), set()),
        (vacancy_of("0-1", "2", "3", split="3"), None, (1, 0), (3,), set()),
        (vacancy_of("0-1", "2", "3", split="3"), None, (2, 1), (0, 1), {3}),
        (vacancy_of("0-3", "4-7", pinned="0,4-5"), "require", (3, 0), (1, 2, 3), set()),
        (vacancy_of("0-3", "4-5", "6-7"), None, (4, 0), (4, 5, 6, 7), set()),
        (vacancy_of("0-3", "4-7", pinned="0"), None, (2, 0), (1, 2), set()),
        (vacancy_of("0-3", "4-7", pinned="0,4-5"), None, (2, 0), (6, 7), set()),
    ],
)
def test_which_pcpus_are_taken(
    vacancy: Vacancy,
    policy: ThreadPolicy | None,
    counts: tuple[int, int],
    pcpus: tuple[int, ...],
    emulator: set[int],
) -> None:
    picked = pick(vacancy, policy, *counts)
    assert picked.pcpus == pcpus
    assert _bits(picked.reserved) == emulator


NOT_FITTING: list[tuple[Vacancy, ThreadPolicy | None, int, int]] = [
    (vacancy_of("0-1"), None, 3, 0),
    (vacancy_of("0-1"), None, 2, 1),
    (vacancy_of("0", "1"), "require", 1, 0),
    (vacancy_of("0-1", "2-3", pinned="0,2"), "require", 2, 0),
    (vacancy_of("0-1", "2-3"), "isolate", 3, 0),
    (vacancy_of("0-1", "2-3", pinned="0"), "isolate", 2, 0),
    (vacancy_of("0-1", "2-3", dedicated="0,2-3"), "isolate", 2, 0),
    (vacancy_of("0-1", "2-3"), "isolate", 2, 1),
    (vacancy_of("0", "1", "2", split="0-2"), "isolate", 1, 0),
    (vacancy_of("0", "1-2", split="0"), "isolate", 1, 1),
    (vacancy_of("0", "1", split="0-1"), "require", 1, 0),
]


@pytest.mark.parametrize(("vacancy", "policy", "vcpus", "reserved"), NOT_FITTING)
def test_what_a_room_does_not_have(
    vacancy: Vacancy, policy: ThreadPolicy | None, vcpus: int, reserved: int
) -> None:
    assert not fits(demand(vcpus, policy, reserved), vacancy)


@QUICK
@given(st.lists(st.integers(2, 9), max_size=7), st.integers(0, 30), st.integers(0, 30))
def test_whole_cores_of_odd_sizes_add_up_to_the_most_that_suffices(
    sizes: list[int], low: int, high: int
) -> None:
    sums = {sum(some) for count in range(len(sizes) + 1) for some in combinations(sizes, count)}
    expected = max((total for total in sums if low <= total <= high), default=None)
    assert picking._whole_threads(sorted(sizes), low, high) == expected


def test_the_rooms_of_a_host_are_worked_out_once() -> None:
    form: Json = grid(2, 4)
    host = host_of(form)
    assert vacancies(host) is vacancies(host)
    assert ranked(host) is ranked(host)
    assert host == host_of(form), "which is not seen from outside"
