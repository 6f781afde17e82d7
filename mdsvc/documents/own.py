"""The project's own tree, ``/mdsvc``. Host CPU numbers are none of a guest's business."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mdsvc.documents.answer import Answer, Path, json, listing, text
from mdsvc.instance import PlacedInstance
from mdsvc.versions import Options


def find(guest: PlacedInstance, path: Path, options: Options) -> Answer | None:
    """The document at a path below ``/mdsvc``; None where there is none."""
    match path[1:]:
        case ():
            return listing(["v1/"])
        case ("v1",):
            return listing([*_OWN, _STATUS])
        case ("v1", name) if name == _STATUS:
            return json({})  # what the guest has reported is no document: see ``handlers``
        case ("v1", name) if name in _OWN:
            value = _OWN[name](guest)
            if isinstance(value, str):
                return text(value.encode())
            return msgspec.structs.replace(json(value), shows_etag=True)
    return None


def guest_layout(guest: PlacedInstance) -> dict[str, Any]:
    """What a guest is told of its CPUs."""
    layout = guest.layout
    return {
        "dedicated_cpus": layout.dedicated_cpus,
        "shared_cpus": layout.shared_cpus,
        "realtime_cpus": layout.realtime_cpus,
        "cpu_policy": layout.cpu_policy,
        "cpu_thread_policy": layout.cpu_thread_policy,
        "emulator_threads_policy": layout.emulator_threads_policy,
        "cells": [
            {
                "id": cell.id,
                "cpuset": cell.cpuset,
                "pcpuset": cell.pcpuset,
                "memory_mb": cell.memory_mb,
                "pagesize_kb": cell.pagesize_kb,
            }
            for cell in layout.cells
        ],
        "generation": guest.generation,
    }


_STATUS = "status"

_OWN: Mapping[str, Callable[[PlacedInstance], str | dict[str, Any]]] = {
    "layout": guest_layout,
    "dedicated_cpus": lambda guest: str(guest.layout.dedicated_cpus),
    "shared_cpus": lambda guest: str(guest.layout.shared_cpus),
}
