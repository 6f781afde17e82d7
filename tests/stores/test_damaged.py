"""One record that cannot be read: all others are served, it is named, and it can be removed."""

from __future__ import annotations

import msgpack
import pytest
from msgspec.structs import replace
from sqlalchemy import update

from mdsvc.control.draining import move_guests
from mdsvc.control.hosts import add_host, get_host, list_hosts, remove_host, replace_host
from mdsvc.control.instances import (
    create_instance,
    delete_instance,
    get_instance,
    list_instances,
)
from mdsvc.control.moves import migrate_instance
from mdsvc.control.reports import list_drifted
from mdsvc.errors import Conflict, DoesNotFit, PreconditionFailed
from mdsvc.forms import to_builtins
from mdsvc.instance import Instance
from mdsvc.policy.flavor import Flavor
from mdsvc.store import Store
from mdsvc.store.feed import Kind
from mdsvc.store.listing import BadRecord
from mdsvc.store.memory import MemoryStore
from mdsvc.store.outlines import outline_of
from mdsvc.store.sql import SqlStore, open_sql
from mdsvc.store.sql.tables import HOSTS, INSTANCES

from .conftest import Open
from .values import host, uuid

PINNED = Flavor(vcpus=6, memory_mb=64, extra_specs={"hw:cpu_policy": "dedicated"})
"""Two of it fill a host."""

SHARED = Flavor(vcpus=1, memory_mb=64)
MIXED = Flavor(
    vcpus=2,
    memory_mb=64,
    extra_specs={"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"},
)
NEWER = b"\x82\xa4form\x63\xa5value\x80"


async def damage(store: Store, kind: Kind, key: str, record: bytes = b"\xc1") -> None:
    """Store bytes for a record that are none, as a disk or a person may."""
    if isinstance(store, MemoryStore):
        store.damage(kind, key, "for a test")
        return
    assert isinstance(store, SqlStore)
    table, column = (HOSTS, HOSTS.c.name) if kind == "host" else (INSTANCES, INSTANCES.c.uuid)
    changed = {"record": record, "revision": table.c.revision + 10**6}  # nothing of it is kept
    async with store._engines.writes.begin() as connection:
        done = await connection.execute(update(table).where(column == key).values(changed))
    assert done.rowcount == 1


async def create(store: Store, number: int, flavor: Flavor, on: str | None = "h1") -> None:
    guest = Instance(uuid=uuid(number), project_id="p", name=f"g{number}", flavor=flavor)
    await create_instance(store, guest, on)


@pytest.fixture
async def full(open_store: Open) -> Store:
    """Host h1 is full of the guests 1 and 2, of which 1 cannot be read; h2 is empty."""
    store = await open_store()
    await add_host(store, host("h1"))
    await create(store, 1, PINNED)
    await create(store, 2, PINNED)
    await add_host(store, host("h2"))
    await damage(store, "instance", uuid(1))
    return store


async def test_the_other_guests_are_served_and_the_damaged_one_is_named(full: Store) -> None:
    for listed in (
        await list_instances(full),
        await list_instances(full, "h1"),
        await full.list_instances(None, None, None, 1),
        (await get_host(full, "h1"))[1],
    ):
        assert [guest.uuid for guest in listed] == [uuid(2)]
        assert [bad.key for bad in listed.damaged] == [uuid(1)]
    assert (await get_instance(full, uuid(2))).name == "g2"
    with pytest.raises(BadRecord, match=f"the stored guest {uuid(1)} is damaged: "):
        await get_instance(full, uuid(1))
    assert await list_drifted(full) == []


async def test_its_cpus_stay_its_own(full: Store) -> None:
    await delete_instance(full, uuid(2))
    await create(full, 3, PINNED)  # where guest 2 was
    with pytest.raises(DoesNotFit):
        await create(full, 4, PINNED)
    [before, _] = await list_hosts(full)
    with pytest.raises(BadRecord, match=uuid(1)):
        await replace_host(full, replace(host(), packing="pack"))
    with pytest.raises(Conflict, match="2 instances are placed on it"):
        await remove_host(full, "h1")
    assert (await list_hosts(full))[0] == before


async def test_it_can_be_deleted_and_what_it_used_is_free(full: Store) -> None:
    def never(guest: object) -> None:
        assert guest is None
        raise PreconditionFailed("not as it was read")

    with pytest.raises(PreconditionFailed):
        await delete_instance(full, uuid(1), never)
    await delete_instance(full, uuid(1))
    listed = await list_instances(full)
    assert [guest.uuid for guest in listed] == [uuid(2)]
    assert not listed.damaged
    await create(full, 3, PINNED)
    with pytest.raises(DoesNotFit):
        await create(full, 4, PINNED)
    for number in (2, 3):
        await delete_instance(full, uuid(number))
    assert (await list_hosts(full))[0] == host()


async def test_of_two_the_last_one_gives_back_what_both_used(full: Store) -> None:
    await damage(full, "instance", uuid(2))
    await delete_instance(full, uuid(1))
    with pytest.raises(DoesNotFit):
        await create(full, 3, PINNED)
    await delete_instance(full, uuid(2))
    assert (await list_hosts(full))[0] == host()
    await create(full, 3, PINNED)
    await create(full, 4, PINNED)


async def test_a_drained_host_keeps_it_and_says_so(full: Store) -> None:
    drained = await move_guests(full, "h1")
    assert [guest.uuid for guest in drained.moved] == [uuid(2)]
    assert [(left.uuid, left.name) for left in drained.left] == [(uuid(1), "")]
    assert "is damaged" in drained.left[0].message


async def test_pages_are_full_without_what_is_damaged(store: Store) -> None:
    await add_host(store, host("h0"))
    for number in range(6):
        await add_host(store, host(f"h{number + 1}"))
        await create(store, number, SHARED, "h0")
    for number in (0, 1, 3, 5):
        await damage(store, "instance", uuid(number))
        await damage(store, "host", f"h{number + 1}")
    first = await store.list_instances(None, None, None, 1)
    assert [guest.uuid for guest in first] == [uuid(2)]
    second = await store.list_instances(None, None, uuid(2), 1)
    assert [guest.uuid for guest in second] == [uuid(4)]
    assert [guest.uuid for guest in await store.list_instances(None, None, uuid(4), 1)] == []
    assert [found.name for found in await store.list_hosts("h0", 1)] == ["h3"]
    assert [found.name for found in await store.list_hosts("h3", 2)] == ["h5"]


async def test_a_damaged_host_takes_no_guest_and_is_told_of(full: Store) -> None:
    await damage(full, "host", "h1")
    hosts = await list_hosts(full)
    assert [found.name for found in hosts] == ["h2"]
    assert [bad.key for bad in hosts.damaged] == ["h1"]
    await create(full, 3, PINNED, on=None)
    await create(full, 4, PINNED, on=None)
    with pytest.raises(DoesNotFit) as refusal:
        await create(full, 5, PINNED, on=None)
    assert [r.host for r in refusal.value.reasons if r.rule == "record"] == ["h1"]
    with pytest.raises(BadRecord, match="the stored host h1"):
        await create(full, 5, SHARED, on="h1")
    with pytest.raises(Conflict, match=r"mixed guests are refused: .*h1 \(not known: "):
        await create(full, 5, MIXED, on=None)


async def test_a_damaged_host_is_left_and_removed(full: Store) -> None:
    await damage(full, "host", "h1")
    assert [guest.uuid for guest in await list_instances(full, "h1")] == [uuid(2)]
    assert (await migrate_instance(full, uuid(2))).host == "h2"
    with pytest.raises(Conflict, match=f"1 instances are placed on it; first {uuid(1)}"):
        await remove_host(full, "h1")
    await delete_instance(full, uuid(1))
    await remove_host(full, "h1")
    await add_host(full, host("h1"))
    assert not (await list_hosts(full)).damaged


async def test_what_a_newer_program_can_read_keeps_its_books(any_url: str) -> None:
    store = await open_sql(any_url)
    try:
        await add_host(store, host())
        await create(store, 1, PINNED)
        await damage(store, "host", "h1", NEWER)
        assert "is of form 99" in str((await list_hosts(store)).damaged[0])
        for change in (delete_instance(store, uuid(1)), migrate_instance(store, uuid(1), "h1")):
            with pytest.raises((BadRecord, Conflict)):
                await change
        assert (await get_instance(store, uuid(1))).generation == 1
    finally:
        await store.close()


async def test_an_outline_is_what_the_guest_says_whatever_form_its_record_has(store: Store) -> None:
    await add_host(store, host())
    for number in (1, 2, 3):
        await create(store, number, MIXED)
    await damage(store, "instance", uuid(3))
    if isinstance(store, SqlStore):  # in form 1 a mixed guest had no dedicated CPUs
        value = to_builtins(await get_instance(store, uuid(2)))
        value["layout"]["cells"] = [{**cell, "pcpuset": ""} for cell in value["layout"]["cells"]]
        await damage(store, "instance", uuid(2), msgpack.packb({"form": 1, "value": value}))
    found = await store.outlines([uuid(number) for number in (1, 2, 3, 4)])
    assert set(found) == {uuid(1), uuid(2), uuid(3)}
    for number in (1, 2):
        guest = await get_instance(store, uuid(number))
        assert found[uuid(number)] == outline_of(guest)
    bad = found[uuid(3)]
    assert isinstance(bad, BadRecord)
    assert (bad.key, bad.host) == (uuid(3), "h1")
