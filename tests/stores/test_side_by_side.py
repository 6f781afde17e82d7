"""Programs of two releases use one store: the older one reads all that the newer one writes."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from msgspec.structs import replace
from sqlalchemy import delete, update

from mdsvc.control.draining import drain_host
from mdsvc.control.hosts import get_host
from mdsvc.errors import Conflict
from mdsvc.instance import Address, PlacedInstance, TokenMode
from mdsvc.store import Transaction
from mdsvc.store.records import GUEST, HOST, Kind, form_of, pack, unpack
from mdsvc.store.sql import forms, open_sql, versions
from mdsvc.store.sql.tables import ADDRESSES, META
from mdsvc.topology import Host

from . import older
from .test_records import guests, hosts, unhurried
from .values import changed, count_up, fill, guest, host, run, uuid

TABLES = (("host", "hosts"), ("guest", "instances"))


@unhurried
@given(hosts())
def test_the_older_program_reads_every_host_that_uses_nothing_new(stored: Host) -> None:
    record = pack(HOST, stored.name, stored)
    assert older.read("host", record)["name"] == stored.name
    assert unpack(HOST, stored.name, record) == stored


@unhurried
@given(guests())
def test_the_older_program_reads_every_guest_that_uses_nothing_new(stored: PlacedInstance) -> None:
    assert older.read("guest", pack(GUEST, stored.uuid, stored))["uuid"] == stored.uuid


def test_a_host_that_uses_what_is_new_is_of_a_newer_form_and_refused_by_the_older_program() -> None:
    draining = replace(host(), draining=True)
    record = pack(HOST, "h1", draining)
    assert form_of(record) == HOST.form > HOST.oldest_written
    assert unpack(HOST, "h1", record) == draining
    with pytest.raises(older.CannotRead, match="form 2"):
        older.read("host", record)


@pytest.mark.parametrize("mode", ["off", "optional", "required"])
def test_a_guest_with_tokens_of_its_own_is_of_a_newer_form_and_so_refused(mode: TokenMode) -> None:
    own = replace(guest(), tokens=mode)
    record = pack(GUEST, own.uuid, own)
    assert form_of(record) == GUEST.form > GUEST.oldest_written
    assert unpack(GUEST, own.uuid, record) == own
    with pytest.raises(older.CannotRead, match="form 3"):
        older.read("guest", record)
    assert form_of(pack(GUEST, own.uuid, replace(own, tokens=None))) == GUEST.oldest_written


@pytest.mark.parametrize("kind", [HOST, GUEST], ids=["host", "guest"])
def test_every_form_but_the_first_has_brought_something(kind: Kind[object]) -> None:
    brought = {*(step + 1 for step in kind.upgrades), *kind.added}
    assert brought == set(range(2, kind.form + 1))
    assert min(kind.added, default=kind.form) >= kind.oldest_written


# ---- in a database ----


@pytest.fixture
def file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
async def shared(url: str, file: Path) -> str:
    """A store as the release before left it, in tables of today: nobody has said that all programs
    are upgraded.
    """
    store = await open_sql(url)
    await fill(store, host(), host("h2"), guest(1))
    await store.close()
    database = sqlite3.connect(file)
    with database:
        database.execute("DELETE FROM meta WHERE name LIKE '%_form'")
    database.close()
    return url


def read_by_the_older(file: Path) -> dict[str, list[str]]:
    """The names of all that the older program reads; all that there is."""
    database = sqlite3.connect(file)
    names = {
        kind: [
            older.read(kind, record).get("name")
            for (record,) in database.execute(f"SELECT record FROM {table}")
        ]
        for kind, table in TABLES
    }
    database.close()
    return names


async def test_what_is_new_is_refused_until_it_is_said_that_all_are_upgraded(
    shared: str, file: Path
) -> None:
    store = await open_sql(shared)
    expected = "host h1: draining: .* cannot read that; .* run: mdsvc db upgrade --records"
    with pytest.raises(Conflict, match=expected):
        await drain_host(store, "h1")
    assert not (await get_host(store, "h1"))[0].draining
    assert read_by_the_older(file) == {"host": ["h1", "h2"], "guest": ["guest-1"]}
    another = await open_sql(shared)
    await forms.raise_all(another._engines)
    await another.close()
    assert (await drain_host(store, "h1")).draining, "known at once to who had it open"
    await store.close()


async def test_it_is_so_on_every_engine(any_url: str) -> None:
    store = await open_sql(any_url)
    await fill(store, host(), guest(1))
    async with store._engines.writes.begin() as connection:
        await connection.execute(delete(META).where(META.c.name.in_(forms.newest())))
    with pytest.raises(Conflict, match="run: mdsvc db upgrade --records"):
        await drain_host(store, "h1")
    assert (await versions.current(any_url)).older_programs
    await versions.upgrade(any_url, lambda _number, _what: None, records=True)
    assert not (await versions.current(any_url)).older_programs
    assert (await drain_host(store, "h1")).draining
    await store.close()


async def test_tokens_of_a_guest_are_held_back_on_every_engine(any_url: str) -> None:
    """Also one that is there is not changed, and can be once all are upgraded."""
    store = await open_sql(any_url)
    await fill(store, host(), guest(1))
    async with store._engines.writes.begin() as connection:
        await connection.execute(delete(META).where(META.c.name.in_(forms.newest())))
    own = changed(guest(1), tokens="required")

    async def set_tokens(tx: Transaction) -> None:
        assert await tx.get_instance(uuid(1))
        await tx.update_instance(own)

    expected = f"guest {uuid(1)}: tokens: .* run: mdsvc db upgrade --records"
    with pytest.raises(Conflict, match=expected):
        await run(store, set_tokens)
    assert await store.get_instance(uuid(1)) == guest(1)
    await versions.upgrade(any_url, lambda _number, _what: None, records=True)
    await run(store, set_tokens)
    assert await store.get_instance(uuid(1)) == own
    await store.close()


async def test_a_new_store_takes_all_that_is_new_at_once(url: str) -> None:
    store = await open_sql(url)
    await fill(store, replace(host(), draining=True), replace(guest(1), tokens="off"))
    await store.close()


async def test_what_the_older_program_wrote_is_found_by_its_mac_all_the_same(any_url: str) -> None:
    mac = "fa:16:3e:00:00:01"
    store = await open_sql(any_url)
    ours = replace(guest(1), addresses=(Address("net-a", "10.0.0.5", mac),))
    others = replace(guest(2), addresses=(Address("net-a", "10.0.0.6"),))
    await fill(store, host(), ours, others)
    async with store._engines.writes.begin() as connection:
        await connection.execute(update(ADDRESSES).values(mac=None))
    assert await store.find_mac(mac, "net-a") == [uuid(1)]
    assert await store.find_mac(mac, "net-b") == []
    await store.close()


async def test_programs_that_use_a_file_are_upgraded_together(shared: str) -> None:
    for _ in range(2):
        await versions.upgrade(shared, lambda _number, _what: None)
        store = await open_sql(shared)
        assert (await drain_host(store, "h1")).draining
        await drain_host(store, "h1", draining=False)
        await store.close()


@pytest.mark.parametrize("seed", range(2))
async def test_old_and_new_take_turns_and_each_reads_all_of_the_other(
    shared: str, file: Path, seed: int
) -> None:
    """The older program writes as it always has: a new revision, and records of its form."""
    rng = random.Random(seed)
    store = await open_sql(shared)
    for turn in range(20):
        name = f"guest-of-turn-{turn}"
        if rng.random() < 0.5:
            await run(store, count_up)
            async with store.transaction() as tx:
                stored = await tx.get_instance(uuid(1))
                assert stored
                await tx.update_instance(changed(stored, name=name))
        else:
            _write_by_the_older(file, name)
        stored = await store.get_instance(uuid(1))
        assert stored
        assert stored.name == name
        assert read_by_the_older(file)["guest"] == [name]
        [heard] = (await store.changes(await store.position() - 1)).changes
        assert (heard.key, heard.generation) == (uuid(1), stored.generation)
    await store.close()


def _write_by_the_older(file: Path, name: str) -> None:
    database = sqlite3.connect(file)
    [(record, generation)] = database.execute("SELECT record, generation FROM instances")
    value = {**older.read("guest", record), "name": name, "generation": generation + 1}
    with database:
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
        database.execute(
            "UPDATE instances SET record = ?, generation = ?,"
            " revision = (SELECT value FROM meta WHERE name = 'revision')",
            [older.write("guest", value), generation + 1],
        )
    database.close()
