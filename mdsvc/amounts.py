"""What a host has in all, and amounts as people read them in a terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from math import floor

from mdsvc.topology import Host, HostCell


def of(used: int, total: int) -> str:
    """``3 of 64``."""
    return f"{used} of {total}"


def memory(used_mb: int, total_mb: int) -> str:
    """``512 of 4096 MiB``, or ``6.5 of 16 GiB`` from 10 GiB on."""
    if total_mb < 10 * 1024:
        return f"{used_mb} of {total_mb} MiB"
    used, total = (f"{mb / 1024:.1f}".removesuffix(".0") for mb in (used_mb, total_mb))
    return f"{used} of {total} GiB"


def page_size(size_kb: int) -> str:
    """``4 KiB``, ``2 MiB``, ``1 GiB``."""
    power = max(power for power in range(3) if not size_kb % 1024**power)
    return f"{size_kb // 1024**power} {'KMG'[power]}iB"


def shared_limit(host: Host, cells: Iterable[HostCell]) -> int:
    """How many shared vCPUs the cells take, by the host's overcommit ratio."""
    return sum(floor(len(host.shared(cell)) * host.cpu_allocation_ratio) for cell in cells)


def shared_used(host: Host) -> int:
    """The shared vCPUs on a host, those of guests without a NUMA topology too."""
    return sum(cell.shared_used for cell in host.cells) + host.floating_vcpus


def memory_used(host: Host) -> int:
    """The memory in use on a host, in MiB, that of guests without a NUMA topology too."""
    used_kb = sum(pool.used_kb for cell in host.cells for pool in cell.pools)
    return used_kb // 1024 + host.floating_memory_mb


def dedicated_free(host: Host) -> int:
    """How many pCPUs of a host are free to be dedicated."""
    return sum(len(host.free(cell)) for cell in host.cells)


def moment(at: int) -> str:
    """Seconds since 1970 as a date and a time of day, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
