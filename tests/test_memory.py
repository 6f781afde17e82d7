"""Of which pool a guest's memory comes, what that leaves for others, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.errors import DoesNotFit
from mdsvc.forms import from_builtins
from mdsvc.layout import fit
from mdsvc.placing import placement_service
from mdsvc.placing.usage import place, remove
from mdsvc.policy.flavor import Flavor, request
from mdsvc.topology import Host
from tests.reference.facts import Json
from tests.strategies import grid, host_of

GB = 1024**2
DEDICATED = "cpu_policy=dedicated"
IN_A_CELL = "numa_nodes=1"


def host(cells: int = 1, pages: list[Json] | None = None, **more: Any) -> Host:
    """A DPDK host: in each cell 64 GiB, 56 of them in pages of 1 GiB."""
    form = grid(cells, 32, shared=16)
    for cell in form["cells"]:
        cell["memory_mb"] = more.get("memory_mb", 65536)
        cell["pages"] = pages or [{"size_kb": 4, "total": 2 * GB}, {"size_kb": GB, "total": 56}]
    return host_of(form | {key: more[key] for key in more if key != "memory_mb"})


def guest(gib: int, *specs: str, vcpus: int = 1) -> Flavor:
    extra = dict(f"hw:{text}".split("=") for text in specs)
    return from_builtins({"vcpus": vcpus, "memory_mb": gib * 1024, "extra_specs": extra}, Flavor)


def with_guests(on: Host, *guests: Flavor) -> Host:
    for flavor in guests:
        on = place(on, fit(on, request(flavor)), flavor)
    return on


def pagesize(on: Host, flavor: Flavor) -> int | str | None:
    """The page size that the guest gets; why it does not fit, where it does not."""
    try:
        return fit(on, request(flavor)).cells[0].pagesize_kb
    except DoesNotFit as refused:
        return str(refused).partition("cell 0: ")[2] or str(refused)


def test_memory_in_huge_pages_is_not_sold_twice() -> None:
    """A guest that asks for no page size has none of it, and so takes it from no other."""
    why = "needs 49152 MiB of memory outside huge pages, 8192 there, 40960 short"
    assert pagesize(host(), guest(48, DEDICATED)) == why
    busy = with_guests(host(), guest(8, DEDICATED))
    assert pagesize(busy, guest(40, DEDICATED, "mem_page_size=1GB")) == GB
    full = with_guests(busy, guest(40, DEDICATED, "mem_page_size=1GB"))
    assert pagesize(full, guest(16, DEDICATED, "mem_page_size=1GB")) == GB
    assert "needs 1024 MiB of memory" in str(pagesize(full, guest(1, DEDICATED)))


def test_memory_that_was_told_without_its_huge_pages_still_has_them() -> None:
    told = host(memory_mb=8192)
    assert pagesize(told, guest(40, DEDICATED, "mem_page_size=1GB")) == GB
    assert pagesize(told, guest(8, DEDICATED)) is None
    assert "8192 there" in str(pagesize(told, guest(9, DEDICATED)))


LISTED = [{"size_kb": 4, "total": GB // 2}, {"size_kb": 2048, "total": 1024}]
LISTED += [{"size_kb": GB, "total": 2}]
UNLISTED = LISTED[1:]

# The claim; the pools beside 4 GiB in none; the request; GiB; the layout's page size, or why not.
TAKEN: list[tuple[str, list[Json], str, int, int | str | None]] = [
    ("none: the base pool, and no size is told", LISTED, "", 2, None),
    ("none: no more than that", LISTED, "", 3, "needs 3072 MiB of memory outside huge pages"),
    ("small: the base pool", LISTED, "small", 2, 4),
    ("small: no more than that", LISTED, "small", 3, "needs 3072 MiB in pages of that size"),
    ("large: the largest", LISTED, "large", 2, GB),
    ("large: never the base pool", LISTED, "large", 3, "needs 3072 MiB in pages of that size"),
    ("any: the largest", LISTED, "any", 2, GB),
    ("a size: that pool", LISTED, "2MB", 2, 2048),
    ("a size that is not there", LISTED, "16384", 2, "0 there"),
    ("none: what the listed pools leave", UNLISTED, "", 4, None),
    ("small: that, whose size is not told", UNLISTED, "small", 4, None),
    ("small: never a huge one", UNLISTED, "small", 5, "4096 there"),
    ("large: each that is listed", UNLISTED[:1], "large", 2, 2048),
    ("any: the base pool last", UNLISTED, "any", 4, None),
    ("a size: not one that is not listed", UNLISTED, "4KB", 1, "0 there"),
]


@pytest.mark.parametrize("row", TAKEN, ids=lambda row: row[0])
def test_r9_which_pool_is_taken(
    row: tuple[str, list[Json], str, int, int | str | None],
) -> None:
    _, pages, size, gib, expected = row
    on = host(pages=pages, memory_mb=6144 if pages is LISTED else 8192 - (len(pages) == 1) * 2048)
    specs = [f"mem_page_size={size}"] if size else []
    taken = pagesize(on, guest(gib, DEDICATED, *specs))
    if isinstance(expected, str):
        assert expected in str(taken)
    else:
        assert taken == expected


def test_any_takes_the_next_pool_where_one_is_full() -> None:
    on, sizes = host(pages=LISTED, memory_mb=6144), []
    asked = guest(2, DEDICATED, "mem_page_size=any")
    for _ in range(3):
        sizes.append(pagesize(on, asked))
        on = with_guests(on, asked)
    assert sizes == [GB, 2048, 4]
    assert "0 there" in str(pagesize(on, asked))


def test_r9_memory_that_is_no_multiple_of_a_page_is_not_for_its_pool() -> None:
    on = host(pages=LISTED, memory_mb=6144)
    odd = Flavor(vcpus=1, memory_mb=1025, extra_specs={"hw:mem_page_size": "any"})
    assert pagesize(on, odd) == 4


@pytest.mark.parametrize(
    ("ratio", "specs", "most"),
    [
        (2.0, [IN_A_CELL], 8),
        (2.0, [DEDICATED], 4),
        (2.0, [IN_A_CELL, "mem_page_size=small"], 4),
        (0.5, [IN_A_CELL], 0),
        (0.5, [DEDICATED], 0),
        (0.75, [IN_A_CELL, "mem_page_size=small"], 2),
    ],
)
def test_r15_who_overcommits(ratio: float, specs: list[str], most: int) -> None:
    """Beside 4 GiB that are in use of a base pool of 8."""
    on = replace(with_guests(host(), guest(4, DEDICATED)), ram_allocation_ratio=ratio)
    fitting = [gib for gib in range(1, 12) if not isinstance(pagesize(on, guest(gib, *specs)), str)]
    assert max(fitting, default=0) == most


@pytest.mark.parametrize(("ratio", "pages"), [(1.0, 56), (2.0, 56), (0.5, 28)])
def test_r15_huge_pages_are_not_overcommitted(ratio: float, pages: int) -> None:
    on = host(ram_allocation_ratio=ratio)
    one = guest(1, IN_A_CELL, "mem_page_size=1GB")
    for _ in range(pages):
        assert pagesize(on, one) == GB
        on = with_guests(on, one)
    assert "0 there" in str(pagesize(on, one))


def test_r15_guests_that_float_have_the_base_pools_of_the_host_together() -> None:
    on = host(2)
    assert fit(on, request(guest(16))).cells == ()
    with pytest.raises(DoesNotFit, match="needs 17408 MiB of memory outside huge pages, 16384 th"):
        fit(on, request(guest(17)))
    busy = with_guests(on, guest(16))
    assert pagesize(busy, guest(56, DEDICATED, "mem_page_size=1GB")) == GB
    assert "needs 1024 MiB of memory outside huge pages, 0 there" in str(
        pagesize(busy, guest(1, DEDICATED))
    )


def test_a_guest_of_any_page_size_leaves_guests_that_float_what_they_have() -> None:
    """Each of its cells could have base pages, and one of them may; so the other has huge ones."""
    on = host(2, pages=[{"size_kb": 4, "total": 2 * GB}, {"size_kb": GB, "total": 1}])
    on = with_guests(on, guest(1, IN_A_CELL, "mem_page_size=1GB"), guest(12))
    both = guest(2, DEDICATED, "numa_nodes=2", "mem_page_size=any", vcpus=2)
    assert [cell.pagesize_kb for cell in fit(on, request(both)).cells] in ([4, GB], [GB, 4])
    tight = with_guests(on, guest(4))
    with pytest.raises(DoesNotFit, match="needs 1024 MiB of memory outside huge pages, 0 there"):
        fit(tight, request(both))


@pytest.mark.parametrize("size", ["", "small", "large", "any"])
@pytest.mark.parametrize("pages", [LISTED, UNLISTED])
def test_a_guest_is_charged_to_the_pool_that_it_is_in_and_to_no_other(
    size: str, pages: list[Json]
) -> None:
    on = host(pages=pages, memory_mb=6144 if pages is LISTED else 8192)
    flavor = guest(2, DEDICATED, *([f"mem_page_size={size}"] if size else []))
    layout = fit(on, request(flavor))
    after = place(on, layout, flavor)
    grown = [
        (new.size_kb, (new.used_kb - old.used_kb) // GB)
        for old, new in zip(on.cells[0].pools, after.cells[0].pools, strict=True)
    ]
    taken = on.cells[0].pool(layout.cells[0].pagesize_kb)
    assert taken is not None
    assert dict(grown) == {p.size_kb: 2 * (p is taken) for p in on.cells[0].pools}
    assert remove(after, layout, flavor) == on


def test_placement_counts_the_memory_of_all_pools() -> None:
    """Also of those that are beside what a host says that it has."""
    for told in (65536, 8192):
        on = host(memory_mb=told)
        assert placement_service.inventories(on)["MEMORY_MB"]["total"] == 65536
        busy = with_guests(on, guest(8, DEDICATED), guest(40, DEDICATED, "mem_page_size=1GB"))
        assert placement_service.usages(busy)["MEMORY_MB"] == 48 * 1024
