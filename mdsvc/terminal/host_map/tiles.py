"""What each pCPU of a host is used for, as the few characters that stand in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import NamedTuple

from mdsvc.amounts import shared_limit
from mdsvc.occupancy import Guest, Kind, Use, uses_of
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


FREE = Tile(3, ".", "bold green", "free to dedicate")
UNKNOWN = Tile(6, "?", "bold white on #7a1f2b", "taken, not by these")

_NOBODYS: Mapping[Kind, Tile] = {
    "free": FREE,
    "outside": Tile(5, " ", "", "not for guests"),
    "unknown": UNKNOWN,
    "twice": Tile(7, "!", "bold white on #d00000", "given to two guests"),
}


def colour(guest: Guest) -> str:
    """Which colour a guest has beside its letter."""
    return _COLOURS[guest.number % len(_COLOURS)]


def tiles_of(host: Host, guests: Sequence[Guest]) -> dict[int, Tile]:
    """The tile of each pCPU of the host."""
    uses = uses_of(host, guests)
    return {cpu: _tile(uses[cpu], host, cell) for cell in host.cells for cpu in cell.cpus}


def _tile(use: Use, host: Host, cell: HostCell) -> Tile:
    if use.guest:
        return _given(use, use.guest)
    return _shared(host, cell) if use.kind == "shared" else _NOBODYS[use.kind]


def _shared(host: Host, cell: HostCell) -> Tile:
    load = min(1, cell.shared_used / max(1, shared_limit(host, [cell])))
    return Tile(4, "~", f"white on {_SHADES[ceil(load * (len(_SHADES) - 1))]}", "shared")


def _given(use: Use, guest: Guest) -> Tile:
    tag, style = guest.tag, f"bold black on {colour(guest)}"
    if use.kind == "idle":
        return Tile(2, f"{tag}·", f"{colour(guest)} on #303030", f"idle for {tag}")
    if use.kind == "emulator":
        return Tile(1, f"{tag}e", style, f"{tag}'s emulator")
    return Tile(0, f"{tag}{use.vcpu}", style, f"{tag}'s vCPU {use.vcpu}")
