"""What becomes of what a machine says of itself, whichever way it was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.discovery import Machine, cores_of, discovered
from mdsvc.errors import BadInput
from mdsvc.topology import MAX_L3, HostCell
from tests.strategies import QUICK


def cores(named: list[str], cells: list[str], offline: str = "") -> list[tuple[list[str], str]]:
    """Of each cell its siblings, and what is split; CPU n names the n-th as its core."""
    sets = list(map(CpuSet.parse, cells))
    online = CpuSet.first(len(named)) - CpuSet.parse(offline)
    found = cores_of(dict(enumerate(map(CpuSet.parse, named))), sets, online)
    return [(list(map(str, cell.siblings)), str(cell.split)) for cell in found]


CORES = {
    "whole": (["0,2", "1,3"] * 2, ["0,2", "1,3"], [(["0,2"], ""), (["1,3"], "")]),
    "split": (["0,2", "1,3"] * 2, ["0-1", "2-3"], [([], "0-1"), ([], "2-3")]),
    "one of two": (["0,2", "1", "0,2"], ["0-1", "2"], [(["1"], "0"), ([], "2")]),
    "four threads, in the middle": (["0-3"] * 4, ["0-1", "2-3"], [([], "0-1"), ([], "2-3")]),
    "four threads, and one of them": (["0-3"] * 4, ["0-2", "3"], [([], "0-2"), ([], "3")]),
    "one names the other": (["0-1", "1"], ["0", "1"], [([], "0"), ([], "1")]),
    "in a cell and out of it": (["0-2"] * 3, ["0-1", "2"], [([], "0-1"), ([], "2")]),
    "in no cell at all": (["0,2", "1", "0,2"], ["0-1"], [(["1"], "0")]),
    "names that are nowhere": (["0,7", "1"], ["0-1"], [(["0", "1"], "")]),
    "names of none": (["", ""], ["0-1"], [(["0", "1"], "")]),
}


@pytest.mark.parametrize(("named", "cells", "expected"), CORES.values(), ids=CORES)
def test_the_cores_of_cells(
    named: list[str], cells: list[str], expected: list[tuple[list[str], str]]
) -> None:
    assert cores(named, cells) == expected


def test_a_thread_that_is_offline_splits_no_core() -> None:
    assert cores(["0,2", "1", "0,2"], ["0-1", ""], offline="2") == [(["0", "1"], ""), ([], "")]


def test_cells_that_overlap_are_refused_as_such() -> None:
    with pytest.raises(BadInput, match=r"^cells: cpus: expected no CPU twice, but 1 is$"):
        cores(["0", "1", "2"], ["0-1", "1-2"])


@QUICK
@given(st.lists(st.integers(0, 3), min_size=1, max_size=8), st.data())
def test_every_cpu_is_in_a_core_of_its_cell_or_split_and_never_both(
    core_of: list[int], data: st.DataObject
) -> None:
    every = range(len(core_of))
    cell_of = data.draw(st.lists(st.integers(0, 2), min_size=len(every), max_size=len(every)))
    named = {cpu: CpuSet.of(c for c in every if core_of[c] == core_of[cpu]) for cpu in every}
    cells = [CpuSet.of(cpu for cpu in every if cell_of[cpu] == cell) for cell in range(3)]
    for cpus, found in zip(cells, cores_of(named, cells, CpuSet.of(every)), strict=True):
        assert all(named[cpu] == core for core in found.siblings for cpu in core)
        assert all(not named[cpu] <= cpus for cpu in found.split)
        HostCell(id=0, memory_mb=0, cpus=cpus, siblings=found.siblings, split=found.split)


# ---- caches ----


def machine(cpus: int, *caches: str) -> Machine:
    """One cell of cores of two threads, 0-1, 2-3 and so on."""
    siblings = tuple(CpuSet.parse(f"{cpu}-{cpu + 1}") for cpu in range(0, cpus, 2))
    cell = HostCell(id=3, memory_mb=1, cpus=CpuSet.first(cpus), siblings=siblings)
    return Machine([cell], list(map(CpuSet.parse, caches)), EMPTY)


CACHES = {
    "a part of a core": (["0-2", "3"], "expected whole cores, but 0-2 has a part of one"),
    "a CPU in two": (["0-1", "0-3"], "expected no CPU twice, but 0-1 is"),
    "more than any machine has": (
        [f"{cpu}-{cpu + 1}" for cpu in range(0, 2 * MAX_L3 + 2, 2)],
        f"expected a list of at most {MAX_L3} items",
    ),
}


@pytest.mark.parametrize(("caches", "why"), CACHES.values(), ids=CACHES)
def test_caches_that_break_a_rule_are_left_out_and_a_note_says_why(
    caches: list[str], why: str
) -> None:
    found = discovered("h", machine(2 * len(caches), *caches), None, None)
    assert found.host.cells[0].l3 == ()
    assert found.notes[0].startswith(f"cell 3 is taken without its L3 caches: {why}")


def test_of_a_machine_that_is_as_they_are_there_is_nothing_to_note() -> None:
    assert discovered("h", machine(4, "0-1", "2-3", "8-9"), None, None).notes == []
