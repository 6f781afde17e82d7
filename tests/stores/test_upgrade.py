"""A database of an older version is brought up to date when it is opened, and loses nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from mdsvc.control.hosts import add_host, list_hosts, remove_host
from mdsvc.errors import BadInput
from mdsvc.store.records import GUEST, HOST, pack
from mdsvc.store.sql import open_sql, schema

from .values import count_up, guest, host, run, uuid

VERSION_1 = """
CREATE TABLE meta (name VARCHAR(64) NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (name));
CREATE TABLE hosts (name VARCHAR(255) NOT NULL, generation INTEGER NOT NULL, record BLOB NOT NULL,
    PRIMARY KEY (name));
CREATE TABLE instances (uuid VARCHAR(36) NOT NULL, host VARCHAR(255) NOT NULL,
    generation INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (uuid),
    FOREIGN KEY(host) REFERENCES hosts (name));
CREATE INDEX ix_instances_host ON instances (host);
CREATE TABLE addresses (ip VARCHAR(64) NOT NULL, network VARCHAR(255) NOT NULL,
    uuid VARCHAR(36) NOT NULL, PRIMARY KEY (ip, network),
    FOREIGN KEY(uuid) REFERENCES instances (uuid) ON DELETE CASCADE);
CREATE INDEX ix_addresses_uuid ON addresses (uuid);
CREATE TABLE passwords (uuid VARCHAR(36) NOT NULL, password BLOB NOT NULL, PRIMARY KEY (uuid),
    FOREIGN KEY(uuid) REFERENCES instances (uuid) ON DELETE CASCADE);
INSERT INTO meta VALUES ('schema', 1);
"""
"""As the first release made them."""

GUESTS = [guest(1, ("net-a", "10.0.0.5")), guest(2)]
HOSTS = [host("h1"), host("h2")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two hosts, whose generations have come further than those of their guests, and guests."""
    path = tmp_path / "store.db"
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA journal_mode = WAL; {VERSION_1}")
    rows = [(h.name, 40 + n, pack(HOST, h.name, h)) for n, h in enumerate(HOSTS)]
    database.executemany("INSERT INTO hosts VALUES (?, ?, ?)", rows)
    guests = [(g.uuid, g.host, g.generation, pack(GUEST, g.uuid, g)) for g in GUESTS]
    database.executemany("INSERT INTO instances VALUES (?, ?, ?, ?)", guests)
    database.execute("INSERT INTO addresses VALUES ('10.0.0.5', 'net-a', ?)", [uuid(1)])
    database.execute("INSERT INTO passwords VALUES (?, ?)", [uuid(1), b"secret"])
    database.commit()
    database.close()
    return path


def content(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    lines = list(database.iterdump())
    database.close()
    return lines


async def test_version_1_is_upgraded_and_everything_is_there(file: Path) -> None:
    store = await open_sql(f"sqlite:///{file}")
    async with store.snapshot() as snapshot:
        assert await snapshot.list_hosts() == HOSTS
        assert await snapshot.list_instances() == GUESTS
        assert await snapshot.fleet() >= 41, "later than any generation that there was"
    assert await store.find("10.0.0.5", "net-a") == [uuid(1)]
    assert await store.password(uuid(1)) == b"secret"
    await store.close()
    again = await open_sql(f"sqlite:///{file}")
    await again.ready()
    await again.close()


async def test_what_was_upgraded_can_be_changed(file: Path) -> None:
    store = await open_sql(f"sqlite:///{file}")
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
        }
        database.close()
        return found

    for path in (file, tmp_path / "new.db"):
        await (await open_sql(f"sqlite:///{path}")).close()
    assert columns(file) == columns(tmp_path / "new.db")


async def test_many_that_open_it_at_once_upgrade_it_once(file: Path) -> None:
    stores = await asyncio.gather(*(open_sql(f"sqlite:///{file}") for _ in range(8)))
    for store in stores:
        assert await list_hosts(store) == HOSTS
        await store.close()


async def test_an_upgrade_that_fails_anywhere_has_changed_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(file)
    steps = schema._STEPS[1]
    for at in range(len(steps) + 1):
        broken = {1: [*steps[:at], "INSERT INTO nowhere VALUES (1)"]}
        with monkeypatch.context() as patch:
            patch.setattr(schema, "_STEPS", broken)
            with pytest.raises(BadInput, match="no such table: nowhere"):
                await open_sql(f"sqlite:///{file}")
        assert content(file) == before


async def test_an_older_program_that_still_runs_writes_nothing_into_it(file: Path) -> None:
    """It would take no revision, and nobody would see what it has changed."""
    await (await open_sql(f"sqlite:///{file}")).close()
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
