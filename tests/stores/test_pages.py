"""Every store reads its hosts and guests page by page: in order, all, no more than asked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mdsvc.store import Store

from .values import fill, guest, host, uuid

NAMES = ["b", "B", "a", "a-1", "a.1", "a1", "A", "z" * 255]


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 1000])
async def test_pages_of_hosts_add_up_to_all_hosts_by_name(store: Store, limit: int) -> None:
    await fill(store, *map(host, NAMES))
    names: list[str] = []
    while page := await store.list_hosts(names[-1] if names else None, limit):
        assert len(page) <= limit
        names += [found.name for found in page]
    assert names == sorted(NAMES)


async def test_a_page_begins_after_a_name_that_is_no_more(store: Store) -> None:
    await fill(store, *map(host, ["a", "c"]))
    assert [found.name for found in await store.list_hosts("b", 10)] == ["c"]
    assert await store.list_hosts("c", 10) == []


@pytest.mark.parametrize("limit", [1, 2, 7, 300])
async def test_pages_of_guests_are_those_of_the_host_and_project_that_are_named(
    store: Store, limit: int
) -> None:
    every = [
        replace(guest(number, on=f"h{number % 2}"), project_id=f"p{number % 3}")
        for number in range(20)
    ]
    await fill(store, host("h0"), host("h1"), *every)
    for on in (None, "h0", "h1", "h2"):
        for project in (None, "p0", "p2", "P2", ""):
            uuids: list[str] = []
            while page := await store.list_instances(
                on, project, uuids[-1] if uuids else None, limit
            ):
                assert len(page) <= limit
                uuids += [found.uuid for found in page]
            assert uuids == [
                found.uuid
                for found in every
                if on in (None, found.host) and project in (None, found.project_id)
            ]


async def test_a_project_whose_guests_are_far_between_has_whole_pages(store: Store) -> None:
    every = [replace(guest(n), project_id="rare" if n % 149 == 0 else "p") for n in range(299)]
    await fill(store, host(), *every)
    page = await store.list_instances(None, "rare", None, 2)
    assert [found.uuid for found in page] == [uuid(0), uuid(149)]
    page = await store.list_instances(None, "rare", uuid(149), 2)
    assert [found.uuid for found in page] == [uuid(298)]
