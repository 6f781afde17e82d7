"""What Nova is told of a guest's CPUs when it asks as its vendor data's target.

``layout`` goes into the guest's ``vendor_data2.json`` as the key that the operator names it by,
``mdsvc``, where ``mdguest`` reads it. ``cloud_config`` goes there as ``cloud-init``, whose value
has to be a text: a JSON object has cloud-init drop all vendor data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.documents.own import guest_layout
from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance
from mdsvc.running import RunningGuest

__all__ = ["FILE", "Layout", "cloud_config", "of_placed", "of_running"]

FILE = "/etc/mdguest/layout.json"
"""Where cloud-init leaves the layout in a guest, for ``mdguest`` and whoever else."""

TEMPLATE_KEY = "{layout}"

Layout = Mapping[str, Any]

_CLOUD_CONFIG = f"""\
#cloud-config
write_files:
- path: {FILE}
  permissions: '0644'
  content: |
    {TEMPLATE_KEY}
"""


def of_placed(guest: PlacedInstance) -> Layout:
    """The layout of a guest of ours, as it is told itself."""
    return guest_layout(guest)


def of_running(guest: RunningGuest) -> Layout:
    """The layout of a guest that Nova has placed: what its topology API tells, in the same form.

    Nova counts no generations. Emulator threads are told by the flavor alone.
    """
    dedicated = CpuSet.of(guest.single_pins)
    asked = guest.asked
    numa = bool(guest.cells)
    policy = "mixed" if dedicated != guest.all_vcpus else "dedicated"
    return {
        "dedicated_cpus": dedicated,
        "shared_cpus": guest.all_vcpus - dedicated if numa else EMPTY,
        "realtime_cpus": asked.realtime & dedicated if asked else EMPTY,
        "cpu_policy": policy if dedicated else "shared",
        "cpu_thread_policy": asked.cpu_thread_policy if asked and dedicated else None,
        "emulator_threads_policy": asked.emulator_threads_policy if asked else None,
        "cells": [
            {
                "id": cell.id,
                "cpuset": cell.vcpus - dedicated,
                "pcpuset": cell.vcpus & dedicated,
                "memory_mb": cell.memory_mb,
                "pagesize_kb": cell.pagesize_kb,
            }
            for cell in guest.cells
        ],
        "generation": None,
    }


def cloud_config(layout: Layout, template: str | None = None) -> str:
    """User data for cloud-init that leaves the layout in a file, or the operator's template with
    the layout, as JSON on one line, for each ``{layout}`` in it.
    """
    return (template or _CLOUD_CONFIG).replace(TEMPLATE_KEY, to_json(layout).decode())
