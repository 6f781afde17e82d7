"""Examples in the OpenAPI document, which its readers can send as they are: a host, a guest, and a
question.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_CELLS = [
    {"id": 0, "memory_mb": 16384, "cpus": "0-3,8-11", "siblings": ["0,8", "1,9", "2,10", "3,11"]},
    {
        "id": 1,
        "memory_mb": 16384,
        "cpus": "4-7,12-15",
        "siblings": ["4,12", "5,13", "6,14", "7,15"],
    },
]

HOST: Json = {
    "name": "h1",
    "cpu_shared_set": "0,4,8,12",
    "cpu_dedicated_set": "1-3,5-7,9-11,13-15",
    "cells": _CELLS,
}

_FLAVOR = {
    "name": "m",
    "vcpus": 8,
    "memory_mb": 512,
    "extra_specs": {"resources:VCPU": "3", "resources:PCPU": "5", "hw:numa_nodes": "2"},
}

INSTANCE: Json = {
    "uuid": "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52",
    "project_id": "8f2c7b1d9a6e4d35b0c1f2e3d4a59687",
    "name": "dpdk-0",
    "flavor": _FLAVOR,
    "addresses": [{"network": "net-a", "ip": "10.0.0.5", "mac": "fa:16:3e:aa:bb:cc"}],
}

FIT: Json = {"host": HOST, "flavor": _FLAVOR}

RESIZE: Json = {"flavor": {**_FLAVOR, "memory_mb": 1024}}

MIGRATE: Json = {"host": None}

REBUILD: Json = {"user_data": "#cloud-config\n"}

IMPORT: Json = {
    "domains": [
        "<domain type='kvm'><uuid>1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52</uuid><name>web</name>"
        "<memory unit='MiB'>512</memory><vcpu cpuset='0,8'>2</vcpu>"
        "<cputune><emulatorpin cpuset='0,8'/></cputune></domain>"
    ]
}
