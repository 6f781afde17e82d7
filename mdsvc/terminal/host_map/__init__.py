"""A host drawn for the terminal: which pCPU is whose.

Each NUMA cell is a box. In it each core is a column and each of its threads a row; the line on
top names the CPUs of the first threads, and ``+8`` before a row says how much higher its own are.
A guest is a letter: ``A2`` is its vCPU 2. Colour only repeats what the letters say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from mdsvc.amounts import (
    dedicated_free,
    memory,
    memory_used,
    of,
    shared_limit,
    shared_used,
)
from mdsvc.instance import PlacedInstance
from mdsvc.occupancy import Guest, guests_of
from mdsvc.terminal.host_map.gauges import gauges
from mdsvc.terminal.host_map.grid import FRAME, Grid, thread_steps
from mdsvc.terminal.host_map.tiles import Tile, colour, tiles_of
from mdsvc.terminal.words import Printable, plain
from mdsvc.topology import Host, HostCell


def host_map(host: Host, guests: Sequence[PlacedInstance]) -> Printable:
    """The drawing of a host with its own among the guests, as wide as the console has room."""
    return Printable(_HostMap(host, guests))


class _HostMap:
    def __init__(self, host: Host, instances: Sequence[PlacedInstance]) -> None:
        self.host = host
        self.guests = guests_of(host, instances)
        self.tiles = tiles_of(host, self.guests)

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        cells = self.host.cells
        grid = Grid.of(cells, self.tiles, options.max_width)
        abreast = max(1, options.max_width // grid.width)
        yield _title(self.host)
        for start in range(0, len(cells), abreast):
            yield self._boxes(cells[start : start + abreast], grid)
        if self.guests:
            yield _legend(self.guests)
        yield _key(self.host, self.tiles.values(), options.max_width)

    def _boxes(self, cells: Sequence[HostCell], grid: Grid) -> Table:
        """The cells side by side, equally high."""
        width = grid.width - FRAME
        insides = [
            [*grid.lines(cell, self.tiles), *gauges(self.host, cell, self.guests, width)]
            for cell in cells
        ]
        height = max(map(len, insides)) + 2
        row = Table.grid()
        row.add_row(
            *(
                _box(cell, inside, grid.width, height)
                for cell, inside in zip(cells, insides, strict=True)
            )
        )
        return row


def _box(cell: HostCell, inside: Sequence[Text], width: int, height: int) -> Panel:
    where = f"socket {cell.socket}" if cell.cpus else "memory only"
    return Panel(
        Text("\n", no_wrap=True, overflow="ellipsis").join(inside),
        title=Text(f"cell {cell.id} · {where}", "bold"),
        title_align="left",
        border_style="dim",
        width=width,
        height=height,
    )


def _title(host: Host) -> Text:
    parts = [memory(memory_used(host), host.memory_mb)]
    if host.cpu_shared_set:
        limit = shared_limit(host, host.cells)
        parts.insert(0, f"{of(shared_used(host), limit)} shared vCPUs")
    if host.cpu_dedicated_set:
        total = len(host.cpu_dedicated_set)
        parts.insert(0, f"{of(dedicated_free(host), total)} dedicated pCPUs free")
    return Text.assemble(plain(host.name, "bold"), "  ", " · ".join(parts))


def _legend(guests: Sequence[Guest]) -> Table:
    """Who is behind each letter."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=2 + max(len(guest.tag) for guest in guests))
    for _ in range(3):
        table.add_column(no_wrap=True, overflow="ellipsis")
    for guest in guests:
        chip = Text(f" {guest.tag} ", f"bold black on {colour(guest)}")
        instance = guest.instance
        memory_mb = f"{instance.flavor.memory_mb} MiB"
        table.add_row(chip, plain(instance.name, "bold"), _vcpus(instance), memory_mb)
    return table


def _vcpus(guest: PlacedInstance) -> str:
    layout = guest.layout
    if not layout.cells:
        return f"{guest.flavor.vcpus} shared, over all cells"
    counts = {"dedicated": len(layout.dedicated_cpus), "shared": len(layout.shared_cpus)}
    return ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)


def _key(host: Host, tiles: Iterable[Tile], width: int) -> Text:
    """What the signs mean that are in the drawing, each kind once, in lines of that width."""
    kinds = {tile.kind: tile for tile in sorted(tiles, reverse=True)}
    signs = [(tile.text.strip(), tile.style, tile.meaning) for _, tile in sorted(kinds.items())]
    steps = (step for cell in host.cells for step in thread_steps(cell) if step)
    if step := next(steps, None):
        signs.append((step, "", f"CPU numbers {step[1:]} higher than on top"))
    if any(cell.split for cell in host.cells):
        signs.append(("split", "", "cores that reach into another cell"))
    lines = [Text()]
    for sign, style, meaning in signs:
        entry = Text.assemble((f" {sign or 'blank'} ", style), (f" {meaning}", "dim"))
        if lines[-1] and len(lines[-1]) + len(entry) + 2 > width:
            lines.append(Text())
        lines[-1].append("  " if lines[-1] else "").append_text(entry)
    return Text("\n").join(lines)
