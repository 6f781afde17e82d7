"""What the program of the release before reads: its rules, written down from it and frozen.

It takes records of the forms that it knew, and in them the fields that it knew; it has the rest of
the store's protocol in common with the newer one.
"""

from __future__ import annotations

from typing import Any

import msgpack

_LAYOUT_CELL = {
    "id": None,
    "host_cell": None,
    "cpuset": None,
    "pcpuset": None,
    "cpu_pinning": None,
    "memory_mb": None,
    "cpuset_reserved": None,
    "pagesize_kb": None,
}
_LAYOUT = {
    "dedicated_cpus": None,
    "shared_cpus": None,
    "realtime_cpus": None,
    "cpu_policy": None,
    "cpu_thread_policy": None,
    "emulator_threads_policy": None,
    "emulator_cpus": None,
    "cells": _LAYOUT_CELL,
}
_DEVICE = [
    "type",
    "mac",
    "bus",
    "address",
    "tags",
    "vlan",
    "vf_trusted",
    "serial",
    "path",
    "share_id",
    "tag",
]
_GUEST = {
    "uuid": None,
    "project_id": None,
    "name": None,
    "flavor": {
        "vcpus": None,
        "memory_mb": None,
        "extra_specs": None,
        "name": None,
    },
    "image": {"properties": None, "id": None, "name": None},
    "hostname": None,
    "addresses": {"network": None, "ip": None, "mac": None, "floating": None},
    "key_pairs": {"name": None, "public_key": None, "type": None},
    "meta": None,
    "user_data": None,
    "files": {"path": None, "content": None},
    "availability_zone": None,
    "launch_index": None,
    "reservation_id": None,
    "security_groups": None,
    "root_device_name": None,
    "devices": dict.fromkeys(_DEVICE),
    "network_data": None,
    "version_list": None,
    "host": None,
    "layout": _LAYOUT,
    "generation": None,
}
_HOST = {
    "name": None,
    "cells": {
        "id": None,
        "cpus": None,
        "memory_mb": None,
        "socket": None,
        "siblings": None,
        "split": None,
        "l3": None,
        "pages": {"size_kb": None, "total": None, "used": None},
        "pinned": None,
        "shared_used": None,
        "memory_used_mb": None,
    },
    "cpu_shared_set": None,
    "cpu_dedicated_set": None,
    "service_version": None,
    "cpu_allocation_ratio": None,
    "ram_allocation_ratio": None,
    "packing": None,
    "arch": None,
    "floating_vcpus": None,
    "floating_memory_mb": None,
}

_KNOWN: dict[str, tuple[set[int], dict[str, Any]]] = {
    "host": ({1}, _HOST),
    "guest": ({1, 2}, _GUEST),
}


class CannotRead(Exception):
    """What the older program said of a record."""


def read(kind: str, record: bytes) -> Any:
    """The value of a record, as the older program reads it."""
    document = msgpack.unpackb(record)
    forms, fields = _KNOWN[kind]
    if document["form"] not in forms:
        raise CannotRead(f"form {document['form']}; expected one of {forms}")
    _check(document["value"], fields, kind)
    return document["value"]


def _check(value: Any, fields: dict[str, Any], where: str) -> None:
    for one in value if isinstance(value, list) else [value]:
        if unknown := one.keys() - fields.keys():
            raise CannotRead(f"{where}: unknown fields {sorted(unknown)}")
        for name, inner in fields.items():
            if inner is not None and one.get(name) is not None:
                _check(one[name], inner, f"{where}.{name}")


def write(kind: str, value: Any) -> bytes:
    """The record of a value, as the older program writes it: of the newest form that it knew."""
    record = msgpack.packb({"form": max(_KNOWN[kind][0]), "value": value})
    assert isinstance(record, bytes)
    return record
