"""What a request and a host are to OpenStack's Placement service (R16): amounts and traits.

Placement counts; which CPUs and cells it is, only the fitter knows. So the amounts are what a guest
needs at least, and a candidate that Placement returns may still not fit.
"""

from __future__ import annotations

from typing import Any

from mdsvc.policy.flavor import Request
from mdsvc.topology import Host

HYPERTHREADING = "HW_CPU_HYPERTHREADING"


def resources(request: Request) -> dict[str, int]:
    """The request's resource classes: PCPU, VCPU and MEMORY_MB, each only where it is not 0."""
    dedicated = len(request.dedicated)
    amounts = {
        "PCPU": dedicated + request.isolated_emulator,
        "VCPU": request.vcpus - dedicated,
        "MEMORY_MB": request.memory_mb,
    }
    return {name: amount for name, amount in amounts.items() if amount}


def traits(request: Request) -> list[str]:
    """The traits that a host must have: `require` needs thread siblings, all else needs none.

    Nova forbids the trait for `isolate`, and so keeps such guests from every host with siblings;
    here these have wholly free cores to offer too.
    """
    return [HYPERTHREADING] if request.cpu_thread_policy == "require" else []


def inventories(host: Host) -> dict[str, dict[str, Any]]:
    """The host's inventories, as Placement's ``PUT /resource_providers/UUID/inventories`` has
    them; a class of which the host has nothing is left out. MEMORY_MB is that of all pools, since
    Placement knows none; which of them is full, the fitter says.
    """
    totals = {
        "PCPU": (len(host.cpu_dedicated_set), 1.0),
        "VCPU": (len(host.cpu_shared_set), host.cpu_allocation_ratio),
        "MEMORY_MB": (host.memory_mb, host.ram_allocation_ratio),
    }
    return {name: _inventory(*total) for name, total in totals.items() if total[0]}


def _inventory(total: int, ratio: float) -> dict[str, Any]:
    """No one guest may take more than there is, whatever the ratio (R15)."""
    return {
        "total": total,
        "reserved": 0,
        "min_unit": 1,
        "max_unit": total,
        "step_size": 1,
        "allocation_ratio": ratio,
    }


def usages(host: Host) -> dict[str, int]:
    """What placed guests use of each inventory; a core kept whole by `isolate` counts whole."""
    used = {
        "PCPU": sum(len(cell.pinned & host.cpu_dedicated_set) for cell in host.cells),
        "VCPU": sum(cell.shared_used for cell in host.cells) + host.floating_vcpus,
        "MEMORY_MB": sum(cell.memory_used_mb for cell in host.cells) + host.floating_memory_mb,
    }
    return {name: used[name] for name in inventories(host)}


def host_traits(host: Host) -> list[str]:
    """The traits that the host has: whether any core gives two threads to dedicated vCPUs."""
    dedicated = host.cpu_dedicated_set
    siblings = any(len(core & dedicated) > 1 for cell in host.cells for core in cell.cores)
    return [HYPERTHREADING] if siblings else []
