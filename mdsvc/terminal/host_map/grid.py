"""The cores of a cell in columns: how wide, how many side by side, and the lines themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from rich.text import Text

from mdsvc.terminal.host_map.tiles import Tile
from mdsvc.topology import HostCell

FRAME = 4
"""The characters that a box takes beside what is in it."""

_MIN_WIDTH = 40
"""Of a box, for its gauges; two such fit into 80 columns."""


class Grid(NamedTuple):
    """Sizes, in characters, that all cells of a host are drawn with."""

    label: int
    tile: int
    cores: int  # side by side

    @classmethod
    def of(cls, cells: Sequence[HostCell], tiles: Mapping[int, Tile], available: int) -> Grid:
        """As few lines of cores as there is room for, two cells abreast where they fit so; then
        lines of about equal length, and tiles as wide as that leaves room for.
        """
        texts = (*(tile.text for tile in tiles.values()), *map(str, tiles))
        tile = max(map(len, texts), default=1)
        steps = ("cpu", *(step for cell in cells for step in thread_steps(cell)))
        label = 1 + max(map(len, steps))
        cores = max(1, *(len(cell.cores) for cell in cells))
        half = available // min(2, len(cells))
        room = half if cls(label, tile, cores).width <= half else available
        most = max(1, (room - FRAME - label + 1) // (tile + 1))
        cores = ceil(cores / ceil(cores / most))
        grids = [cls(label, tile + pad, cores) for pad in (2, 1, 0)]
        return next((grid for grid in grids if grid.width <= room), grids[-1])

    @property
    def width(self) -> int:
        """The width of a box."""
        return max(_MIN_WIDTH, FRAME + self.label + self.cores * (self.tile + 1) - 1)

    def lines(self, cell: HostCell, tiles: Mapping[int, Tile]) -> Iterator[Text]:
        """The cores of a cell, each a column below the numbers of its CPUs."""
        cores, steps = cell.cores, thread_steps(cell)
        for start in range(0, len(cores), self.cores):
            block = [tuple(core) for core in cores[start : start + self.cores]]
            for thread, step in enumerate(steps):
                cpus = [core[thread] if thread < len(core) else None for core in block]
                if not step:
                    numbers = ["" if cpu is None else str(cpu) for cpu in cpus]
                    yield self._line("cpu", [(number, "dim") for number in numbers])
                shown = [("", "") if cpu is None else tiles[cpu][1:3] for cpu in cpus]
                yield self._line(step, shown)

    def _line(self, label: str, texts: Sequence[tuple[str, str]]) -> Text:
        line = Text.assemble((label.ljust(self.label), "dim"))
        tiles = (Text(text.center(self.tile), style) for text, style in texts)
        return line.append_text(Text(" ").join(tiles))


def thread_steps(cell: HostCell) -> list[str]:
    """For each thread of the cores, how much higher its CPU is than that of the first: ``+8``.

    Empty for the first, and where it is not the same in all cores.
    """
    cores = [tuple(core) for core in cell.cores]
    steps = [""]
    for thread in range(1, max(map(len, cores), default=1)):
        distances = {core[thread] - core[0] for core in cores if thread < len(core)}
        steps.append(f"+{distances.pop()}" if len(distances) == 1 else "")
    return steps
