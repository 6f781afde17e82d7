"""Shared vCPUs: none overcommits against itself, and together they keep to the ratio (R15)."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from mdsvc.placing.standing.residents import Broken, Resident, parts
from mdsvc.topology import Host


def shared_cpus(host: Host, guests: Sequence[Resident]) -> Broken:
    """A cell's shared vCPUs float over its shared pCPUs; guests without NUMA topology float over
    what all cells have left together.
    """
    sharing = [part for part in parts(host, guests) if part.used.cpuset]
    floating = [guest for guest in guests if guest.floats]
    for part in sharing:
        yield from _alone(part.guest, len(part.used.cpuset), len(host.shared(part.cell)))
    for guest in floating:
        yield from _alone(guest, guest.flavor.vcpus, len(host.cpu_shared_set))
    left = 0.0
    for cell in host.cells:
        most = len(host.shared(cell)) * host.cpu_allocation_ratio
        in_cell = [part for part in sharing if part.cell is cell]
        vcpus = sum(len(part.used.cpuset) for part in in_cell)
        yield from _together(f"host cell {cell.id}", [part.guest for part in in_cell], vcpus, most)
        left += max(0.0, most - vcpus)
    vcpus = sum(guest.flavor.vcpus for guest in floating)
    everybody = [*floating, *(part.guest for part in sharing)] if floating else []
    yield from _together("guests without NUMA topology", everybody, vcpus, left)


def _alone(guest: Resident, vcpus: int, pcpus: int) -> Broken:
    if vcpus > pcpus:
        yield guest, f"its {vcpus} shared vCPUs need as many shared pCPUs, {pcpus} there"


def _together(who: str, guests: Sequence[Resident], vcpus: int, most: float) -> Broken:
    for guest in guests if vcpus > floor(most) else ():
        yield guest, f"{who}: {vcpus} shared vCPUs where {floor(most)} may be"
