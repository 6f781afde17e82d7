"""Hosts in their JSON form: what is read, what is refused, and what follows from them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, from_json, to_builtins, to_json
from mdsvc.topology import MAX_CELLS, MAX_L3, Host, HostCell
from tests.reference.facts import Json
from tests.reference.generate import Case
from tests.strategies import QUICK, all_cases, grid, host_of

HOST: Json = {
    "name": "h1",
    "service_version": 2,
    "cpu_shared_set": "0-1,8-9",
    "cpu_dedicated_set": "2-3,10-11",
    "cpu_allocation_ratio": 4.0,
    "ram_allocation_ratio": 1.5,
    "packing": "pack",
    "cells": [
        {
            "id": 0,
            "socket": 0,
            "memory_mb": 1024,
            "cpus": "0-3,8-11",
            "siblings": ["0,8", "1,9", "2,10", "3,11"],
            "split": "",
            "l3": ["0-1,8-9", "2-3,10-11"],
            "pages": [{"size_kb": 4, "total": 4096, "used": 1}, {"size_kb": 2048, "total": 8}],
            "pinned": "2,10",
            "shared_used": 3,
            "memory_used_mb": 512,
        },
        {"id": 7, "memory_mb": 1024, "cpus": "4-7"},
    ],
}
"""The whole form, and a cell with all of it left to the defaults."""


def changed(*path_and_value: Any) -> Json:
    """The host with the value at the path; `...` takes the key out."""
    *path, key, value = path_and_value
    form = copy.deepcopy(HOST)
    place: Any = form
    for step in path:
        place = place[step]
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return form


def test_what_is_absent_has_the_defaults_of_the_contract() -> None:
    host = host_of({"name": "h", "cells": [{"id": 3, "memory_mb": 1, "cpus": "0-2"}]})
    assert (host.cpu_allocation_ratio, host.ram_allocation_ratio) == (16.0, 1.0)
    assert (host.packing, host.service_version, host.arch) == ("spread", 2, "x86_64")
    assert host.cpu_shared_set == host.cpu_dedicated_set == EMPTY
    [cell] = host.cells
    assert cell.socket == 3
    assert cell.pages == cell.l3 == cell.l3_cores == ()
    assert list(map(str, cell.cores)) == ["0", "1", "2"]
    assert (cell.split, cell.pinned, cell.shared_used, cell.memory_used_mb) == (EMPTY, EMPTY, 0, 0)


@QUICK
@given(all_cases())
def test_json_round_trip_is_the_identity(case: Case) -> None:
    host = host_of(case[0])
    assert from_json(to_json(host), Host) == host
    assert from_builtins(to_builtins(host), Host) == host
    assert to_json(from_json(to_json(host), Host)) == to_json(host)


# ---- what is refused, and what the message begins with ----

C0 = ("cells", 0)
PAGES = [{"size_kb": 4, "total": 1}, {"size_kb": 4, "total": 2}]
WRONG: list[tuple[tuple[Any, ...], str]] = [
    (("cells", ...), "cells: required, but missing"),
    (("name", ...), "name: required, but missing"),
    ((*C0, "cpus", ...), "cells[0].cpus: required, but missing"),
    ((*C0, "memory_mb", ...), "cells[0].memory_mb: required, but missing"),
    ((*C0, "pages", 0, "total", ...), "cells[0].pages[0].total: required, but missing"),
    (("numa", 1), "numa: no such field is known here"),
    ((*C0, "threads", 1), "cells[0].threads: no such field is known here"),
    ((*C0, "pages", 0, "free", 1), "cells[0].pages[0].free: no such field is known here"),
    (("cells", []), "cells: expected at least one"),
    (("cells", {}), "cells: expected a list"),
    (("cells", [None]), "cells[0]: expected an object"),
    (("name", ""), "name: "),
    (("name", "a b"), "name: "),
    (("name", "../etc"), "name: "),
    (("name", "x" * 256), "name: "),
    (("name", "a\n"), "name: "),
    (("name", 5), "name: expected 1 to 255 of A-Z"),
    (("name", "a\0"), "name: expected text without NUL"),
    (("arch", "amd64"), "arch: expected one of aarch64, armv7l, i686, ia64, loongarch64, "),
    (("arch", 64), "arch: expected one of aarch64, armv7l, "),
    (
        ("service_version", 0),
        "service_version: expected a whole number from 1 to 2147483648, got 0",
    ),
    (
        ("service_version", "2"),
        "service_version: expected a whole number from 1 to 2147483648, got the text '2'",
    ),
    (
        ("service_version", 2.5),
        "service_version: expected a whole number from 1 to 2147483648, got 2.5",
    ),
    (
        ("cpu_allocation_ratio", 0),
        "cpu_allocation_ratio: expected a number above 0 and at most 1000, got ",
    ),
    (
        ("cpu_allocation_ratio", -1.0),
        "cpu_allocation_ratio: expected a number above 0 and at most 1000, got ",
    ),
    (
        ("cpu_allocation_ratio", 1e9),
        "cpu_allocation_ratio: expected a number above 0 and at most 1000, got 1000000000.0",
    ),
    (("cpu_allocation_ratio", float("nan")), "cpu_allocation_ratio: expected a finite number"),
    (("ram_allocation_ratio", float("inf")), "ram_allocation_ratio: expected a finite number"),
    (("ram_allocation_ratio", 10**30), "ram_allocation_ratio: "),
    (
        ("ram_allocation_ratio", True),
        "ram_allocation_ratio: expected a number above 0 and at most 1000, got true",
    ),
    (("packing", "loose"), "packing: expected one of pack, spread"),
    (("packing", None), "packing: "),
    (("cpu_shared_set", [0, 1]), 'cpu_shared_set: expected a CPU set string like "0-3,7"'),
    (("cpu_shared_set", "0-"), "cpu_shared_set: '0-' in '0-' is no CPU number or range"),
    (("cpu_shared_set", "^0"), "cpu_shared_set: '^0' in '^0' is no CPU number or range"),
    (("cpu_shared_set", "0-2"), "cpu_shared_set and cpu_dedicated_set: expected no CPU twice"),
    (("cpu_shared_set", "0-1,12"), "cpu_shared_set: CPUs 12 are not of this host"),
    (("cpu_dedicated_set", "3-8191"), "cpu_"),
    (("cpu_dedicated_set", "3,99"), "cpu_dedicated_set: CPUs 99 are not of this host"),
    (("cpu_dedicated_set", "3-8192"), "cpu_dedicated_set: CPU 8192 in '3-8192' is above 8191"),
    ((*C0, "id", 7), "cells: expected each id once"),
    ((*C0, "id", -1), "cells[0].id: expected a whole number from 0 to 65535, got -1"),
    ((*C0, "id", 65536), "cells[0].id: expected a whole number from 0 to 65535, got 65536"),
    ((*C0, "id", 1.0), "cells[0].id: expected a whole number from 0 to 65535, got 1.0"),
    ((*C0, "id", True), "cells[0].id: expected a whole number from 0 to 65535, got true"),
    (
        (*C0, "memory_mb", -1),
        "cells[0].memory_mb: expected a whole number from 0 to 1099511627776, got -1",
    ),
    (
        (*C0, "memory_mb", 10**30),
        "cells[0].memory_mb: expected a whole number from 0 to 1099511627776, got ",
    ),
    (
        (*C0, "memory_mb", 2**63),
        "cells[0].memory_mb: expected a whole number from 0 to 1099511627776, got ",
    ),
    ((*C0, "cpus", "0-4,8-11"), "cells: cpus: expected no CPU twice, but 4 is"),
    ((*C0, "cpus", "0-3,8-10"), "cells[0].siblings: CPUs 11 are not of this cell"),
    ((*C0, "siblings", ["0,8", "8,1"]), "cells[0].siblings: expected no CPU twice, but 8 is"),
    ((*C0, "siblings", ["0,8", ""]), "cells[0].siblings: expected at least one CPU in each"),
    ((*C0, "siblings", ["0,4"]), "cells[0].siblings: CPUs 4 are not of this cell"),
    ((*C0, "siblings", "0,8"), "cells[0].siblings: expected a list"),
    ((*C0, "siblings", [["0"]]), "cells[0].siblings[0]: expected a CPU set string"),
    ((*C0, "split", "4"), "cells[0].split: CPUs 4 are not of this cell"),
    ((*C0, "split", "3,8"), "cells[0].split: expected CPUs that are single threads in this cell, "),
    ((*C0, "split", ["3"]), "cells[0].split: expected a CPU set string"),
    ((*C0, "l3", ["0-1,8-9", "1-3,9-11"]), "cells[0].l3: expected no CPU twice, but 1,9 is"),
    ((*C0, "l3", [""]), "cells[0].l3: expected at least one CPU in each group"),
    ((*C0, "l3", ["0,8", "4"]), "cells[0].l3: CPUs 4 are not of this cell"),
    ((*C0, "l3", ["0-3,8-10", "11"]), "cells[0].l3: expected whole cores, but 0-3,8-10 has a"),
    ((*C0, "l3", ["8"]), "cells[0].l3: expected whole cores, but 8 has a part of one"),
    ((*C0, "l3", "0-3,8-11"), "cells[0].l3: expected a list"),
    ((*C0, "l3", [0]), "cells[0].l3[0]: expected a CPU set string"),
    (
        (*C0, "l3", ["0"] * (MAX_L3 + 1)),
        "cells[0].l3: expected a list of at most 256 items, got 257",
    ),
    ((*C0, "pages", PAGES), "cells[0].pages: expected one pool for each page size"),
    (
        (*C0, "pages", [{"size_kb": 0, "total": 1}]),
        "cells[0].pages[0].size_kb: expected a whole number from 1 to 1099511627776, got 0",
    ),
    (
        (*C0, "pages", 0, "used", -1),
        "cells[0].pages[0].used: expected a whole number from 0 to 1099511627776, got -1",
    ),
    ((*C0, "pinned", "4"), "cells[0].pinned: CPUs 4 are not of this cell"),
    ((*C0, "pinned", "0"), "cells: pinned CPUs 0 are in cpu_shared_set"),
    (
        (*C0, "shared_used", -1),
        "cells[0].shared_used: expected a whole number from 0 to 1099511627776, got -1",
    ),
    (("cells", [{"id": n, "memory_mb": 0, "cpus": ""} for n in range(MAX_CELLS + 1)]), "cells: "),
]


@pytest.mark.parametrize(
    ("change", "message"), WRONG, ids=[f"{row[0][-2]}-{row[1][:60]}" for row in WRONG]
)
def test_a_wrong_host_names_the_field(change: tuple[Any, ...], message: str) -> None:
    with pytest.raises(BadInput) as error:
        host_of(changed(*change))
    found = str(error.value)
    assert found.removeprefix("document: ").startswith(message)
    assert "\n" not in found
    assert len(found) < 400


# ---- what follows ----


def test_a_cpu_in_no_group_is_a_core_of_its_own() -> None:
    form = changed(*C0, "siblings", ["10,2", "3,11"])
    cores = host_of(form).cells[0].cores
    assert list(map(str, cores)) == ["0", "1", "2,10", "3,11", "8", "9"]


@pytest.mark.parametrize("siblings", [["0,8", "1,9"], ["0,8", "1,9", "2", "3", "10", "11"]])
def test_a_split_cpu_is_a_core_of_its_own_whether_or_not_it_is_in_a_group(
    siblings: list[str],
) -> None:
    form = changed(*C0, "siblings", siblings)
    form["cells"][0] |= {"split": "2-3,10-11", "l3": ["0-3,8-9", "10-11"]}
    found = host_of(form)
    assert list(map(str, found.cells[0].cores)) == ["0,8", "1,9", "2", "3", "10", "11"]
    assert from_json(to_json(found), Host) == found


def test_a_host_that_does_not_tell_split_has_none() -> None:
    assert host_of(changed(*C0, "split", ...)).cells[0].split == EMPTY


@pytest.mark.parametrize(
    ("l3", "cores"),
    [
        (["2-3,10-11", "0-1,8-9"], [["2,10", "3,11"], ["0,8", "1,9"]]),
        (["0-3,8-11"], [["0,8", "1,9", "2,10", "3,11"]]),
        (["1,9", "3,11"], [["1,9"], ["3,11"], ["0,8", "2,10"]]),
    ],
)
def test_cores_are_in_the_domain_that_names_them_or_else_in_one_more(
    l3: list[str], cores: list[list[str]]
) -> None:
    found = host_of(changed(*C0, "l3", l3)).cells[0].l3_cores
    assert [[str(CpuSet(core)) for core in domain] for domain in found] == cores


def test_a_cells_shared_dedicated_and_free_cpus() -> None:
    host = host_of(HOST)
    first, last = host.cells
    assert str(host.shared(first)) == "0-1,8-9"
    assert str(host.dedicated(first)) == "2-3,10-11"
    assert str(host.free(first)) == "3,11"
    assert host.shared(last) == host.dedicated(last) == host.free(last) == EMPTY
    assert host.cpus == CpuSet.first(12)
    assert host.by_id[7] is last


@pytest.mark.parametrize(("version", "knows"), [(1, False), (2, True), (99, True)])
def test_r17_a_host_knows_mixed_guests_from_service_version_2(version: int, knows: bool) -> None:
    assert host_of(changed("service_version", version)).knows_mixed is knows


def test_without_use_is_the_host_as_it_was_before_any_guest() -> None:
    fresh = copy.deepcopy(HOST)
    for key in ("pinned", "shared_used", "memory_used_mb"):
        del fresh["cells"][0][key]
    del fresh["cells"][0]["pages"][0]["used"]
    used = host_of({**HOST, "floating_vcpus": 5, "floating_memory_mb": 6})
    assert used.without_use() == host_of(fresh)
    assert used.without_use().without_use() == used.without_use()
    assert used.cells[0].shared_used == 3, "a change returns a new value"


def test_the_largest_host_of_linux_is_read() -> None:
    host = host_of(grid(1024, 8))
    assert len(host.cpus) == 8192
    assert len(host.cells) == MAX_CELLS


def test_a_cell_without_cpus_has_no_cores() -> None:
    assert from_builtins({"id": 0, "memory_mb": 1, "cpus": ""}, HostCell).cores == ()
