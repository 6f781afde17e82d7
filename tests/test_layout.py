"""The fitter: sound on hosts of every size, stable, and blind to labels.

`reference/test_fit.py` compares it with an exhaustive search on small hosts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.errors import DoesNotFit
from mdsvc.forms import to_builtins, to_json
from mdsvc.layout import Layout, fit
from mdsvc.policy.flavor import Request
from mdsvc.topology import Host
from tests.promptly import promptly
from tests.reference.checker import check
from tests.reference.facts import Cell, Json, cells_of, format_cpus, parse_cpus
from tests.reference.generate import Case
from tests.strategies import (
    THOROUGH,
    all_cases,
    asked,
    grid,
    host_of,
    plain,
    request_of,
)


def fitted(host: Host, request: Request) -> Layout | None:
    try:
        return fit(host, request)
    except DoesNotFit:
        return None


def form_of(layout: Layout) -> Json:
    form: Json = json.loads(to_json(layout))
    return form


def assert_sound(host: Json, request: Request, layout: Layout) -> None:
    full: Json = json.loads(to_json(host_of(host)))
    assert check(full, plain(request), form_of(layout)) == []


# ---- labels ----


def relabelled(host: Json, random: Random) -> Json:
    """The same host with other CPU numbers and cell ids, its cells and cores in another order."""
    every = sorted(cpu for cell in host["cells"] for cpu in parse_cpus(cell["cpus"]))
    numbers = dict(zip(every, random.sample(range(len(every) + 9), len(every)), strict=True))
    ids = random.sample(range(99), len(host["cells"]))

    def renamed(text: str) -> str:
        return format_cpus(numbers[cpu] for cpu in parse_cpus(text))

    cells = []
    for cell, number in zip(host["cells"], ids, strict=True):
        form = {**cell, "id": number, "cpus": renamed(cell["cpus"])}
        if "siblings" in cell:
            form["siblings"] = random.sample(cell["siblings"], len(cell["siblings"]))
            form["siblings"] = [renamed(group) for group in form["siblings"]]
        if "l3" in cell:
            form["l3"] = [renamed(group) for group in random.sample(cell["l3"], len(cell["l3"]))]
        for key in cell.keys() & {"pinned", "split"}:
            form[key] = renamed(cell[key])
        if "pages" in cell:
            form["pages"] = random.sample(cell["pages"], len(cell["pages"]))
        cells.append(form)
    random.shuffle(cells)
    sets = {key: renamed(host[key]) for key in ("cpu_shared_set", "cpu_dedicated_set")}
    return {**host, **sets, "cells": cells}


def shape(host: Json, layout: Layout | None) -> object:
    """The layout without labels: of each guest cell what class of host cell it is on, and how
    full it makes which kinds of cores.
    """
    if layout is None:
        return None
    cells = {cell.id: cell for cell in cells_of(json.loads(to_json(host_of(host))))}
    return [
        (
            _class_of(cells[placed.host_cell], host),
            _fill(cells[placed.host_cell], frozenset(placed.cpu_pinning.values())),
            _fill(cells[placed.host_cell], frozenset(placed.cpuset_reserved)),
            _fill(cells[placed.host_cell], frozenset(placed.pcpus)),
            placed.pagesize_kb,
        )
        for placed in layout.cells
    ]


def _class_of(cell: Cell, host: Json) -> object:
    [form] = (form for form in host["cells"] if form["id"] == cell.id)
    return (
        (len(cell.cores), sum(map(len, cell.cores)), len(parse_cpus(form.get("pinned", "")))),
        len(cell.split),
        sorted(sorted(_kind(cell, core) for core in cell.cores if core <= d) for d in cell.l3),
        sorted(_kind(cell, core) for core in cell.cores if core & cell.free),
        (len(cell.shared), cell.shared_used, cell.memory_mb, cell.memory_used_mb),
        sorted((pool.size_kb, pool.total, pool.used) for pool in cell.pages),
    )


def _kind(cell: Cell, core: frozenset[int]) -> tuple[int, int, int]:
    """The core's size, how much of it is free, and whether it reaches into another cell."""
    return len(core), len(core & cell.free), len(core & cell.split)


def _fill(cell: Cell, taken: frozenset[int]) -> list[list[tuple[int, int, int, int]]]:
    """Of each core that is touched, by L3 domain: its kind, and how much of it is taken."""
    domains = [[core for core in cell.cores if core & d] for d in cell.l3] or [[*cell.cores]]
    return sorted(
        sorted((*_kind(cell, core), len(core & taken)) for core in cores if core & taken)
        for cores in domains
    )


@THOROUGH
@given(all_cases(), st.integers(0, 2**32))
def test_relabelling_changes_labels_only(case: Case, seed: int) -> None:
    form, flavor, image, _ = case
    request = request_of(flavor, image)
    other = relabelled(form, Random(seed))
    layout, relabelled_layout = fitted(host_of(form), request), fitted(host_of(other), request)
    assert shape(form, layout) == shape(other, relabelled_layout)
    if relabelled_layout:
        assert_sound(other, request, relabelled_layout)


@THOROUGH
@given(all_cases(), st.randoms())
def test_the_order_of_cells_cores_and_pools_in_the_json_changes_nothing(
    case: Case, random: Any
) -> None:
    form, flavor, image, _ = case
    request = request_of(flavor, image)
    cells = [
        {
            key: random.sample(value, len(value)) if isinstance(value, list) else value
            for key, value in cell.items()
        }
        for cell in form["cells"]
    ]
    random.shuffle(cells)
    assert fitted(host_of(form), request) == fitted(host_of({**form, "cells": cells}), request)


@THOROUGH
@given(all_cases())
def test_the_same_question_has_the_same_answer_and_changes_nothing(case: Case) -> None:
    form, flavor, image, _ = case
    host, request = host_of(form), request_of(flavor, image)
    before = to_builtins(host), to_builtins(request)
    first = fitted(host, request)
    assert fitted(host, request) == first
    assert (to_builtins(host), to_builtins(request)) == before
    assert (host, request) == (host_of(form), request_of(flavor, image))
    assert fitted(host_of(form), request_of(flavor, image)) == first


CORES = {"pairs": ["0-1", "2-3", "4-7"], "quad first": ["0-3", "4-5", "6-7"]}


@pytest.mark.parametrize("siblings", CORES.values(), ids=CORES)
@pytest.mark.parametrize("vcpus", range(1, 8))
def test_cores_of_unequal_sizes_are_filled_alike_wherever_they_are(
    siblings: list[str], vcpus: int
) -> None:
    def filled(groups: list[str]) -> object:
        cell = {"id": 0, "memory_mb": 64, "cpus": "0-7", "siblings": groups}
        form = {"name": "h", "cpu_dedicated_set": "0-7", "cells": [cell]}
        return shape(form, fitted(host_of(form), dedicated(vcpus)))

    assert filled(siblings) == filled(["0-1", "2-5", "6-7"])


def dedicated(vcpus: int, nodes: int = 1, **specs: object) -> Request:
    extra = {f"hw:{key}": value for key, value in specs.items()}
    return asked(
        {"hw:cpu_policy": "dedicated", "hw:numa_nodes": nodes, **extra},
        vcpus=vcpus,
        memory_mb=nodes,
    )


# ---- which pCPUs, in plain cases ----


def pins(form: Json, request: Request) -> list[int]:
    layout = fit(host_of(form), request)
    return [pcpu for cell in layout.cells for pcpu in cell.cpu_pinning.values()]


def test_without_smt_the_lowest_free_pcpus_are_taken_in_order() -> None:
    assert pins(grid(1, 8), dedicated(4)) == [0, 1, 2, 3]
    taken = grid(1, 8)
    taken["cells"][0]["pinned"] = "0,2"
    assert pins(taken, dedicated(4)) == [1, 3, 4, 5]


def test_with_smt_pairs_of_vcpus_are_pairs_of_threads() -> None:
    host = grid(1, 4, threads=2)
    host["cells"][0]["siblings"] = ["0,4", "1,5", "2,6", "3,7"]
    assert pins(host, dedicated(4)) == [0, 4, 1, 5]


def test_the_odd_vcpu_and_the_emulator_take_lone_threads_first() -> None:
    host = grid(1, 4, threads=2)
    host["cells"][0]["pinned"] = "1"
    layout = fit(host_of(host), dedicated(3))
    assert sorted(layout.cells[0].pcpus) == [0, 2, 3]
    layout = fit(host_of(host), dedicated(2, emulator_threads_policy="isolate"))
    assert list(layout.cells[0].cpu_pinning.values()) == [2, 3]
    assert str(layout.emulator_cpus) == "0"


@pytest.mark.parametrize(("packing", "cells"), [("spread", [1, 2]), ("pack", [0, 2])])
def test_spread_takes_the_emptiest_cells_and_pack_the_fullest_that_suffice(
    packing: str, cells: list[int]
) -> None:
    host = grid(3, 4, packing=packing)
    host["cells"][0]["pinned"] = "0-1"
    host["cells"][2]["pinned"] = "8"
    layout = fit(host_of(host), dedicated(4, nodes=2))
    assert sorted(cell.host_cell for cell in layout.cells) == cells


# ---- emulator threads: R11, R12, R13 side by side ----

MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "4-7", "hw:numa_nodes": 2}
ALL = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": 2}
SOME_SHARED, NO_SHARED = grid(2, 8, shared=4), grid(2, 8)
Emulator = Callable[[Layout], object]


def pinned(layout: Layout) -> set[int]:
    return {pcpu for cell in layout.cells for pcpu in cell.cpu_pinning.values()}


@pytest.mark.parametrize(
    ("host", "specs", "emulator", "expected"),
    [
        (SOME_SHARED, ALL, "share", lambda _: {0, 1, 2, 3, 8, 9, 10, 11}),
        (SOME_SHARED, MIXED, "share", lambda _: {0, 1, 2, 3, 8, 9, 10, 11}),
        (NO_SHARED, ALL, "share", pinned),
        (SOME_SHARED, ALL, None, pinned),
        (NO_SHARED, ALL, None, pinned),
        (SOME_SHARED, MIXED, None, lambda layout: pinned(layout) | {0, 1, 2, 3}),
    ],
    ids=range(6),
)
def test_r12_r13_where_emulator_threads_float(
    host: Json, specs: Json, emulator: str | None, expected: Emulator
) -> None:
    policy = {"hw:emulator_threads_policy": emulator} if emulator else {}
    request = asked({**specs, **policy})
    layout = fit(host_of(host), request)
    assert set(layout.emulator_cpus) == expected(layout)
    assert not any(cell.cpuset_reserved for cell in layout.cells)
    assert_sound(host, request, layout)


@pytest.mark.parametrize("specs", [ALL, MIXED], ids=["dedicated", "mixed"])
@pytest.mark.parametrize("smt", [1, 2])
@pytest.mark.parametrize("threads", ["prefer", "isolate", None])
def test_r11_an_isolated_emulator_has_one_more_pcpu(
    specs: Json, smt: int, threads: str | None
) -> None:
    host = grid(2, 12, threads=smt, shared=4)
    policy = {"hw:cpu_thread_policy": threads} if threads else {}
    request = asked({**specs, **policy, "hw:emulator_threads_policy": "isolate"})
    layout = fit(host_of(host), request)
    assert len(layout.emulator_cpus) == 1
    assert not set(layout.emulator_cpus) & pinned(layout)
    assert layout.cells[0].cpuset_reserved == layout.emulator_cpus, "guest cell 0's is preferred"
    assert_sound(host, request, layout)


def test_r12_a_guest_without_numa_topology_has_no_emulator_cpus() -> None:
    layout = fit(host_of(SOME_SHARED), asked({"hw:emulator_threads_policy": "share"}, vcpus=2))
    assert (str(layout.emulator_cpus), layout.emulator_threads_policy) == ("", "share")


# ---- large hosts ----


@pytest.mark.parametrize("threads", [1, 2, 4, 8])
@pytest.mark.parametrize("policy", [None, "prefer", "require", "isolate"])
@pytest.mark.parametrize("emulator", [None, "isolate"])
def test_a_host_of_64_cells_and_2048_cpus_is_filled_soundly(
    threads: int, policy: str | None, emulator: str | None
) -> None:
    random = Random(f"{threads} {policy} {emulator}")
    host = grid(64, 32 // threads, threads=threads)
    for cell in host["cells"]:
        busy = [cpu for cpu in parse_cpus(cell["cpus"]) if random.random() < 0.2]
        cell["pinned"] = format_cpus(busy)
    specs = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": 16}
    specs |= {"hw:cpu_thread_policy": policy} if policy else {}
    specs |= {"hw:emulator_threads_policy": emulator} if emulator else {}
    request = asked(specs, vcpus=16 if policy == "isolate" else 80, memory_mb=1600)
    found = host_of(host)
    with promptly():
        layout = fitted(found, request)
    if policy == "isolate" and threads == 8:
        return  # hardly a core of eight is wholly free
    assert (layout is None) == (policy == "require" and threads == 1)
    if layout:
        assert_sound(host, request, layout)


def test_64_unequal_guest_cells_with_an_isolated_emulator_are_placed_at_once() -> None:
    sizes = [1 + at % 16 for at in range(64)]
    specs: dict[str, object] = {"hw:cpu_policy": "dedicated", "hw:numa_nodes": 64}
    first = 0
    for at, size in enumerate(sizes):
        specs[f"hw:numa_cpus.{at}"] = f"{first}-{first + size - 1}"
        specs[f"hw:numa_mem.{at}"] = at + 1
        first += size
    specs["hw:emulator_threads_policy"] = "isolate"
    request = asked(specs, vcpus=first, memory_mb=sum(range(65)))
    host = grid(64, 16, threads=2)
    found = host_of(host)
    with promptly():
        layout = fit(found, request)
    assert_sound(host, request, layout)
