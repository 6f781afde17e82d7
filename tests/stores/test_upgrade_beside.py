"""An older program goes on while the tables and the records are upgraded, and afterwards.

On real servers: the older program reads, changes, adds and removes guests all the time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace
from sqlalchemy import column, insert, table, text

from mdsvc.control.draining import drain_host
from mdsvc.errors import BadInput, Conflict
from mdsvc.forms import to_builtins
from mdsvc.instance import Address, PlacedInstance
from mdsvc.store.records import GUEST, HOST, pack
from mdsvc.store.sql import columns, connecting, open_sql, patience, schema, upgrading, versions
from tests.cli.command import environment, process

from . import older
from .old_forms import guest_rows, host_rows, old_guests
from .older_program import FIRST, OlderProgram
from .values import changed, guest, host, uuid

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
GUESTS, ONE = 30, 101
"""How many the older program has, and the number of the first."""


OLD = old_guests(8, seed=3)
"""Records of form 1, beside those of the older program."""

_HOSTS = table("hosts", column("name", columns.text(255)), column("revision"), column("record"))
_GUESTS = table(
    "instances",
    *(column(name, columns.text(255)) for name in ("uuid", "host")),
    *(column(name) for name in ("generation", "revision", "record")),
)


def stored(number: int) -> PlacedInstance:
    mac = f"fa:16:3e:00:00:{number:02x}"
    return replace(guest(number), addresses=(Address("net-a", f"10.0.0.{number}", mac),))


async def make(url: str, version: int) -> None:
    """A store of older tables, filled by the program of its day."""
    engines = connecting.connect(url)
    async with engines.tables.begin() as connection:
        await connection.run_sync(lambda c: upgrading.migrate(c, version))
        schema_now = f"UPDATE meta SET value = {version} WHERE name = 'schema'"
        await connection.execute(text(schema_now))
        own = {"name": "h1", "revision": 1, "record": pack(HOST, "h1", host())}
        await connection.execute(insert(_HOSTS), own)
        await connection.execute(insert(_HOSTS), host_rows(OLD))
        await connection.execute(insert(_GUESTS), guest_rows(OLD))
    await engines.dispose()
    program = OlderProgram(url, version)
    for number in range(ONE, ONE + GUESTS):
        record = pack(GUEST, uuid(number), stored(number))
        await program.add(older.read("guest", record))
    await program.close()


@contextmanager
def living(url: str, version: int) -> Iterator[dict[str, str]]:
    """The older program lives in the block; in the end the guests that it has left are there."""
    command = [sys.executable, "-m", "tests.stores.older_program", url, str(version)]
    pipe = subprocess.PIPE
    left: dict[str, str] = {}
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == "ready\n"
        yield left
        out, _ = program.communicate(timeout=120)
    assert program.returncode == 0
    left.update(json.loads(out))


async def _check(url: str, expected: dict[str, str]) -> None:
    """The newer program finds all of it, by every way that it has."""
    store = await open_sql(url)
    guests = (await store.list_instances(None, "p", None, 1000)).whole()
    assert [one.uuid for one in guests if not one.addresses] == [one.uuid for one in OLD]
    ours = [one for one in guests if one.addresses]
    assert {one.uuid: one.name for one in ours} == expected
    for one in ours:
        [address] = one.addresses
        assert address.mac
        assert await store.find_mac(address.mac, address.network) == [one.uuid]
        assert await store.find(address.ip, address.network) == [one.uuid]
    await store.close()


@pytest.mark.parametrize("version", [FIRST, schema.VERSION - 1])
def test_an_older_program_lives_on_through_every_command_of_an_upgrade(
    any_url: str, version: int
) -> None:
    asyncio.run(make(any_url, version))
    said: list[str] = []
    with living(any_url, version) as left:
        for command in ("db upgrade", "db migrate-layouts --batch 5", "db upgrade --records"):
            done = process(*command.split(), MDSVC_STORE=any_url)
            assert done.code == 0, done.err
            said.append(done.out)
    assert f"upgraded from version {version} to {schema.VERSION}" in said[0]
    assert f"rewritten   {len(OLD)}\n" in said[1]
    asyncio.run(_check(any_url, left))


@pytest.mark.parametrize("version", range(FIRST, schema.VERSION))
async def test_it_is_not_waited_for_while_rows_are_filled(
    any_url: str, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each step of an upgrade it reads and changes what it likes, however long they take."""
    await make(any_url, version)
    program = OlderProgram(any_url, version)
    steps: list[str] = []

    async def patiently(attempt: Callable[[], Awaitable[T]], **how: Any) -> T:
        done = await real(attempt, **how)
        steps.append(f"step-{len(steps)}")
        assert len(await program.guests()) == GUESTS
        await program.rename(uuid(ONE), steps[-1])
        return done

    real = patience.patiently
    monkeypatch.setattr(upgrading, "patiently", patiently)
    await versions.upgrade(any_url, lambda *_: None)
    names = {one: value["name"] for one, value in (await program.guests()).items()}
    await program.close()
    assert names[uuid(ONE)] == (steps or [f"guest-{ONE}"])[-1]
    await _check(any_url, names)


@pytest.mark.parametrize(
    ("command", "step"), [("db upgrade", 9), ("db migrate-layouts --batch 2", 5)]
)
def test_a_command_that_is_killed_anywhere_is_gone_on_with_and_loses_nothing(
    any_url: str, command: str, step: int
) -> None:
    """By SIGKILL, each time some statements later; the older program goes on after each."""
    version = FIRST if command == "db upgrade" else schema.VERSION - 1
    asyncio.run(make(any_url, version))
    if command != "db upgrade":
        asyncio.run(versions.upgrade(any_url, lambda *_: None))
    names: dict[str, str] = {}
    codes: list[int] = []
    while not codes or codes[-1]:
        cut = [sys.executable, "-m", "tests.stores.cut", str(step * (len(codes) + 1))]
        done = subprocess.run(
            [*cut, *command.split()],
            env=environment(MDSVC_STORE=any_url),
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        codes.append(done.returncode)
        assert codes[-1] in (0, -signal.SIGKILL), done.stderr
        names = asyncio.run(_look(any_url, version, f"cut-{len(codes)}"))
    assert len(codes) > 3, "it was killed several times"
    asyncio.run(_check(any_url, names))


async def _look(url: str, version: int, name: str) -> dict[str, str]:
    """All guests as the older program reads them, once it has renamed one."""
    program = OlderProgram(url, version)
    await program.rename(uuid(ONE), name)
    guests = await program.guests()
    await program.close()
    assert guests[uuid(ONE)]["name"] == name
    assert len(guests) == GUESTS
    return {one: value["name"] for one, value in guests.items()}


async def test_both_change_the_same_guests_in_upgraded_tables(any_url: str) -> None:
    version = schema.VERSION - 1
    await make(any_url, version)
    await versions.upgrade(any_url, lambda *_: None)
    program, store = OlderProgram(any_url, version), await open_sql(any_url)
    for turn in range(6):
        name = f"turn-{turn}"
        if turn % 2:
            async with store.transaction() as tx:
                one = await tx.get_instance(uuid(ONE))
                assert one
                await tx.update_instance(changed(one, name=name))
        else:
            await program.rename(uuid(ONE), name)
        read = await store.get_instance(uuid(ONE))
        assert read
        assert (read.name, read.generation) == (name, turn + 2)
        assert to_builtins(read)["name"] == (await program.read(uuid(ONE)))["name"]
    await program.close()
    await store.close()


async def test_what_it_could_not_read_is_refused_until_all_programs_are_upgraded(
    any_url: str,
) -> None:
    await make(any_url, schema.VERSION - 1)
    await versions.upgrade(any_url, lambda *_: None)
    store = await open_sql(any_url)
    if not any_url.startswith("sqlite:"):  # of a file, programs are upgraded together
        with pytest.raises(Conflict, match="run: mdsvc db upgrade --records"):
            await drain_host(store, "h1")
        await versions.upgrade(any_url, lambda *_: None, records=True)
    assert (await drain_host(store, "h1")).draining
    await store.close()


@pytest.mark.parametrize("version", [1, schema.VERSION - 1])
async def test_the_newer_program_refuses_older_tables_with_the_command_that_mends_it(
    any_url: str, version: int
) -> None:
    await make(any_url, schema.VERSION - 1)
    await _say_version(any_url, version)
    with pytest.raises(BadInput, match=rf"version {version}; .*; run: mdsvc db upgrade --store "):
        await open_sql(any_url)


async def test_a_program_refuses_newer_tables_also_where_it_would_upgrade(any_url: str) -> None:
    await (await open_sql(any_url)).close()
    await _say_version(any_url, schema.VERSION + 1)
    newer = rf"of version {schema.VERSION + 1}; expected {schema.VERSION}; run the newer mdsvc"
    with pytest.raises(BadInput, match=newer):
        await open_sql(any_url)
    with pytest.raises(BadInput, match=newer):
        await versions.upgrade(any_url, lambda *_: None)


async def _say_version(url: str, version: int) -> None:
    engines = connecting.connect(url)
    async with engines.writes.begin() as connection:
        said = f"UPDATE meta SET value = {version} WHERE name = 'schema'"
        await connection.execute(text(said))
    await engines.dispose()
