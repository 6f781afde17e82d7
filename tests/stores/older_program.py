"""The program of an older release, by the SQL that it used: written down from it, and frozen.

As a process (``python -m tests.stores.older_program URL TABLES``) it lives on a store until its
stdin ends: it answers, lists, changes, adds and removes, and checks all that it reads. In the end
it prints the guests that there are, as it knows them: their names by UUID.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import text

from mdsvc.store import Stale
from mdsvc.store.sql import connecting
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.errors import translated

from . import older

T = TypeVar("T")

FIRST = 4
"""The oldest version of tables whose program goes on beside newer ones (`docs/operating.md`)."""

PATIENCE = 10
"""Seconds for which a change that lost is tried again, as `mdsvc.control` does."""

PROJECT_ID_SINCE, MAC_SINCE = 5, 7

_READ = "SELECT record FROM instances WHERE uuid = :uuid"
_FIND = "SELECT uuid FROM addresses WHERE ip = :ip AND network = :network ORDER BY uuid"
_LIST = "SELECT uuid, record FROM instances ORDER BY uuid"
_TAKE_REVISION = "UPDATE meta SET value = value + 1 WHERE name = :name"
_REVISION = "SELECT value FROM meta WHERE name = :name"
_REMOVE_ADDRESSES = "DELETE FROM addresses WHERE uuid = :uuid"
_REMOVE = "DELETE FROM instances WHERE uuid = :uuid"
_REMOVAL = "INSERT INTO removals (revision, kind, name) VALUES (:revision, :kind, :name)"


class Address(NamedTuple):
    """That of a guest; each has one."""

    network: str
    ip: str
    mac: str


def address_of(value: dict[str, Any]) -> Address:
    [one] = value["addresses"]
    return Address(one["network"], one["ip"], one["mac"])


class OlderProgram:
    """It has the tables of its day in mind, and leaves alone what was added since."""

    def __init__(self, url: str, tables: int) -> None:
        self._engines = connecting.connect(url)  # what leads to a server is the same
        self._binary = url.startswith("mysql:")
        self._columns = ["uuid", "host", "generation", "revision", "record"]
        self._of_address = ["ip", "network", "uuid"]
        if tables >= PROJECT_ID_SINCE:
            self._columns.append("project_id")
        if tables >= MAC_SINCE:
            self._of_address.append("mac")

    async def close(self) -> None:
        await self._engines.dispose()

    # ---- for guests ----

    async def read(self, uuid: str) -> dict[str, Any]:
        async with self._engines.reads.connect() as connection:
            [[record]] = await self._run(connection, _READ, uuid=uuid)
        value: dict[str, Any] = older.read("guest", record)
        return value

    async def find(self, address: Address) -> list[str]:
        async with self._engines.reads.connect() as connection:
            where = {"ip": address.ip, "network": address.network}
            return [self._text(uuid) for [uuid] in await self._run(connection, _FIND, **where)]

    # ---- for operators ----

    async def guests(self) -> dict[str, dict[str, Any]]:
        """Those that have an address, by UUID, of one moment; all have to be readable."""
        async with self._engines.snapshots.begin() as connection:
            rows = await self._run(connection, _LIST)
        read = {self._text(uuid): older.read("guest", record) for uuid, record in rows}
        return {uuid: value for uuid, value in read.items() if value.get("addresses")}

    async def rename(self, uuid: str, name: str) -> dict[str, Any]:
        """Give a guest another name; what it is then."""
        return await self._write(lambda connection: self._rename(connection, uuid, name))

    async def add(self, value: dict[str, Any]) -> None:
        await self._write(lambda connection: self._add(connection, value))

    async def remove(self, uuid: str) -> None:
        await self._write(lambda connection: self._remove(connection, uuid))

    async def _write(self, change: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Again where another one was first, as every release has done it."""
        give_up = monotonic() + PATIENCE
        while True:
            try:
                with translated():
                    async with self._engines.writes.begin() as connection:
                        return await change(connection)
            except Stale:
                if monotonic() > give_up:
                    raise

    async def _rename(self, connection: AsyncConnection, uuid: str, name: str) -> dict[str, Any]:
        revision = await self._take_revision(connection)
        [[record]] = await self._run(connection, _READ, uuid=uuid)
        before = older.read("guest", record)
        value = {**before, "name": name, "generation": before["generation"] + 1}
        row = self._row(value, revision)
        sets = ", ".join(f"{column} = :{column}" for column in row if column != "uuid")
        await self._run(connection, f"UPDATE instances SET {sets} WHERE uuid = :uuid", **row)
        await self._run(connection, _REMOVE_ADDRESSES, uuid=uuid)
        await self._add_address(connection, value)
        return value

    async def _add(self, connection: AsyncConnection, value: dict[str, Any]) -> None:
        row = self._row(value, await self._take_revision(connection))
        await self._run(connection, _insert("instances", self._columns), **row)
        await self._add_address(connection, value)

    async def _remove(self, connection: AsyncConnection, uuid: str) -> None:
        revision = await self._take_revision(connection)
        await self._run(connection, _REMOVE, uuid=uuid)
        await self._run(connection, _REMOVAL, revision=revision, kind="instance", name=uuid)

    # ---- statements ----

    async def _take_revision(self, connection: AsyncConnection) -> int:
        await self._run(connection, _TAKE_REVISION, name="revision")
        [[revision]] = await self._run(connection, _REVISION, name="revision")
        return int(revision)

    def _row(self, value: dict[str, Any], revision: int) -> dict[str, Any]:
        record = older.write("guest", value)
        every = {**value, "revision": revision, "record": record}
        return {column: every[column] for column in self._columns}

    async def _add_address(self, connection: AsyncConnection, value: dict[str, Any]) -> None:
        every = {**address_of(value)._asdict(), "uuid": value["uuid"]}
        row = {column: every[column] for column in self._of_address}
        await self._run(connection, _insert("addresses", self._of_address), **row)

    async def _run(self, connection: AsyncConnection, statement: str, **values: Any) -> list[Any]:
        if self._binary:  # text is the bytes of its UTF-8 there
            values = {n: v.encode() if isinstance(v, str) else v for n, v in values.items()}
        done = await connection.execute(text(statement), values)
        return [tuple(row) for row in done] if done.returns_rows else []

    @staticmethod
    def _text(value: str | bytes) -> str:
        return value.decode() if isinstance(value, bytes) else value


def _insert(table: str, columns: list[str]) -> str:
    named = ", ".join(columns), ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({named[0]}) VALUES ({named[1]})"


class _Life:
    """What it does until it is to end. Nobody else changes guests meanwhile, so it knows them."""

    def __init__(self, program: OlderProgram, guests: dict[str, dict[str, Any]]) -> None:
        self._program = program
        self._guests = guests
        self._random = random.Random(1)
        self._turns = 0

    def _some(self) -> dict[str, Any]:
        return self._random.choice(list(self._guests.values()))

    async def turn(self) -> None:
        self._turns += 1
        one = self._some()
        assert await self._program.read(one["uuid"]) == one
        assert await self._program.find(address_of(one)) == [one["uuid"]]
        if self._turns % 5 == 0:
            assert await self._program.guests() == self._guests
        await self._random.choice([self._rename, self._add, self._remove])()

    async def _rename(self) -> None:
        uuid = self._some()["uuid"]
        self._guests[uuid] = await self._program.rename(uuid, f"turn-{self._turns}")

    async def _add(self) -> None:
        model, number = self._some(), 100_000 + self._turns
        octets = number >> 16, number >> 8 & 255, number & 255
        mac = "fa:16:3f:{:02x}:{:02x}:{:02x}".format(*octets)
        address = {**model["addresses"][0], "ip": "10.{}.{}.{}".format(*octets), "mac": mac}
        uuid = f"00000000-0000-4000-9000-{number:012x}"
        value = {**model, "uuid": uuid, "generation": 1, "addresses": [address]}
        await self._program.add(value)
        self._guests[uuid] = value

    async def _remove(self) -> None:
        if len(self._guests) > 20:
            uuid = self._some()["uuid"]
            await self._program.remove(uuid)
            del self._guests[uuid]


async def main(url: str, tables: str) -> None:
    program = OlderProgram(url, int(tables))
    life = _Life(program, await program.guests())
    print("ready", flush=True)
    end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    turns = 0
    while not end.done() or turns < 20:
        await life.turn()
        turns += 1
    print(json.dumps({uuid: one["name"] for uuid, one in (await program.guests()).items()}))
    await program.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
