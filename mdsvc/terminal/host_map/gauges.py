"""What a cell's box says below its cores: how much is in use, and whose it is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from mdsvc.amounts import memory, of, page_size, shared_limit
from mdsvc.occupancy import Guest, on_cell
from mdsvc.terminal.host_map.tiles import FREE, UNKNOWN, colour
from mdsvc.topology import Host, HostCell, PagePool

Share = tuple[str, str, int]
"""A letter, its style and how much it has."""


def gauges(host: Host, cell: HostCell, guests: Sequence[Guest], width: int) -> list[Text]:
    """The lines for a cell, each at most ``width`` characters long where that is 20 or more; but
    the CPUs of split cores may be many, and are cut where the box ends.
    """
    lines = []
    if cell.split:
        lines.append(_line("split", str(cell.split)))
    if host.dedicated(cell):
        free = of(len(host.free(cell)), len(host.dedicated(cell)))
        lines.append(_line("dedicated", f"{free} free"))
    if host.shared(cell):
        lines.append(_floating(host, cell, guests))
    lines.append(_memory(cell, guests, width))
    huge = (pool for pool in cell.pages if pool.size_kb != cell.base.size_kb and pool.total)
    by_size = sorted(huge, key=lambda pool: pool.size_kb)
    return lines + [_pages(pool, cell, guests, width) for pool in by_size]


def _floating(host: Host, cell: HostCell, guests: Sequence[Guest]) -> Text:
    """How many vCPUs float over the cell's shared CPUs, and whose."""
    line = _line("shared", f"{of(cell.shared_used, shared_limit(host, [cell]))} vCPUs")
    for guest, used in on_cell(cell, guests):
        if used.cpuset:
            line.append(" ").append(f"{guest.tag}×{len(used.cpuset)}", f"black on {colour(guest)}")
    return line


def _memory(cell: HostCell, guests: Sequence[Guest], width: int) -> Text:
    """The base pool: what is in huge pages has lines of its own."""
    base = cell.base
    used_mb, total_mb = base.used_kb // 1024, base.capacity_kb // 1024
    shares = [
        (guest, used.memory_mb)
        for guest, used in on_cell(cell, guests)
        if cell.pool(used.pagesize_kb) == base
    ]
    line, numbers = _line("memory", ""), memory(used_mb, total_mb)
    return _gauge(line, _parts(shares, used_mb), total_mb, numbers, width)


def _pages(pool: PagePool, cell: HostCell, guests: Sequence[Guest], width: int) -> Text:
    shares = [
        (guest, used.memory_mb * 1024 // pool.size_kb)
        for guest, used in on_cell(cell, guests)
        if used.pagesize_kb == pool.size_kb
    ]
    line = _line(f"{page_size(pool.size_kb)}", "")
    return _gauge(line, _parts(shares, pool.used), pool.total, of(pool.used, pool.total), width)


def _parts(shares: Sequence[tuple[Guest, int]], used: int) -> list[Share]:
    """What each guest has, and what is in use beside that."""
    known = [(guest.tag, f"black on {colour(guest)}", amount) for guest, amount in shares]
    rest = max(0, used - sum(amount for _, amount in shares))
    return [*known, (UNKNOWN.text, UNKNOWN.style, rest)]


def _gauge(line: Text, parts: Sequence[Share], total: int, numbers: str, width: int) -> Text:
    """The line with a bar as long as there is room, then the numbers.

    Whoever has a part of it has a letter in it, as long as there is room.
    """
    if not total:
        return line.append(numbers)
    length = max(0, width - len(line) - len(numbers) - 1)
    done = end = 0
    for tag, style, amount in parts:
        done, start = done + amount, end
        end = min(length, max(round(length * done / total), start + (amount > 0)))
        line.append(_letters(tag, end - start), style)
    line.append(FREE.text * (length - end), FREE.style)
    return line.append(f" {numbers}")


def _letters(tag: str, length: int) -> str:
    """``AAAA`` for A; ``AB▒▒`` for AB, so that it is not taken for A and B."""
    fill = tag if len(tag) == 1 else "▒"
    return tag.ljust(length, fill) if len(tag) <= length else fill * length


def _line(name: str, text: str) -> Text:
    return Text.assemble((f"{name:<10} ", "dim"), text)
