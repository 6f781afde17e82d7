"""The pools that a host cell's memory is in: how large each is, and how much of it is in use."""

from __future__ import annotations

import pytest

from mdsvc.topology import Host, HostCell, MemoryPool
from tests.reference.facts import Json
from tests.strategies import grid, host_of

GB = 1024**2
"""1 GiB in KiB, and the size of a 1 GiB page."""


def host(ram_ratio: float = 1.0, floating_memory_mb: int = 0, **cell: object) -> Host:
    """Two cells of 64 GiB, the first with what is said."""
    form = grid(2, 4, shared=2, ram_allocation_ratio=ram_ratio)
    for plain in form["cells"]:
        plain["memory_mb"] = 65536
    form["cells"][0] |= cell
    return host_of(form | {"floating_memory_mb": floating_memory_mb})


def cell(**more: object) -> HostCell:
    return host(**more).cells[0]  # type: ignore[arg-type] # the fields of a cell


def pages(*pools: tuple[int, int, int]) -> list[Json]:
    return [{"size_kb": size, "total": total, "used": used} for size, total, used in pools]


def shown(cell: HostCell) -> list[tuple[int | None, int, int]]:
    """Page size in KiB, capacity and use in MiB; the base pool first."""
    return [(p.size_kb, p.capacity_kb // 1024, p.used_kb // 1024) for p in cell.pools]


# The claim; memory_mb, pages, and the base pool's size in KiB and capacity in MiB.
CAPACITIES: list[tuple[str, int, list[tuple[int, int, int]], int | None, int]] = [
    ("no pages: all of the memory", 4096, [], None, 4096),
    ("only base pages", 4096, [(4, 262144, 0)], 4, 1024),
    ("a base pool of more than all memory", 1024, [(4, 1048576, 0)], 4, 1024),
    ("what huge pages leave", 4096, [(4, 1048576, 0), (2048, 512, 0)], 4, 3072),
    ("the pool itself, where that is less", 4096, [(4, 131072, 0), (2048, 512, 0)], 4, 512),
    ("nothing, where huge pages are all", 1024, [(4, 262144, 0), (2048, 512, 0)], 4, 0),
    ("huge pages beside the memory", 1024, [(4, 262144, 0), (2048, 1024, 0)], 4, 1024),
    ("no base pool listed", 4096, [(2048, 512, 0)], None, 3072),
    ("no base pool listed, and nothing left", 1024, [(2048, 1024, 0)], None, 0),
    ("base pages of 16 KiB", 4096, [(16, 65536, 0), (32768, 1, 0)], 16, 1024),
    ("base pages of 64 KiB", 4096, [(64, 16384, 0), (524288, 1, 0)], 64, 1024),
    ("64 KiB are huge beside 4 KiB", 4096, [(64, 16384, 0), (4, 1048576, 0)], 4, 3072),
    ("128 KiB are huge", 4096, [(128, 8192, 0)], None, 3072),
]


@pytest.mark.parametrize("row", CAPACITIES, ids=lambda row: row[0])
def test_how_much_the_base_pool_has(
    row: tuple[str, int, list[tuple[int, int, int]], int | None, int],
) -> None:
    _, memory_mb, pools, size_kb, capacity_mb = row
    described = cell(memory_mb=memory_mb, pages=pages(*pools))
    assert (described.base.size_kb, described.base.capacity_kb) == (size_kb, capacity_mb * 1024)
    assert [pool.is_base for pool in described.pools] == [True] + [False] * (
        len(described.pools) - 1
    )


# The claim; memory_used_mb, pages used of 4 KiB and of 1 GiB, and the base pool's use in MiB.
USES = [
    ("nothing", 0, 0, 0, 0),
    ("guests without a page size", 512, 0, 0, 512),
    ("guests of huge pages have none of it", 2048, 0, 2, 0),
    ("beside them", 2560, 0, 2, 512),
    ("guests of small pages are counted once", 512, 131072, 0, 512),
    ("both kinds", 2560, 65536, 2, 512),
    ("its own use, where that is more", 2048, 65536, 2, 256),
    ("where the rest is not told", 0, 65536, 2, 256),
]


@pytest.mark.parametrize("row", USES, ids=lambda row: row[0])
def test_how_much_of_the_base_pool_is_in_use(row: tuple[str, int, int, int, int]) -> None:
    _, used_mb, small, huge, expected_mb = row
    pools = pages((4, 2097152, small), (GB, 56, huge))
    described = cell(pages=pools, memory_used_mb=used_mb)
    assert shown(described) == [(4, 8192, expected_mb), (GB, 57344, huge * 1024)]


def test_a_placed_guest_cell_is_in_the_pool_of_its_page_size() -> None:
    listed, unlisted = cell(pages=pages((4, 9, 0), (2048, 9, 0))), cell(pages=pages((2048, 9, 0)))
    assert listed.pool(None) == listed.pool(4) == listed.base
    assert listed.pool(2048) == listed.pools[1]
    assert unlisted.pool(None) == unlisted.base
    assert unlisted.pool(4) is None


@pytest.mark.parametrize(
    ("ratio", "base", "overcommitted", "huge"),
    [(1.0, 8, 8, 56), (1.5, 8, 12, 56), (0.5, 4, 4, 28)],
)
def test_r15_only_the_base_pool_overcommits(
    ratio: float, base: int, overcommitted: int, huge: int
) -> None:
    described = host(ratio, pages=pages((4, 2097152, 0), (GB, 56, 0)))
    small, large = described.cells[0].pools
    assert described.limit_kb(small) == base * GB
    assert described.limit_kb(small, overcommits=True) == overcommitted * GB
    assert described.limit_kb(large) == described.limit_kb(large, overcommits=True) == huge * GB


def test_what_the_base_pools_have_left_for_guests_that_float() -> None:
    pools = pages((4, 2097152, 0), (GB, 56, 0))
    described = host(1.5, floating_memory_mb=1024, pages=pools, memory_used_mb=9216)
    assert described.base_left_kb() == (0 + 64 - 1) * GB, "an overfull pool takes from no other"
    assert described.base_left_kb(overcommits=True) == (3 + 96 - 1) * GB
    assert host(floating_memory_mb=2 * 65536 + 1).base_left_kb() == -1024


def test_pools_are_values() -> None:
    assert cell().base == MemoryPool(None, 65536 * 1024, 0, is_base=True)
