"""Memory, pool by pool: each guest cell's pool is there, and large enough for all (R15)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mdsvc.placing.standing.residents import Broken, Part, Resident, parts
from mdsvc.policy.flavor import names_page_size
from mdsvc.topology import Host, MemoryPool


def pages(host: Host, guests: Sequence[Resident]) -> Broken:
    """The page size that a guest cell was given is still there."""
    for part in parts(host, guests):
        if part.cell.pool(part.used.pagesize_kb) is None:
            yield part.guest, f"{part.where} has no pages of {part.used.pagesize_kb} KiB"


def memory(host: Host, guests: Sequence[Resident]) -> Broken:
    """The guests of each pool have room in it, and those without NUMA topology in what the base
    pools have left together.
    """
    floating = [guest for guest in guests if guest.floats]
    in_base: list[Resident] = []
    left_kb = 0
    for pool, in_pool in _pools(host, guests):
        yield from _alone(pool, in_pool)
        firm = [part for part in in_pool if not _overcommits(part)]
        limit_kb = host.limit_kb(pool, overcommits=True)
        yield from _together(pool, firm, host.limit_kb(pool)) or _together(pool, in_pool, limit_kb)
        if pool.is_base:
            in_base += [part.guest for part in in_pool]
            left_kb += max(0, limit_kb - _taken_kb(in_pool))
    yield from _floating(host, floating, in_base, left_kb // 1024)


def _pools(host: Host, guests: Sequence[Resident]) -> Iterator[tuple[MemoryPool, list[Part]]]:
    everywhere = list(parts(host, guests))
    for cell in host.cells:
        in_cell = [part for part in everywhere if part.cell is cell]
        for pool in cell.pools:
            yield pool, [part for part in in_cell if cell.pool(part.used.pagesize_kb) == pool]


def _overcommits(part: Part) -> bool:
    """Where the base pool is not listed, the layout does not tell who asked for its page size."""
    guest = part.guest
    return guest.layout.cpu_policy == "shared" and not names_page_size(guest.flavor, guest.image)


def _taken_kb(in_pool: Sequence[Part]) -> int:
    return sum(part.used.memory_mb for part in in_pool) * 1024


def _alone(pool: MemoryPool, in_pool: Sequence[Part]) -> Broken:
    """No guest overcommits against itself."""
    for part in in_pool:
        if part.used.memory_mb * 1024 > pool.capacity_kb:
            needs = f"its {part.used.memory_mb} MiB in {part.where}"
            yield part.guest, f"{needs} exceed the {_words(pool, pool.capacity_kb)} there"


def _together(
    pool: MemoryPool, in_pool: Sequence[Part], limit_kb: int
) -> list[tuple[Resident, str]]:
    taken_kb = _taken_kb(in_pool)
    if taken_kb <= limit_kb:
        return []
    what = f"{taken_kb // 1024} MiB where {_words(pool, limit_kb)} may be"
    return [(part.guest, f"{part.where}: {what}") for part in in_pool]


def _words(pool: MemoryPool, size_kb: int) -> str:
    kind = "" if pool.size_kb is None else f" in pages of {pool.size_kb} KiB"
    return f"{size_kb // 1024} MiB{kind}"


def _floating(
    host: Host, floating: Sequence[Resident], in_base: Sequence[Resident], left_mb: int
) -> Broken:
    whole_mb = sum(cell.base.capacity_kb for cell in host.cells) // 1024
    for guest in floating:
        if guest.flavor.memory_mb > whole_mb:
            yield guest, f"its {guest.flavor.memory_mb} MiB exceed the {whole_mb} MiB there"
    taken_mb = sum(guest.flavor.memory_mb for guest in floating)
    for guest in [*floating, *in_base] if floating and taken_mb > left_mb else ():
        what = f"{taken_mb} MiB where {left_mb} MiB may be"
        yield guest, f"guests without NUMA topology: {what}"
