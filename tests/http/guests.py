"""The guests that the tests ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from mdsvc.forms import from_builtins, from_json
from mdsvc.instance import Address, Instance, PlacedInstance, place_instance
from mdsvc.layout import fit
from mdsvc.policy.flavor import request
from mdsvc.topology import Host

RICH_UUID = "1f1c2a0e-6a56-4c1c-9a35-0d7f3c7b6f52"
POOR_UUID = "2b6f9d7c-3c55-4d1f-8f0e-5f0a3a1c9e11"
PROJECT = "8f2c7b1d9a6e4d35b0c1f2e3d4a59687"

_RICH = Path(__file__).parents[1] / "golden/guests/mixed.json"

HOST = from_builtins(
    {
        "name": "compute-7",
        "cpu_shared_set": "0-7,32-39",
        "cpu_dedicated_set": "8-31,40-63",
        "cells": [
            {"id": 0, "memory_mb": 8192, "cpus": "0-31"},
            {"id": 1, "memory_mb": 8192, "cpus": "32-63"},
        ],
    },
    Host,
)


def rich(ip: str = "127.0.0.1") -> PlacedInstance:
    """The golden documents' guest, which has one of everything; also under this address."""
    guest = from_json(_RICH.read_bytes(), PlacedInstance)
    here = Address(network="net-a", ip=ip)
    return replace(guest, addresses=(*guest.addresses, here))


def poor(ip: str | None = "127.0.0.1", host: Host = HOST, **fields: Any) -> PlacedInstance:
    """A guest of which nothing is said that need not be."""
    form = {
        "uuid": POOR_UUID,
        "project_id": PROJECT,
        "name": "poor",
        "flavor": {"vcpus": 2, "memory_mb": 64},
        "addresses": [{"network": "net-a", "ip": ip}] if ip else [],
    }
    return place({**form, **fields}, host)


def place(form: dict[str, Any], host: Host = HOST) -> PlacedInstance:
    """The guest of this JSON form, where the fitter puts it."""
    instance = from_builtins(form, Instance)
    layout = fit(host, request(instance.flavor, instance.image))
    return place_instance(instance, host.name, layout)
