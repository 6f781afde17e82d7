"""The guests of a host, as the rules look at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from mdsvc.layout import Layout, LayoutCell
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.topology import Host, HostCell


class Resident(msgspec.Struct, frozen=True):
    """A guest as the books of its host know it."""

    uuid: str
    name: str
    flavor: Flavor
    image: Image
    layout: Layout

    @property
    def floats(self) -> bool:
        """Whether it has no NUMA topology, and so no place of its own."""
        return not self.layout.cells


class Part(msgspec.Struct, frozen=True):
    """One guest cell, on its host cell."""

    guest: Resident
    used: LayoutCell
    cell: HostCell

    @property
    def where(self) -> str:
        """Its place, in words."""
        return f"host cell {self.cell.id}"


Broken = Iterator[tuple[Resident, str]]
"""Who breaks a rule, with what is needed and what is there, in words."""


def parts(host: Host, guests: Sequence[Resident]) -> Iterator[Part]:
    """Every guest cell whose host cell is there."""
    for guest in guests:
        for used in guest.layout.cells:
            if used.host_cell in host.by_id:
                yield Part(guest, used, host.by_id[used.host_cell])
