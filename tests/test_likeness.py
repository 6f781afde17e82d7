"""What tells hosts and cells apart: all of their fields but the labels, and fields to come too."""

from __future__ import annotations

import copy

import msgspec
import pytest

from mdsvc.fitting.cores import Cores, Counts
from mdsvc.fitting.vacancy import Vacancy, alike, vacancies
from mdsvc.kept import kept
from mdsvc.likeness import LABELS, likeness, shape_of, telling
from mdsvc.topology import Host, HostCell, PagePool
from tests.reference.facts import Json
from tests.strategies import host_of

CELL: Json = {
    "id": 0,
    "cpus": "0-7,16-17",
    "memory_mb": 64,
    "siblings": ["0-1", "2-3", "4-5"],
    "split": "16",
    "l3": ["0-3", "4-7"],
    "pages": [{"size_kb": 4, "total": 8}, {"size_kb": 2048, "total": 4}],
}
OTHER: Json = {
    "id": 1,
    "memory_mb": 64,
    "cpus": "8-15,18-19",
    "siblings": ["8-9", "10-11", "12-13"],
    "split": "18",
    "l3": ["8-11", "12-15"],
    "pages": copy.deepcopy(CELL["pages"]),
}
HOST: Json = {
    "name": "h",
    "cells": [CELL, OTHER],
    "cpu_dedicated_set": "0-5,8-13,16,18",
    "cpu_shared_set": "6,14",
}
"""Two cells that are alike but for their labels."""

OF_HOST: Json = {
    "cpu_shared_set": "6-7,14",
    "cpu_dedicated_set": "0-5,8-12,16,18",
    "arch": "s390x",
    "service_version": 1,
    "cpu_allocation_ratio": 2.0,
    "ram_allocation_ratio": 2.0,
    "packing": "pack",
    "floating_vcpus": 1,
    "floating_memory_mb": 1,
    "draining": True,
}
OF_CELL: Json = {
    "cpus": "0-7,16-17,20",
    "memory_mb": 65,
    "siblings": ["0-1", "2-3"],
    "split": "16-17",
    "l3": ["0-3"],
    "pages": CELL["pages"][:1],
    "pinned": "16",
    "shared_used": 1,
    "memory_used_mb": 1,
}
OF_PAGES: Json = {"size_kb": 1024, "total": 5, "used": 1}
"""For each field another value."""


def host(of_host: Json, of_cell: Json, of_pages: Json) -> Host:
    """The host with some fields of it, of its first cell and of that one's huge pages changed."""
    form = copy.deepcopy(HOST) | of_host
    form["cells"][0] |= of_cell
    if of_pages:
        form["cells"][0]["pages"][1] |= of_pages
    return host_of(form)


CHANGES = [
    *[pytest.param({name: value}, {}, {}, id=name) for name, value in OF_HOST.items()],
    *[pytest.param({}, {name: value}, {}, id=name) for name, value in OF_CELL.items()],
    *[pytest.param({}, {}, {name: value}, id=f"pages.{name}") for name, value in OF_PAGES.items()],
]


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(Host, {**OF_HOST, "cells": ...}), (HostCell, OF_CELL), (PagePool, OF_PAGES)],
)
def test_every_field_is_a_label_or_is_tried_here(kind: type[msgspec.Struct], changes: Json) -> None:
    assert {*kind.__struct_fields__} - LABELS == changes.keys()


@pytest.mark.parametrize(("of_host", "of_cell", "of_pages"), CHANGES)
def test_hosts_that_differ_in_any_field_are_not_alike(
    of_host: Json, of_cell: Json, of_pages: Json
) -> None:
    assert likeness(host(of_host, of_cell, of_pages)) != likeness(host_of(HOST))


@pytest.mark.parametrize(("of_host", "of_cell", "of_pages"), CHANGES[len(OF_HOST) :])
def test_cells_of_a_host_that_differ_in_any_field_are_not_alike(
    of_host: Json, of_cell: Json, of_pages: Json
) -> None:
    assert list(map(len, alike(host(of_host, of_cell, of_pages)))) == [1, 1]


def test_labels_alone_make_no_difference() -> None:
    assert list(map(len, alike(host_of(HOST)))) == [2]
    other = copy.deepcopy(HOST) | {"name": "other", "service_version": 3}
    other["cells"][0] |= {"id": 7, "socket": 9}
    assert likeness(host_of(other)) == likeness(host_of(HOST))


def test_fields_of_a_vacancy_that_are_no_cpu_numbers_are_all_in_its_amounts() -> None:
    first, _ = vacancies(host_of(HOST))
    for name in Vacancy.__struct_fields__:
        if isinstance(value := getattr(first, name), int) and not name.endswith("_mask"):
            changed = msgspec.structs.replace(first, **{name: value + 1})
            assert changed.amounts != first.amounts, name


def test_what_is_counted_of_cores_is_in_the_order_of_their_fields() -> None:
    assert (
        Counts._fields
        == Cores.__struct_fields__
        == Vacancy.__struct_fields__[: len(Counts._fields)]
    )


def test_a_field_that_is_added_tells_apart_without_being_listed() -> None:
    class Added(HostCell, frozen=True, dict=True):
        sold: bool = False
        lent: tuple[PagePool, ...] = ()

    assert {"sold", "lent"} <= {*telling(Added)}
    assert ("sold" in shape_of(Added).plain) is ("lent" in shape_of(Added).structs) is True
    assert sum(map(len, shape_of(Added))) == len({*Added.__struct_fields__} - LABELS)


def test_what_is_kept_is_worked_out_once_and_not_seen_from_outside() -> None:
    calls: list[str] = []

    @kept
    def names(of: Host) -> tuple[str, ...]:
        calls.append(of.name)
        return (of.name,)

    first, other = host_of(HOST), host_of(HOST)
    assert names(first) is names(first)
    assert (calls, first) == (["h"], other)
    assert names(msgspec.structs.replace(first, name="h2")) == ("h2",)
