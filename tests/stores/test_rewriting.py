"""Records of an older form are read rightly at once, and rewritten while everything goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgpack
import pytest
from sqlalchemy import insert
from typing_extensions import override

from mdsvc.control.instances import delete_instance
from mdsvc.placing.usage import place
from mdsvc.store import Store
from mdsvc.store.listing import BadRecord
from mdsvc.store.sql import SqlStore, open_sql, rewriting
from mdsvc.store.sql.rewriting import Rewritten, Unreadable, rewrite
from mdsvc.store.sql.tables import HOSTS, INSTANCES

from .old_forms import OldGuest, fill_with_old, guest_rows, host_rows, old_guests, record
from .values import changed, run

NUMBER = 60


@pytest.fixture
def file(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
async def old(url: str, file: Path) -> list[OldGuest]:
    """Guests of form 1, in the store of the URL."""
    await (await open_sql(url)).close()
    guests = old_guests(NUMBER, seed=1)
    fill_with_old(file, guests)
    return guests


def quiet(_done: int, _of: int) -> None:
    """Nobody looks."""


def forms(file: Path) -> list[int]:
    database = sqlite3.connect(file)
    rows = database.execute("SELECT record FROM instances ORDER BY uuid").fetchall()
    database.close()
    return [msgpack.unpackb(stored)["form"] for (stored,) in rows]


async def check(store: Store, old: list[OldGuest]) -> None:
    """Everything is read as it was meant, and each host's use is that of its guests."""
    async with store.snapshot() as snapshot:
        guests = await snapshot.list_instances()
        hosts = await snapshot.list_hosts()
    assert [guest.uuid for guest in guests] == [one.uuid for one in old]
    for guest, one in zip(guests, old, strict=True):
        assert (set(guest.layout.dedicated_cpus), set(guest.layout.shared_cpus)) == (
            one.dedicated,
            one.shared,
        )
        cells = [(set(c.cpuset), set(c.pcpuset), c.cpu_pinning) for c in guest.layout.cells]
        assert cells == one.cells
        assert (guest.name, guest.generation) == (one.value["name"], one.value["generation"])
    for host in hosts:
        use = host.without_use()
        for guest in guests:
            if guest.host == host.name:
                use = place(use, guest.layout, guest.flavor)
        assert use == host


async def test_old_records_are_read_rightly_before_and_after(
    url: str, file: Path, old: list[OldGuest]
) -> None:
    store = await open_sql(url)
    await check(store, old)
    position = await store.position()
    told: list[tuple[int, int]] = []
    done = await rewrite(url, 7, lambda *numbers: told.append(numbers))
    assert done == Rewritten(len(old) + 8, len(old), 0, ())
    assert told[-1] == (done.records, done.records)
    assert told == sorted(told)
    assert forms(file) == [2] * len(old)
    await check(store, old)
    assert await store.position() == position, "nobody is told of a change, as there is none"
    await store.close()
    again = await open_sql(url)
    await check(again, old)
    await again.close()


async def test_what_is_done_is_passed_over(url: str, old: list[OldGuest]) -> None:
    assert (await rewrite(url, 100, quiet)).rewritten == len(old)
    assert (await rewrite(url, 100, quiet)).rewritten == 0


async def test_an_old_guest_can_be_changed_and_removed_before_it_is_rewritten(
    url: str, file: Path, old: list[OldGuest]
) -> None:
    store = await open_sql(url)
    first = await store.get_instance(old[0].uuid)
    assert first
    await run(store, lambda tx: tx.get_instance(first.uuid))
    async with store.transaction() as tx:
        await tx.get_instance(first.uuid)
        await tx.update_instance(changed(first, name="renamed"))
    await delete_instance(store, old[1].uuid)
    assert (await rewrite(url, 100, quiet)).rewritten == len(old) - 2
    kept = await store.get_instance(first.uuid)
    assert kept
    assert (kept.name, kept.generation) == ("renamed", first.generation + 1)
    assert len(forms(file)) == len(old) - 1
    await store.close()


class Meddling(rewriting._Run):
    """Somebody changes a guest between the look at a batch and its write."""

    meddle: list[str] = []
    store: SqlStore

    @override
    async def _replace(self, table: object, old: object) -> list[str]:
        for uuid in self.meddle:
            stored = await self.store.get_instance(uuid)
            assert stored
            async with self.store.transaction() as tx:
                await tx.get_instance(uuid)
                await tx.update_instance(changed(stored, name=f"{stored.name}+"))
        self.meddle.clear()
        return await super()._replace(table, old)  # type: ignore[arg-type]


async def test_what_somebody_changes_meanwhile_is_never_overwritten(
    url: str, file: Path, old: list[OldGuest], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await open_sql(url)
    monkeypatch.setattr(rewriting, "_Run", Meddling)
    monkeypatch.setattr(Meddling, "store", store, raising=False)
    monkeypatch.setattr(Meddling, "meddle", [old[3].uuid, old[5].uuid])
    done = await rewrite(url, NUMBER, quiet)
    assert (done.rewritten, done.left) == (len(old) - 2, 0)
    assert forms(file) == [2] * len(old)
    for one in (old[3], old[5]):
        stored = await store.get_instance(one.uuid)
        assert stored
        assert (stored.name, stored.generation) == (
            f"{one.value['name']}+",
            one.value["generation"] + 1,
        )
    await store.close()


class OldWriter(rewriting._Run):
    """A program of before changes a guest back to its form, each time or but once."""

    file: Path
    uuid = ""
    times = 0

    @override
    async def _replace(self, table: object, old: object) -> list[str]:
        if OldWriter.times:
            OldWriter.times -= 1
            database = sqlite3.connect(self.file)
            with database:
                database.execute("UPDATE meta SET value = value + 1 WHERE name = 'revision'")
                database.execute(
                    "UPDATE instances SET revision ="
                    " (SELECT value FROM meta WHERE name = 'revision') WHERE uuid = ?",
                    [self.uuid],
                )
            database.close()
        return await super()._replace(table, old)  # type: ignore[arg-type]


@pytest.mark.parametrize("often", [(1, 0), (9, 0), (10**9, 1)])
async def test_what_an_older_program_writes_meanwhile_is_looked_at_again(
    url: str,
    file: Path,
    old: list[OldGuest],
    monkeypatch: pytest.MonkeyPatch,
    often: tuple[int, int],
) -> None:
    times, left = often
    monkeypatch.setattr(rewriting, "_Run", OldWriter)
    for name, value in (("file", file), ("uuid", old[3].uuid), ("times", times)):
        monkeypatch.setattr(OldWriter, name, value, raising=False)
    done = await rewrite(url, NUMBER, quiet)
    assert (done.left, done.rewritten) == (left, len(old) - left)
    assert forms(file).count(1) == left
    monkeypatch.setattr(OldWriter, "times", 0)
    assert (await rewrite(url, NUMBER, quiet)).rewritten == left


async def test_what_cannot_be_read_is_named_and_left_and_the_rest_is_done(
    url: str, file: Path, old: list[OldGuest]
) -> None:
    damaged = {
        old[0].uuid: b"",
        old[9].uuid: b"\x82\xa4form",
        old[10].uuid: record(1, {"uuid": old[10].uuid}),
        old[11].uuid: record(2, {**old[11].value, "colour": "red"}),
        old[12].uuid: record(99, old[12].value),
    }
    database = sqlite3.connect(file)
    with database:
        for uuid, broken in damaged.items():
            database.execute("UPDATE instances SET record = ? WHERE uuid = ?", [broken, uuid])
        database.execute("UPDATE hosts SET record = x'00' WHERE name = 'old-0'")
    database.close()
    first = await rewrite(url, 4, quiet)
    assert first.rewritten == len(old) - len(damaged)
    done = await rewrite(url, 4, quiet)
    for each in (first, done):
        assert [(one.kind, one.name) for one in each.unreadable] == [
            ("host", "old-0"),
            *(("guest", uuid) for uuid in damaged),
        ]
        assert all(f"the stored {one.kind} {one.name}" in one.error for one in each.unreadable)
    assert done.rewritten == 0
    database = sqlite3.connect(file)
    for uuid, broken in damaged.items():
        [(left,)] = database.execute("SELECT record FROM instances WHERE uuid = ?", [uuid])
        assert left == broken
    database.close()
    store = await open_sql(url)
    with pytest.raises(BadRecord, match="is of form 99"):
        await store.get_instance(old[12].uuid)
    await store.close()
    assert Unreadable("host", "old-0", done.unreadable[0].error) == done.unreadable[0]


async def test_it_is_the_same_on_every_engine(any_url: str) -> None:
    store = await open_sql(any_url)
    guests = old_guests(20, seed=4)
    async with store._engines.writes.begin() as connection:
        await connection.execute(insert(HOSTS), host_rows(guests))
        await connection.execute(insert(INSTANCES), guest_rows(guests))
    await check(store, guests)
    assert await rewrite(any_url, 6, quiet) == Rewritten(23, 20, 0, ())
    assert (await rewrite(any_url, 6, quiet)).rewritten == 0
    await check(store, guests)
    await store.close()


async def test_a_store_without_guests_has_nothing_to_rewrite(url: str) -> None:
    assert await rewrite(url, 1, quiet) == Rewritten(0, 0, 0, ())
