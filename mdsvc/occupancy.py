"""Whose each pCPU of a host is, and under which letter: what terminal and page both draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice, product
from string import ascii_uppercase
from typing import Literal, NamedTuple

from mdsvc.instance import PlacedInstance
from mdsvc.layout import LayoutCell
from mdsvc.placing.usage import taken
from mdsvc.topology import Host, HostCell

Kind = Literal["pinned", "emulator", "idle", "free", "shared", "outside", "unknown", "twice"]
"""``idle``: kept for a guest of the thread policy `isolate`. ``outside``: not for guests.
``unknown``: taken, but by none of the guests that are known. ``twice``: given to two of them.
"""


class Guest(NamedTuple):
    """A guest of a host under its letter; ``number`` counts the host's guests from 0."""

    tag: str
    number: int
    instance: PlacedInstance


class Use(NamedTuple):
    """What one pCPU is used for; by which guest where it is one's alone, as which of its vCPUs."""

    kind: Kind
    guest: Guest | None = None
    vcpu: int | None = None


def guests_of(host: Host, instances: Sequence[PlacedInstance]) -> list[Guest]:
    """The host's own guests by name, each with a letter: A to Z, then AA, AB and so on."""
    here = sorted((i for i in instances if i.host == host.name), key=lambda i: (i.name, i.uuid))
    words = (product(ascii_uppercase, repeat=length) for length in count(1))
    tags = islice(("".join(letters) for word in words for letters in word), len(here))
    return [
        Guest(tag, number, instance)
        for number, (tag, instance) in enumerate(zip(tags, here, strict=True))
    ]


def on_cell(cell: HostCell, guests: Sequence[Guest]) -> list[tuple[Guest, LayoutCell]]:
    """The parts of guests that are on a host cell."""
    return [
        (guest, used)
        for guest in guests
        for used in guest.instance.layout.cells
        if used.host_cell == cell.id
    ]


def uses_of(host: Host, guests: Sequence[Guest]) -> dict[int, Use]:
    """What each pCPU of the host is used for."""
    uses = {cpu: Use(_vacant(host, cell, cpu)) for cell in host.cells for cpu in cell.cpus}
    given: set[int] = set()
    for cell in host.cells:
        for guest, used in on_cell(cell, guests):
            mine = {cpu: use for cpu, use in _given(guest, cell, used) if cpu in cell.cpus}
            uses |= {cpu: Use("twice") if cpu in given else use for cpu, use in mine.items()}
            given |= mine.keys()
    return uses


def _vacant(host: Host, cell: HostCell, cpu: int) -> Kind:
    if cpu in cell.pinned:
        return "unknown"
    if cpu in host.cpu_dedicated_set:
        return "free"
    return "shared" if cpu in host.cpu_shared_set else "outside"


def _given(guest: Guest, cell: HostCell, used: LayoutCell) -> Iterator[tuple[int, Use]]:
    for vcpu, pcpu in used.cpu_pinning.items():
        yield pcpu, Use("pinned", guest, vcpu)
    for pcpu in used.cpuset_reserved:
        yield pcpu, Use("emulator", guest)
    for pcpu in taken(cell, used, guest.instance.layout) - used.pcpus:
        yield pcpu, Use("idle", guest)
