"""A host described anew: its guests stay, and what they use stays counted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.control.hosts import add_host, get_host, list_hosts, replace_host
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.cpuset import CpuSet
from mdsvc.errors import Conflict
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.store.memory import MemoryStore
from mdsvc.topology import Host

FORM: dict[str, Any] = {
    "name": "h1",
    "service_version": 1,
    "cpu_shared_set": "0-1",
    "cpu_dedicated_set": "2-7",
    "cells": [
        {"id": 0, "memory_mb": 1024, "cpus": "0-7", "pages": [{"size_kb": 4, "total": 9999999}]}
    ],
}
GUESTS: dict[str, dict[str, str]] = {
    "00000000-0000-4000-8000-000000000001": {"hw:cpu_policy": "dedicated"},
    "00000000-0000-4000-8000-000000000002": {"hw:numa_nodes": "1", "hw:mem_page_size": "small"},
    "00000000-0000-4000-8000-000000000003": {},
}


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await add_host(made, from_builtins(FORM, Host))
    for uuid, specs in GUESTS.items():
        flavor = {"vcpus": 2, "memory_mb": 64, "extra_specs": specs}
        form = {"uuid": uuid, "project_id": "p", "name": "g", "flavor": flavor}
        await create_instance(made, from_builtins(form, Instance), None)
    return made


async def test_a_newer_service_version_changes_nothing_else(store: MemoryStore) -> None:
    before, _ = await get_host(store, "h1")
    newer = from_builtins({**FORM, "service_version": 2}, Host)
    assert await replace_host(store, newer) == replace(before, service_version=2)
    assert (await get_host(store, "h1"))[0] == replace(before, service_version=2)


async def test_a_host_that_is_not_there_is_registered() -> None:
    store, host = MemoryStore(), from_builtins(FORM, Host)
    assert await replace_host(store, host) == host
    assert [found.name for found in await list_hosts(store)] == ["h1"]


@pytest.mark.parametrize(
    "change",
    [
        {"cpu_dedicated_set": "4-7"},
        {"cpu_shared_set": ""},
        {"cells": [{**FORM["cells"][0], "id": 1}]},
        {"cells": [{**FORM["cells"][0], "memory_mb": 32}]},
        {"cells": [{**FORM["cells"][0], "pages": []}]},
    ],
    ids=str,
)
async def test_what_a_guest_stands_on_cannot_be_taken_away(
    store: MemoryStore, change: dict[str, Any]
) -> None:
    before, guests = await get_host(store, "h1")
    assert CpuSet.parse("2-3") <= before.cells[0].pinned
    with pytest.raises(Conflict, match="could not stay in its place"):
        await replace_host(store, from_builtins({**FORM, **change}, Host))
    assert await get_host(store, "h1") == (before, guests)


async def test_after_a_change_guests_come_and_go_as_before(store: MemoryStore) -> None:
    wider = from_builtins({**FORM, "cpu_allocation_ratio": 4.0}, Host)
    await replace_host(store, wider)
    for uuid in GUESTS:
        await delete_instance(store, uuid)
    assert (await get_host(store, "h1"))[0] == wider
