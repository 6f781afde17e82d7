"""A database of an older version is refused until it is upgraded, and then has lost nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event

from mdsvc.control.hosts import add_host, list_hosts, remove_host
from mdsvc.errors import BadInput
from mdsvc.store.sql import connecting, open_sql, schema, upgrading, versions
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.tables import METADATA

from .old import GUESTS, HOSTS, MAC, make_version_1
from .values import count_up, host, run, uuid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    make_version_1(tmp_path / "store.db")
    return tmp_path / "store.db"


def content(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    lines = list(database.iterdump())
    database.close()
    return lines


def url_of(file: Path) -> str:
    return f"sqlite:///{file}"


async def upgrade(file: Path) -> tuple[versions.Upgraded, list[str]]:
    """What it comes to, and what was told meanwhile."""
    told: list[str] = []
    done = await versions.upgrade(
        url_of(file), lambda number, what: told.append(f"{number} {what}")
    )
    return done, told


async def test_an_older_database_is_refused_with_the_command_that_mends_it(file: Path) -> None:
    before = content(file)
    with pytest.raises(BadInput) as refused:
        await open_sql(url_of(file))
    command = f"mdsvc db upgrade --store {url_of(file)}"
    assert str(refused.value).endswith(f"of version 1; expected {schema.VERSION}; run: {command}")
    state = await versions.current(url_of(file))
    assert state == versions.Current(1, schema.VERSION, current=False, run=command)
    assert content(file) == before


async def test_a_newer_database_is_refused_by_all(file: Path) -> None:
    database = sqlite3.connect(file)
    database.execute("UPDATE meta SET value = 999")
    database.commit()
    database.close()
    before = content(file)
    for attempt in (open_sql(url_of(file)), upgrade(file)):
        with pytest.raises(BadInput, match=r"of version 999; expected .*; run the newer mdsvc"):
            await attempt
    state = await versions.current(url_of(file))
    assert state == versions.Current(999, schema.VERSION, current=False, run=None)
    assert content(file) == before


async def test_version_1_is_upgraded_and_everything_is_there(file: Path) -> None:
    done, told = await upgrade(file)
    assert done == versions.Upgraded(1, schema.VERSION)
    assert told[0] == "2 revisions of the whole store"
    store = await open_sql(url_of(file))
    async with store.snapshot() as snapshot:
        assert await snapshot.list_hosts() == HOSTS
        assert await snapshot.list_instances() == GUESTS
        assert await snapshot.fleet() >= 41, "later than any generation that there was"
    assert await store.find("10.0.0.5", "net-a") == [uuid(1)]
    assert await store.find_mac(MAC, "net-a") == [uuid(1)]
    assert await store.password(uuid(1)) == b"secret"
    await store.close()
    state = await versions.current(url_of(file))
    assert state == versions.Current(schema.VERSION, schema.VERSION, current=True, run=None)


async def test_an_upgrade_is_done_once_however_often_it_is_run(file: Path) -> None:
    await upgrade(file)
    before = content(file)
    assert await upgrade(file) == (versions.Upgraded(schema.VERSION, schema.VERSION), [])
    assert content(file) == before


async def test_tables_from_before_there_was_alembic_get_its_mark(file: Path) -> None:
    await upgrade(file)
    expected = content(file)
    database = sqlite3.connect(file)
    database.execute("DROP TABLE alembic_version")
    database.close()
    await (await open_sql(url_of(file))).close()
    assert await upgrade(file) == (versions.Upgraded(schema.VERSION, schema.VERSION), [])
    assert content(file) == expected


async def test_a_database_that_is_not_there_is_looked_for_and_made_on_command(
    tmp_path: Path,
) -> None:
    file = tmp_path / "new.db"
    state = await versions.current(url_of(file))
    assert state == versions.Current(None, schema.VERSION, current=False, run=None)
    assert not file.exists()
    assert await upgrade(file) == (versions.Upgraded(None, schema.VERSION), [])
    await (await open_sql(url_of(file))).close()


async def test_what_was_upgraded_can_be_changed(file: Path) -> None:
    await upgrade(file)
    store = await open_sql(url_of(file))
    await run(store, count_up)
    assert await run(store, lambda tx: tx.remove_instance(uuid(1)))
    await remove_host(store, "h2")
    await add_host(store, host("h3"))
    assert [stored.name for stored in await list_hosts(store)] == ["h1", "h3"]
    assert await store.password(uuid(1)) is None
    await store.close()


async def test_an_upgraded_database_has_the_tables_of_a_new_one(file: Path, tmp_path: Path) -> None:
    def columns(path: Path) -> dict[str, set[str]]:
        database = sqlite3.connect(path)
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
        found = {
            name: {row[1] for row in database.execute(f"PRAGMA table_info('{name}')")}
            or {row[2] for row in database.execute(f"PRAGMA index_info('{name}')")}
            for name in names
            if "autoindex" not in name
        }
        database.close()
        return found

    await upgrade(file)
    await (await open_sql(url_of(tmp_path / "new.db"))).close()
    assert columns(file) == columns(tmp_path / "new.db")


async def test_many_that_upgrade_it_at_once_upgrade_it_once(file: Path) -> None:
    every = await asyncio.gather(*(upgrade(file) for _ in range(8)))
    assert {done.version for done, _ in every} == {schema.VERSION}
    store = await open_sql(url_of(file))
    assert await list_hosts(store) == HOSTS
    await store.close()


class Cut(Exception):
    """The process ends here."""


def cut_after(patch: pytest.MonkeyPatch, statements: int) -> None:
    """Of all that an upgrade says to the database."""
    left = iter(range(statements))

    def count(*_: object) -> None:
        if next(left, None) is None:
            raise Cut

    def connect(url: str) -> Engines:
        engines = connecting.connect(url)
        event.listen(engines.tables.sync_engine, "before_cursor_execute", count)
        return engines

    patch.setattr(versions, "connecting", SimpleNamespace(connect=connect))


async def test_an_upgrade_that_fails_anywhere_has_lost_nothing_and_goes_on(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has added may be there: its version is not, and what was there is as it was."""
    whole = tmp_path / "whole.db"
    shutil.copy(file, whole)
    await upgrade(whole)
    cuts, statements = 0, 0
    while True:
        with monkeypatch.context() as patch:
            cut_after(patch, statements)
            try:
                await upgrade(file)
                break
            except Cut:
                cuts += 1
        state = await versions.current(url_of(file))
        assert state.version in range(1, schema.VERSION + 1)
        assert records(file) == records(whole)
        statements += 7
        make_again = tmp_path / f"cut-{cuts}.db"
        shutil.copy(file, make_again)
        await upgrade(make_again)
        assert content(make_again) == content(whole)
    assert cuts > 5
    assert content(file) == content(whole)


def records(path: Path) -> list[object]:
    database = sqlite3.connect(path)
    found = [
        *database.execute("SELECT name, record FROM hosts"),
        *database.execute("SELECT uuid, generation, record FROM instances"),
    ]
    database.close()
    return found


async def test_an_older_program_that_still_runs_writes_nothing_into_it(file: Path) -> None:
    """It would take no revision, and nobody would see what it has changed."""
    await upgrade(file)
    database = sqlite3.connect(file)
    for statement in (
        "INSERT INTO hosts (name, generation, record) VALUES ('h3', 1, x'00')",
        "UPDATE hosts SET generation = 8, record = x'00' WHERE name = 'h1' AND generation = 40",
    ):
        with pytest.raises(sqlite3.OperationalError, match="generation"):
            database.execute(statement)
    records = database.execute("SELECT record FROM instances").fetchall()
    assert len(records) == 2, "but it still answers guests"
    database.close()


# ---- the migrations ----


def test_each_version_has_its_migration_and_a_line_that_says_what_it_brings() -> None:
    every = list(upgrading.script().walk_revisions())
    numbers = [schema.migration(version) for version in range(schema.VERSION, 0, -1)]
    assert [revision.revision for revision in every] == numbers
    for revision in every:
        assert Path(revision.path).name.startswith(f"v{revision.revision}_")
        assert 0 < len(revision.doc) < 60


def test_all_migrations_come_to_the_tables_of_a_new_database(tmp_path: Path) -> None:
    engine = create_engine(url_of(tmp_path / "migrated.db"))
    with engine.begin() as connection:
        upgrading.migrate(connection, schema.VERSION)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_who_only_uses_a_store_does_not_load_alembic(tmp_path: Path) -> None:
    use = f"""
import asyncio, sys
from mdsvc.store.opening import open_store
async def main():
    for _ in range(2):  # makes it, and opens it
        await (await open_store({url_of(tmp_path / "new.db")!r})).close()
asyncio.run(main())
print([name for name in sys.modules if name.startswith(("alembic", "asyncmy", "asyncpg", "mako"))])
"""
    done = subprocess.run([sys.executable, "-c", use], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
