"""What each engine might do in its own way, and does alike."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from msgspec.structs import replace
from sqlalchemy.dialects.mysql import MEDIUMBLOB
from sqlalchemy.engine import Connection

from mdsvc.errors import BadInput, Unavailable
from mdsvc.store import Store
from mdsvc.store.sql import connecting, open_sql, schema, upgrading, versions
from mdsvc.store.sql.columns import BYTES
from mdsvc.store.sql.tables import METADATA

from .conftest import SERVERS, new_url
from .servers.mariadb import PASSWORD, QUOTED, MariaDb
from .servers.postgresql import PostgreSql
from .values import fill, guest, host, uuid

ALIKE = ["net", "net ", "Net", "nét", "net\u0301", "ss", "ß", "a\\b", "a'b", "a%b", "💡"]
"""Which one collation or another takes for the same, or for something to be quoted."""


async def test_names_are_the_same_only_where_their_bytes_are(store: Store) -> None:
    await fill(store, *(host(name) for name in ALIKE))
    guests = [guest(n, (name, "10.0.0.5"), on=name) for n, name in enumerate(ALIKE)]
    await fill(store, *guests)
    for number, name in enumerate(ALIKE):
        assert await store.find("10.0.0.5", name) == [uuid(number)]
    async with store.snapshot() as snapshot:
        assert [found.name for found in await snapshot.list_hosts()] == sorted(ALIKE)
        assert await snapshot.get_host("NET") is None
        assert await snapshot.list_instances("net ") == [guests[1]]


async def test_the_longest_names_and_large_records_are_stored(store: Store) -> None:
    name = "💡" * 255
    large = replace(guest(1, (name, "10.0.0.5"), on=name), network_data={"links": "é" * 1_000_000})
    await fill(store, host(name), large)
    assert await store.find("10.0.0.5", name) == [uuid(1)]
    assert await store.get_instance(uuid(1)) == large
    password = bytes(range(256)) * 300
    assert await store.set_password(uuid(1), password)
    assert await store.password(uuid(1)) == password


@pytest.fixture(params=SERVERS)
def server_url(request: pytest.FixtureRequest) -> str:
    return new_url(request, request.param)


async def test_many_that_open_a_new_database_at_once_make_it_once(server_url: str) -> None:
    stores = await asyncio.gather(*(open_sql(server_url) for _ in range(8)))
    await fill(stores[0], host())
    for store in stores:
        await store.ready()
        await store.close()


def is_another(
    _context: object, _there: object, _ours: object, there: Any, ours: Any
) -> bool | None:
    """Are these other types? A MEDIUMBLOB is how MariaDB calls bytes of that length."""
    return False if isinstance(there, MEDIUMBLOB) and ours is BYTES else None


async def test_all_migrations_come_to_the_tables_of_a_new_database(server_url: str) -> None:
    def migrate(connection: Connection) -> None:
        upgrading.migrate(connection, schema.VERSION)

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": is_another})
        return list(compare_metadata(context, METADATA))

    engines = connecting.connect(server_url)
    async with engines.tables.begin() as connection:
        await connection.run_sync(migrate)
    async with engines.tables.connect() as connection:
        assert await connection.run_sync(compare) == []
    await engines.dispose()


async def test_an_older_database_is_upgraded_once_by_many_at_once(server_url: str) -> None:
    engines = connecting.connect(server_url)
    async with engines.tables.begin() as connection:
        await connection.run_sync(lambda c: upgrading.migrate(c, 1))
    await engines.dispose()
    with pytest.raises(BadInput, match=r"of version 1; .*; run: mdsvc db upgrade") as refused:
        await open_sql(server_url)
    assert QUOTED not in str(refused.value)
    every = await asyncio.gather(*(versions.upgrade(server_url, lambda *_: None) for _ in range(8)))
    assert {done.version for done in every} == {schema.VERSION}
    store = await open_sql(server_url)
    await fill(store, host(), guest(1))
    await store.close()


@pytest.mark.servers
async def test_a_database_whose_making_was_cut_short_anywhere_is_made_to_its_end(
    mariadb: MariaDb,
) -> None:
    """MariaDB commits each table by itself."""
    made = METADATA.sorted_tables
    for tables in range(len(made)):
        name = f"half{tables}"
        await mariadb.execute(f"CREATE DATABASE {name}")
        engines = connecting.connect(mariadb.url(name))
        async with engines.tables.begin() as connection:
            for table in made[: tables + 1]:
                await connection.run_sync(table.create)
        await engines.dispose()
        store = await open_sql(mariadb.url(name))
        await fill(store, host(), guest(1))
        await store.close()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (("mdsvc:", "nobody:"), "nobody"),
        ((QUOTED, "s3cr3t"), "mdsvc"),
        (("/db", "/none"), "none"),
        (("127.0.0.1", "127.0.0.1:1,127.0.0.1"), None),
    ],
    ids=["user", "password", "database", "first host is away"],
)
async def test_who_cannot_be_let_in_is_told_why_and_never_the_password(
    server_url: str, change: tuple[str, str], what: str | None
) -> None:
    url = server_url.replace(*change)
    if what is None:
        await (await open_sql(url)).close()
        return
    with pytest.raises(BadInput) as refused:
        await open_sql(url)
    message = str(refused.value)
    assert what in message
    assert "expected a database of mdsvc" not in message
    assert ("MDSVC_STORE_PASSWORD_FILE" in message) == (what != "none")
    assert "s3cr3t" not in message
    assert "p@ss" not in message
    assert QUOTED not in message
    assert "\n" not in message


@pytest.mark.servers
def test_a_password_that_is_changed_under_a_server_is_told_without_it_until_it_is_right_again(
    postgresql: PostgreSql,
) -> None:
    async def check(url: str) -> None:
        store = await open_sql(url)
        await fill(store, host(), guest(1))
        await store._engines.dispose()  # as connections end in time
        await postgresql.execute("postgres", "ALTER ROLE mdsvc PASSWORD 'another'")
        try:
            for attempt in (store.get_instance(uuid(1)), fill(store, guest(2))):
                with pytest.raises(Unavailable) as told:
                    await attempt
                assert "password authentication failed" in str(told.value)
                assert "p@ss" not in str(told.value)
        finally:
            back = f"ALTER ROLE mdsvc PASSWORD '{PASSWORD}'"
            await postgresql.execute("postgres", back, password="another")
        assert await store.get_instance(uuid(1)) == guest(1)
        await store.close()

    asyncio.run(check(postgresql.new_database()))
