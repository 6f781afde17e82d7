"""Guests of every policy, and the host that they are placed on."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product

from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, PlacedInstance, place_instance
from mdsvc.layout import fit
from mdsvc.policy.flavor import request
from mdsvc.topology import Host
from tests.reference.facts import Json

Specs = Mapping[str, object]

HOST: Json = {
    "name": "h1",
    "cpu_shared_set": "0-3,16-19,32-35,48-51",
    "cpu_dedicated_set": "4-15,20-31,36-47,52-63",
    "cells": [
        {
            "id": cell,
            "memory_mb": 16384,
            "cpus": f"{16 * cell}-{16 * cell + 15},{16 * cell + 32}-{16 * cell + 47}",
            "siblings": [f"{cpu},{cpu + 32}" for cpu in range(16 * cell, 16 * cell + 16)],
            "pages": [
                {"size_kb": 4, "total": 2097152},
                {"size_kb": 2048, "total": 2048},
                {"size_kb": 1048576, "total": 4},
            ],
        }
        for cell in (0, 1)
    ],
}
"""Two cells of sixteen cores with two threads; the first four cores of each are shared."""

DEDICATED = {"hw:cpu_policy": "dedicated"}
MIXED = {"hw:cpu_policy": "mixed"}
SHARED = {"hw:cpu_policy": "shared"}
MASK = {"hw:cpu_dedicated_mask": "2-3,5-7"}
REALTIME = {"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "2-3,5-7"}


def host() -> Host:
    return from_builtins(HOST, Host)


def placed(specs: Specs, on: Host | None = None, **fields: object) -> PlacedInstance:
    """A guest of eight vCPUs and 4 GiB with these extra specs, on that host or on HOST."""
    on = on or host()
    words = " ".join(_words(specs))
    form = {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, words)),
        "project_id": "p1",
        "name": "dpdk-0",
        "flavor": {"vcpus": 8, "memory_mb": 4096, "extra_specs": dict(specs)},
        **fields,
    }
    instance = from_builtins(form, Instance)
    return place_instance(instance, on.name, fit(on, request(instance.flavor, instance.image)))


def _words(specs: Specs) -> list[str]:
    return [f"{key}={value}" for key, value in specs.items()]


# ---- every combination ----


@cache
def guests(kind: str) -> Mapping[str, PlacedInstance]:
    """The guests of one of KINDS, with all else that can be asked for, by their extra specs."""
    return {" ".join(_words(specs)): placed(specs) for specs in KINDS[kind]}


def _pinned(base: Specs) -> Iterator[Specs]:
    for threads in (None, "prefer", "isolate", "require"):
        policy = {"hw:cpu_thread_policy": threads} if threads else {}
        yield from _with({**base, **policy}, (None, "share", "isolate"), (None, 2))


def _with(base: Specs, emulator: Sequence[object], cells: Sequence[object]) -> Iterator[Specs]:
    keys = ("hw:emulator_threads_policy", "hw:numa_nodes", "hw:mem_page_size")
    for values in product(emulator, cells, (None, "small", "2MB", "1GB")):
        yield {**base, **{key: value for key, value in zip(keys, values, strict=True) if value}}


def _resources(specs: Specs) -> Specs:
    isolated = specs.get("hw:emulator_threads_policy") == "isolate"
    return {**specs, "resources:VCPU": 3, "resources:PCPU": 5 + isolated}


KINDS: Mapping[str, Sequence[Specs]] = {
    "dedicated": list(_pinned(DEDICATED)),
    "dedicated realtime": list(_pinned(DEDICATED | REALTIME)),
    "mixed by mask": list(_pinned(MIXED | MASK)),
    "mixed by realtime": list(_pinned(MIXED | REALTIME)),
    "mixed by resources": [_resources(specs) for specs in _pinned({})],
    "shared": list(_with(SHARED, (None, "share"), (1, 2))),
    "without topology": [SHARED, {}, {"hw:emulator_threads_policy": "share"}],
}
