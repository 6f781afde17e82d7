"""A host of one cell and guests for it, as the tests of its changes have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.store.memory import MemoryStore
from mdsvc.topology import Host

Json = dict[str, Any]

FORM: Json = {
    "name": "h1",
    "cpu_shared_set": "0-1",
    "cpu_dedicated_set": "2-7",
    "cpu_allocation_ratio": 2.0,
    "ram_allocation_ratio": 1.5,
    "cells": [
        {
            "id": 0,
            "memory_mb": 1024,
            "cpus": "0-7",
            "siblings": ["0-1", "2-3", "4-5", "6-7"],
            "pages": [{"size_kb": 4, "total": 131072}, {"size_kb": 2048, "total": 256}],
        }
    ],
}
DEDICATED = {"hw:cpu_policy": "dedicated"}
MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"}
NODE = {"hw:numa_nodes": "1"}
HUGE = {"hw:mem_page_size": "2MB"}


def host(**fields: Any) -> Host:
    return from_builtins({**FORM, **fields}, Host)


def with_cell(**fields: Any) -> Host:
    return host(cells=[{**FORM["cells"][0], **fields}])


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def guest(number: int, specs: Mapping[str, str], vcpus: int = 2, memory_mb: int = 64) -> Instance:
    flavor = {"vcpus": vcpus, "memory_mb": memory_mb, "extra_specs": dict(specs)}
    form = {"uuid": uuid(number), "project_id": "p", "name": f"g{number}", "flavor": flavor}
    return from_builtins(form, Instance)


async def stored(on: Host, *guests: Instance) -> MemoryStore:
    store = MemoryStore()
    await add_host(store, on)
    for each in guests:
        await create_instance(store, each, None)
    return store
