"""The operator's use cases, each one transaction, on the store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mdsvc import control
from mdsvc.control.hosts import add_host, get_host, list_hosts, remove_host
from mdsvc.control.instances import create_instance, delete_instance, get_instance, list_instances
from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.errors import Conflict, DoesNotFit, InvalidRequest, NotFound
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, PlacedInstance
from mdsvc.store import Stale, Store
from mdsvc.store.memory import MemoryStore
from mdsvc.store.transaction import BufferedTransaction, ReadSnapshot
from mdsvc.topology import Host
from tests.cli.values import DEDICATED, flavor, plain
from tests.cli.values import host as form_of_host

MIXED = flavor(2, 64, {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"})
PAIR = flavor(2, 64, DEDICATED)
FLOATING = flavor(2, 64, {"hw:cpu_policy": "shared"})


def host(name: str = "h1", **fields: Any) -> Host:
    return from_builtins(form_of_host(name, **fields), Host)


def guest(number: int = 1, asked: object = PAIR, **fields: Any) -> Instance:
    return from_builtins(plain(number, **{"flavor": asked, **fields}), Instance)


def uuid(number: int = 1) -> str:
    return guest(number).uuid


def on_network(network: str, ip: str) -> list[dict[str, str]]:
    return [{"network": network, "ip": ip}]


class BusyStore(MemoryStore):
    """The next transactions lose against another one, at their end."""

    busy = 0
    begun = 0
    looked = 0

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReadSnapshot]:
        self.looked += 1
        async with super().snapshot() as snapshot:
            yield snapshot

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        self.begun += 1
        async with super().transaction() as tx:
            yield tx
            if self.busy:
                self.busy -= 1
                raise Stale("another transaction was first")


@pytest.fixture
def store() -> BusyStore:
    return BusyStore()


async def fill(store: Store, *hosts: Host) -> None:
    for one in hosts:
        await add_host(store, one)


async def use_of(store: Store, name: str = "h1") -> Host:
    found, _ = await get_host(store, name)
    return found


# ---- hosts ----


async def test_a_host_is_registered_once(store: BusyStore) -> None:
    assert await add_host(store, host()) == host()
    with pytest.raises(Conflict, match=r"host h1: .*already"):
        await add_host(store, host(packing="pack"))
    assert await list_hosts(store) == [host()]


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
    assert {reason["host"] for reason in error.value.reasons} == {"h1", "h2"}
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


# ---- transactions that lose ----

USE_CASES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "add_host": lambda store: add_host(store, host("new")),
    "remove_host": lambda store: remove_host(store, "empty"),
    "create_instance": lambda store: create_instance(store, guest(2), None),
    "delete_instance": lambda store: delete_instance(store, uuid()),
}


@pytest.fixture
async def in_use(store: BusyStore) -> BusyStore:
    """Two hosts and a guest, on one of them."""
    await fill(store, host("empty"), host("h1"))
    await create_instance(store, guest(), "h1")
    store.begun = 0
    return store


@pytest.mark.parametrize("use_case", USE_CASES.values(), ids=USE_CASES)
async def test_what_lost_is_run_again_from_its_start(
    in_use: BusyStore, use_case: Callable[[Store], Awaitable[object]]
) -> None:
    in_use.busy = 5
    await use_case(in_use)
    assert in_use.begun == 6


@pytest.mark.parametrize("use_case", USE_CASES.values(), ids=USE_CASES)
async def test_what_always_loses_gives_up_and_has_changed_nothing(
    in_use: BusyStore,
    use_case: Callable[[Store], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.05)
    before = in_use._tables
    in_use.busy = 1000
    with pytest.raises(Conflict, match="try again"):
        await use_case(in_use)
    assert in_use._tables == before
    assert in_use.begun < 100


async def test_what_lost_sees_what_the_other_has_done(store: BusyStore) -> None:
    """The other one takes the address while this one has looked and found it free."""
    await fill(store, host())
    address = on_network("a", "10.0.0.5")

    class Overtaken(BusyStore):
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[BufferedTransaction]:
            async with super().transaction() as tx:
                yield tx
                if self.busy:
                    self.busy -= 1
                    await create_instance(store, guest(2, FLOATING, addresses=address), None)
                    self._tables = store._tables
                    raise Stale

    overtaken = Overtaken()
    overtaken._tables = store._tables
    overtaken.busy = 1
    with pytest.raises(Conflict, match=uuid(2)):
        await create_instance(overtaken, guest(1, FLOATING, addresses=address), None)


async def test_other_errors_are_not_tried_again(in_use: BusyStore) -> None:
    with pytest.raises(NotFound):
        await remove_host(in_use, "nowhere")
    assert in_use.begun == 1


async def test_many_at_once_take_no_pcpu_twice(store: BusyStore) -> None:
    """Each transaction of the store in memory works on its own copy, so most of them lose."""
    await fill(store, host("h1"), host("h2"))
    done = await asyncio.gather(
        *(create_instance(store, guest(number), None) for number in range(15)),
        return_exceptions=True,
    )
    placed = [one for one in done if isinstance(one, PlacedInstance)]
    assert {type(one) for one in done} <= {PlacedInstance, DoesNotFit, Conflict}
    assert sorted(p.uuid for p in placed) == [p.uuid for p in await list_instances(store)]
    for name in ("h1", "h2"):
        taken = [cell.pcpus for p in placed if p.host == name for cell in p.layout.cells]
        union = EMPTY
        for pcpus in taken:
            assert not union & pcpus
            union |= pcpus
        used = await use_of(store, name)
        assert CpuSet(sum(cell.pinned.mask for cell in used.cells)) == union
