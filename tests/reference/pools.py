"""Memory: the pools of a host cell, and those that a guest cell may have its memory of.

A guest cell's memory comes out of one pool, and pools do not share. Amounts are in KiB.
"""

from dataclasses import dataclass

from .facts import Cell, Json, cells_of

BASE_SIZES = range(1, 65)
"""The page sizes in KiB, the smallest of which that is listed is the base pool's."""


@dataclass(frozen=True)
class Pool:
    """The base pool, whose size may not be known, or the huge pages of one size."""

    size_kb: int | None
    is_base: bool
    capacity_kb: int
    used_kb: int


def huge_pools(cell: Cell) -> list[Pool]:
    """All that are listed but the smallest of at most 64 KiB; the smallest first."""
    pages = sorted(cell.pages, key=lambda pool: pool.size_kb)
    if pages and pages[0].size_kb in BASE_SIZES:
        del pages[0]
    return [Pool(p.size_kb, False, p.size_kb * p.total, p.size_kb * p.used) for p in pages]


def base_pool(cell: Cell) -> Pool:
    """What is listed of it, but no more than the cell has beside the huge pages; where these are
    more than the cell has, its memory was given without them. Else what they leave.
    """
    huge, memory_kb = huge_pools(cell), cell.memory_mb * 1024
    huge_kb = sum(pool.capacity_kb for pool in huge)
    by_guests = cell.memory_used_mb * 1024 - sum(pool.used_kb for pool in huge)
    listed = [page for page in cell.pages if page.size_kb not in {pool.size_kb for pool in huge}]
    if not listed:
        return Pool(None, True, max(0, memory_kb - huge_kb), max(0, by_guests))
    [page] = listed
    most_kb = memory_kb if huge_kb > memory_kb else memory_kb - huge_kb
    capacity_kb = min(page.size_kb * page.total, most_kb)
    return Pool(page.size_kb, True, capacity_kb, max(0, by_guests, page.size_kb * page.used))


def overcommits(request: Json) -> bool:
    """R15: only a guest that asks for no page size and has no dedicated vCPU."""
    return request["page_size"] is None and request["policy"] == "shared"


def left_kb(host: Json, pool: Pool, request: Json) -> int:
    """What guests of this kind may still have of the pool, all together."""
    ratio = float(host.get("ram_allocation_ratio", 1.0))
    if not (overcommits(request) and pool.is_base):
        ratio = min(1.0, ratio)
    return max(0, int(pool.capacity_kb * ratio) - pool.used_kb)


def usable(cell: Cell, page_size: str | int | None) -> list[Pool]:
    """R9: the pools that the guest may have, in the order in which it has them."""
    base, largest_first = base_pool(cell), huge_pools(cell)[::-1]
    if page_size in (None, "small"):
        return [base]
    if page_size == "large":
        return largest_first
    if page_size == "any":
        return [*largest_first, base]
    return [pool for pool in (*largest_first, base) if pool.size_kb == page_size]


def pools_for(host: Json, cell: Cell, request: Json, memory_mb: int) -> list[Pool]:
    """The pools that hold this memory, in whole pages, the one that it is taken of first."""
    memory_kb = memory_mb * 1024
    return [
        pool
        for pool in usable(cell, request["page_size"])
        if memory_kb <= min(pool.capacity_kb, left_kb(host, pool, request))
        and (pool.size_kb is None or memory_kb % pool.size_kb == 0)
    ]


def page_size_of(pool: Pool, request: Json) -> int | None:
    """What the layout says: nothing where no page size was asked for."""
    return None if request["page_size"] is None else pool.size_kb


def floating_left_kb(host: Json, cells: list[Cell], request: Json) -> int:
    """What the base pools have left together, beside the guests that float over the host."""
    left = sum(left_kb(host, base_pool(cell), request) for cell in cells)
    return left - int(host.get("floating_memory_mb", 0)) * 1024


def floating_part_mb(host: Json, cell: Cell) -> int:
    """A cell's part of the memory of guests that float, by its base pool."""
    floating_mb = int(host.get("floating_memory_mb", 0))
    everywhere = sum(base_pool(each).capacity_kb for each in cells_of(host))
    return floating_mb * base_pool(cell).capacity_kb // everywhere if everywhere else 0
