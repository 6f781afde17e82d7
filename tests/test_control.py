"""The operator's use cases, each one transaction, on the store in memory."""

from __future__ import annotations

from typing import Any

import pytest

from mdsvc.control.hosts import add_host, get_host, list_hosts, remove_host, replace_host
from mdsvc.control.instances import (
    create_instance,
    delete_instance,
    get_instance,
    get_instance_with_host,
    list_instances,
)
from mdsvc.cpuset import CpuSet
from mdsvc.errors import BadInput, Conflict, DoesNotFit, InvalidRequest, NotFound
from tests.cli.values import DEDICATED, flavor
from tests.cli.values import host as form_of_host
from tests.control_values import (
    FLOATING,
    MIXED,
    PAIR,
    SMALL,
    USES,
    BusyStore,
    fill,
    guest,
    host,
    on_network,
    use_of,
    uuid,
)


@pytest.fixture
def store() -> BusyStore:
    return BusyStore()


# ---- hosts ----


async def test_a_host_is_registered_once(store: BusyStore) -> None:
    assert await add_host(store, host()) == host()
    with pytest.raises(Conflict, match=r"host h1: .*already"):
        await add_host(store, host(packing="pack"))
    assert await list_hosts(store) == [host()]


@pytest.mark.parametrize(
    "use",
    [
        {"floating_vcpus": 1},
        {"floating_memory_mb": 1},
        *({"cells": [{**form_of_host()["cells"][0], **used}]} for used in USES),
    ],
    ids=str,
)
async def test_a_hosts_use_is_that_of_its_guests_so_none_is_given(
    store: BusyStore, use: dict[str, Any]
) -> None:
    used = host(**SMALL, **use) if "cells" in use else host(**use)
    with pytest.raises(BadInput, match=r"^pinned, .*: expected none"):
        await add_host(store, used)
    assert await list_hosts(store) == []
    replaced = await replace_host(store, used)
    assert replaced.host == used.without_use(), "what was read is given back"


async def test_an_unknown_host_is_not_found(store: BusyStore) -> None:
    await fill(store, host())
    with pytest.raises(NotFound, match="host h2: "):
        await get_host(store, "h2")
    with pytest.raises(NotFound, match="host h2: "):
        await remove_host(store, "h2")


async def test_a_host_with_guests_is_not_removed(store: BusyStore) -> None:
    await fill(store, host())
    await create_instance(store, guest(), None)
    with pytest.raises(Conflict, match=f"host h1: .*{uuid()}"):
        await remove_host(store, "h1")
    assert len(await list_hosts(store)) == 1
    await delete_instance(store, uuid())
    await remove_host(store, "h1")
    assert await list_hosts(store) == []


async def test_a_host_comes_with_its_own_guests_alone(store: BusyStore) -> None:
    await fill(store, host("h1"), host("h2"))
    for number, name in ((1, "h1"), (2, "h2"), (3, "h1")):
        await create_instance(store, guest(number), name)
    _, guests = await get_host(store, "h1")
    assert [found.uuid for found in guests] == [uuid(1), uuid(3)]
    assert len(await list_instances(store)) == 3


# ---- placing ----


async def test_a_guest_is_stored_with_its_layout_and_its_use(store: BusyStore) -> None:
    await fill(store, host())
    placed = await create_instance(store, guest(), None)
    assert (placed.host, placed.generation) == ("h1", 1)
    assert await get_instance(store, uuid()) == placed
    pcpus = placed.layout.cells[0].pcpus
    assert len(pcpus) == 2
    used = await use_of(store)
    assert CpuSet(sum(cell.pinned.mask for cell in used.cells)) == pcpus
    assert used.without_use() == host()


async def test_the_named_host_is_taken_or_none(store: BusyStore) -> None:
    await fill(store, host("h1"), host("h2", cpu_dedicated_set=""))
    placed = await create_instance(store, guest(1), "h1")
    assert placed.host == "h1"
    with pytest.raises(DoesNotFit, match="host h2"):
        await create_instance(store, guest(2), "h2")
    with pytest.raises(NotFound, match="host h3: "):
        await create_instance(store, guest(2), "h3")
    assert await list_instances(store) == [placed]


async def test_of_all_hosts_one_that_takes_the_guest_is_chosen(store: BusyStore) -> None:
    """Alone h3 has siblings for every dedicated vCPU, six in a cell, and memory enough."""
    few = host("h1", cpu_dedicated_set="1-2,5-6")
    small = host("h2", cells=[{**cell, "memory_mb": 32} for cell in form_of_host()["cells"]])
    await fill(store, few, small, host("h3"))
    placed = await create_instance(store, guest(1, flavor(6, 64, DEDICATED)), None)
    assert placed.host == "h3"


async def test_of_equal_hosts_the_first_by_name_is_chosen(store: BusyStore) -> None:
    await fill(store, host("h2"), host("h10"), host("h3"))
    assert (await create_instance(store, guest(), None)).host == "h10"


async def test_a_guest_that_fits_nowhere_is_told_why_by_every_host(store: BusyStore) -> None:
    await fill(store, host("h1"), host("h2"))
    with pytest.raises(DoesNotFit, match="none of 2 hosts: ") as error:
        await create_instance(store, guest(1, flavor(7, 64, DEDICATED)), None)
    assert {reason.host for reason in error.value.reasons} == {"h1", "h2"}
    assert await list_hosts(store) == [host("h1"), host("h2")]


async def test_without_a_host_there_is_no_place(store: BusyStore) -> None:
    with pytest.raises(Conflict, match="no host is registered"):
        await create_instance(store, guest(), None)


async def test_a_wrong_request_is_refused_before_any_transaction(store: BusyStore) -> None:
    wrong = guest(1, flavor(2, 64, {"hw:cpu_policy": "pinned"}))
    with pytest.raises(InvalidRequest, match="hw:cpu_policy"):
        await create_instance(store, wrong, None)
    assert store.begun == 0


async def test_a_uuid_is_placed_once(store: BusyStore) -> None:
    await fill(store, host())
    placed = await create_instance(store, guest(), None)
    before = await use_of(store)
    with pytest.raises(Conflict, match=f"uuid {uuid()}: "):
        await create_instance(store, guest(1, FLOATING, name="another"), None)
    assert await list_instances(store) == [placed]
    assert await use_of(store) == before


async def test_an_address_is_given_once_on_a_network(store: BusyStore) -> None:
    await fill(store, host())
    first = guest(1, FLOATING, addresses=on_network("a", "10.0.0.5"))
    await create_instance(store, first, None)
    with pytest.raises(Conflict, match=f"addresses: 10.0.0.5 on a: .*{uuid(1)}"):
        await create_instance(
            store, guest(2, FLOATING, addresses=on_network("a", "10.0.0.5")), None
        )
    other = guest(2, FLOATING, addresses=on_network("b", "10.0.0.5"))
    await create_instance(store, other, None)
    await delete_instance(store, uuid(1))
    third = guest(3, FLOATING, addresses=on_network("a", "10.0.0.5"))
    await create_instance(store, third, None)
    assert await store.find("10.0.0.5", "a") == [uuid(3)]


# ---- removing ----


@pytest.mark.parametrize("asked", [PAIR, MIXED, FLOATING], ids=["dedicated", "mixed", "shared"])
async def test_what_a_guest_used_is_free_once_it_is_removed(
    store: BusyStore, asked: object
) -> None:
    await fill(store, host())
    await create_instance(store, guest(1, asked), None)
    between = await use_of(store)
    await create_instance(store, guest(2, asked), None)
    await delete_instance(store, uuid(2))
    assert await use_of(store) == between
    await delete_instance(store, uuid(1))
    assert await use_of(store) == host()
    for number in (1, 2):
        with pytest.raises(NotFound, match=uuid(number)):
            await get_instance(store, uuid(number))


async def test_an_unknown_guest_is_not_found(store: BusyStore) -> None:
    for use_case in (get_instance, delete_instance):
        with pytest.raises(NotFound, match=f"instance {uuid()}: "):
            await use_case(store, uuid())


# ---- R17 ----


async def test_mixed_is_refused_until_every_host_knows_it(store: BusyStore) -> None:
    await fill(store, host("h1"), host("old-1", service_version=1), host("h2", service_version=3))
    for name in (None, "h1", "old-1"):
        with pytest.raises(Conflict, match="old-1") as error:
            await create_instance(store, guest(1, MIXED), name)
        assert "h1" not in str(error.value)
    await create_instance(store, guest(2, PAIR), "old-1")
    await create_instance(store, guest(3, FLOATING), "old-1")
    assert len(await list_instances(store)) == 2
    for number in (2, 3):
        await delete_instance(store, uuid(number))
    await remove_host(store, "old-1")
    assert (await create_instance(store, guest(1, MIXED), None)).layout.cells


# ---- a guest and its host ----


async def test_a_guest_is_found_however_its_uuid_is_spelt(store: BusyStore) -> None:
    await fill(store, host())
    placed = await create_instance(store, guest(), None)
    spelt = uuid().upper()
    assert await get_instance(store, spelt) == placed
    assert await get_instance_with_host(store, spelt) == (placed, await use_of(store))
    await delete_instance(store, spelt)
    for use_case in (get_instance, get_instance_with_host, delete_instance):
        with pytest.raises(NotFound, match=f"instance {spelt}: "):
            await use_case(store, spelt)


async def test_a_guest_and_its_host_are_read_at_one_moment(store: BusyStore) -> None:
    """Whoever reads both in two steps may see a guest on a host that has it no more."""
    await fill(store, host())
    await create_instance(store, guest(), None)
    before = store.looked
    placed, where = await get_instance_with_host(store, uuid())
    assert store.looked == before + 1
    assert where.by_id[placed.layout.cells[0].host_cell].pinned
