"""A host and a guest in JSON, as an operator writes them."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"
OTHER_UUID = "2b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e11"

MIXED = {"resources:VCPU": "3", "resources:PCPU": "5", "hw:numa_nodes": "2"}
"""The seed's example: of eight vCPUs, 2-3 and 5-7 are dedicated."""

DEDICATED = {"hw:cpu_policy": "dedicated"}


def host(name: object = "h1", **fields: Any) -> Json:
    """Two NUMA cells of four cores with two threads; of each, one core is shared."""
    form = {
        "name": name,
        "cpu_shared_set": "0,4,8,12",
        "cpu_dedicated_set": "1-3,5-7,9-11,13-15",
        "cells": [
            {
                "id": 0,
                "memory_mb": 4096,
                "cpus": "0-3,8-11",
                "siblings": ["0,8", "1,9", "2,10", "3,11"],
            },
            {
                "id": 1,
                "memory_mb": 4096,
                "cpus": "4-7,12-15",
                "siblings": ["4,12", "5,13", "6,14", "7,15"],
            },
        ],
    }
    return {**form, **fields}


def flavor(vcpus: int = 8, memory_mb: int = 512, extra_specs: object = MIXED) -> Json:
    return {"vcpus": vcpus, "memory_mb": memory_mb, "extra_specs": extra_specs}


def guest(uuid: object = UUID, **fields: Any) -> Json:
    """The seed's example of a guest; a field given as None is left out."""
    form = {
        "uuid": uuid,
        "project_id": "8f2c7b1d9a6e4d35b0c1f2e3d4a59687",
        "name": "dpdk-0",
        "flavor": flavor(),
        "addresses": [{"network": "net-a", "ip": "10.0.0.5", "mac": "fa:16:3e:aa:bb:cc"}],
        **fields,
    }
    return {name: value for name, value in form.items() if value is not None}


def plain(number: int, **fields: Any) -> Json:
    """A guest of its own UUID and without addresses."""
    return guest(f"00000000-0000-4000-8000-{number:012}", **{"addresses": [], **fields})
