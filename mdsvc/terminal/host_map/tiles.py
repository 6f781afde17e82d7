"""Whose each pCPU of a host is, as the few characters that stand in its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, islice, product
from math import ceil
from string import ascii_uppercase
from typing import NamedTuple

from mdsvc.instance import PlacedInstance
from mdsvc.layout import LayoutCell
from mdsvc.placing.usage import taken
from mdsvc.terminal.words import shared_limit
from mdsvc.topology import Host, HostCell

_COLOURS = (
    *("#f4a261", "#5ec4b6", "#e9c46a", "#c49bff", "#8fce72", "#ff8fa3"),
    *("#72c6f5", "#d9a37c", "#e58fe0", "#b9d843", "#a5b4fc", "#ffcf99"),
)
_SHADES = ("#25364a", "#2c4a6b", "#345f8e", "#3b75b3")
"""Of the shared CPUs, by how many vCPUs float over them."""


class Tile(NamedTuple):
    """What stands in the place of one pCPU, and what the key says of its kind."""

    kind: int
    text: str
    style: str
    meaning: str


class Guest(NamedTuple):
    """A guest of the host under its letter."""

    tag: str
    colour: str
    instance: PlacedInstance


FREE = Tile(3, ".", "bold green", "free to dedicate")
_NOT_FOR_GUESTS = Tile(5, " ", "", "not for guests")
UNKNOWN = Tile(6, "?", "bold white on #7a1f2b", "taken, not by these")
_TWICE = Tile(7, "!", "bold white on #d00000", "given to two guests")


def guests_of(host: Host, instances: Sequence[PlacedInstance]) -> list[Guest]:
    """The host's own guests by name, each with a letter: A to Z, then AA, AB and so on."""
    here = sorted((i for i in instances if i.host == host.name), key=lambda i: (i.name, i.uuid))
    words = (product(ascii_uppercase, repeat=length) for length in count(1))
    tags = islice(("".join(letters) for word in words for letters in word), len(here))
    return [
        Guest(tag, _COLOURS[at % len(_COLOURS)], instance)
        for at, (tag, instance) in enumerate(zip(tags, here, strict=True))
    ]


def on_cell(cell: HostCell, guests: Sequence[Guest]) -> list[tuple[Guest, LayoutCell]]:
    """The parts of guests that are on a host cell."""
    return [
        (guest, used)
        for guest in guests
        for used in guest.instance.layout.cells
        if used.host_cell == cell.id
    ]


def tiles_of(host: Host, guests: Sequence[Guest]) -> dict[int, Tile]:
    """The tile of each pCPU of the host."""
    tiles = {cpu: _vacant(host, cell, cpu) for cell in host.cells for cpu in cell.cpus}
    given: set[int] = set()
    for cell in host.cells:
        for guest, used in on_cell(cell, guests):
            mine = {cpu: tile for cpu, tile in _given(guest, cell, used) if cpu in cell.cpus}
            tiles |= {cpu: _TWICE if cpu in given else tile for cpu, tile in mine.items()}
            given |= mine.keys()
    return tiles


def _vacant(host: Host, cell: HostCell, cpu: int) -> Tile:
    if cpu in cell.pinned:
        return UNKNOWN
    if cpu in host.cpu_dedicated_set:
        return FREE
    if cpu not in host.cpu_shared_set:
        return _NOT_FOR_GUESTS
    load = min(1, cell.shared_used / max(1, shared_limit(host, [cell])))
    return Tile(4, "~", f"white on {_SHADES[ceil(load * (len(_SHADES) - 1))]}", "shared")


def _given(guest: Guest, cell: HostCell, used: LayoutCell) -> Iterator[tuple[int, Tile]]:
    tag, colour, instance = guest
    style = f"bold black on {colour}"
    for vcpu, pcpu in used.cpu_pinning.items():
        yield pcpu, Tile(0, f"{tag}{vcpu}", style, f"{tag}'s vCPU {vcpu}")
    for pcpu in used.cpuset_reserved:
        yield pcpu, Tile(1, f"{tag}e", style, f"{tag}'s emulator")
    for pcpu in taken(cell, used, instance.layout) - used.pcpus:
        yield pcpu, Tile(2, f"{tag}·", f"{colour} on #303030", f"idle for {tag}")
