"""The same store on each engine: how it grows, and how many may write at once.

    .venv/bin/python -m bench.engines [GUESTS [HOSTS]]

Real servers on loopback (`make test` installs them), and SQLite as what the others are compared
with. First with 1,000 guests and then with all of them: the time to place one, to show it as a
process does that has not read it yet, to list a page, and to drain a host of its guests. Then
placements a second by so many processes, each on its own. Lowest of several, in milliseconds.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from bench.hosts import Machine
from mdsvc.control.draining import drain_host, move_guests
from mdsvc.control.instances import create_instance, delete_instance
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance, place_instance
from mdsvc.layout import fit
from mdsvc.placing.usage import place
from mdsvc.policy.flavor import request
from mdsvc.store import Store
from mdsvc.store.sql import open_sql
from mdsvc.topology import Host
from tests.stores.servers.mariadb import alone
from tests.stores.servers.postgresql import PostgreSql

FEW = 1_000
ROUNDS = 10
PAGE = 1_000
WRITERS = (1, 2, 4, 8)
PLACEMENTS = 25

MACHINE = Machine(2, 32, 2)
FLAVOR = {
    "vcpus": 2,
    "memory_mb": 512,
    "extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1"},
}

_WRITER = """
import asyncio, sys
from bench.engines import create_instance, guest, open_sql

async def write(url, first, count):
    store = await open_sql(url)
    await create_instance(store, guest(first), None)  # knows the hosts from now on
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(first + 1, first + 1 + count):
        await create_instance(store, guest(number), None)
    await store.close()

asyncio.run(write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def guest(number: int) -> Instance:
    form = {
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "project_id": f"p{number % 100}",
        "name": f"guest-{number}",
        "flavor": FLAVOR,
        "addresses": [{"network": "n", "ip": f"fd00::{number >> 16:x}:{number & 0xFFFF:x}"}],
    }
    return from_builtins(form, Instance)


@contextmanager
def engines() -> Iterator[dict[str, str]]:
    """A new database of each engine, by its name."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        postgresql, mariadb = PostgreSql(), alone()
        stack.callback(postgresql.remove)
        stack.callback(mariadb.remove)
        yield {
            "sqlite": f"sqlite:///{Path(folder, 'store.db')}",
            "postgresql": postgresql.new_database(),
            "mariadb": mariadb.new_database(),
        }


class Fleet:
    """A store with hosts, filled up step by step."""

    def __init__(self, store: Store, hosts: int) -> None:
        self._store = store
        self._hosts = [f"h{at:05}" for at in range(hosts)]
        self.filled = 0

    async def fill(self, guests: int) -> None:
        """A transaction for each host: one for each guest would take minutes."""
        each = guests // len(self._hosts)
        for at, name in enumerate(self._hosts):
            async with self._store.transaction() as tx:
                host = await tx.get_host(name)
                if host is None:
                    host = from_builtins(MACHINE.host(name), Host)
                    await tx.add_host(host)
                for number in range(self.filled, each):
                    new = guest(at * 1000 + number)
                    layout = fit(host, request(new.flavor, new.image))
                    await tx.add_instance(place_instance(new, name, layout))
                    host = place(host, layout, new.flavor)
                await tx.update_host(host)
        self.filled = each


async def lowest(work: Callable[[], Awaitable[object]], rounds: int = ROUNDS) -> float:
    """Milliseconds."""
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await work()
        took.append(time.perf_counter() - begun)
    return min(took) * 1000


async def times(url: str, hosts: int) -> dict[str, float]:
    """What a process takes that knows the hosts, and one that has read nothing."""
    store = await open_sql(url)
    numbers = iter(range(50_000_000, 60_000_000))

    async def create() -> None:
        await create_instance(store, guest(next(numbers)), None)

    async def show_one() -> None:
        assert await store.get_instance(guest(0).uuid)

    async def page() -> None:
        assert await store.list_instances(None, None, guest(0).uuid, PAGE)

    async def drain() -> None:
        name = f"h{hosts - 1:05}"
        await move_guests(store, name)
        await drain_host(store, name, draining=False)

    took = {
        "show, cold": await lowest(show_one, 1),
        "create": await lowest(create),
        "show": await lowest(show_one),
        "page of 1,000": await lowest(page, 3),
        "drain, all of a host": await lowest(drain, 1),
    }
    for number in range(50_000_000, next(numbers)):
        await delete_instance(store, guest(number).uuid)
    await store.close()
    return took


def placements_a_second(url: str, writers: int, first: int) -> float:
    """By so many processes at once, which all know the hosts before they begin."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_writer(url, first + at * 1000)) for at in range(writers)]
        for process in processes:
            _stream(process.stdout).readline()
        begun = time.perf_counter()
        for process in processes:
            _stream(process.stdin).write(b"go\n")
            _stream(process.stdin).flush()
        for process in processes:
            assert process.wait() == 0
        return writers * PLACEMENTS / (time.perf_counter() - begun)


def _writer(url: str, first: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", _WRITER, url, str(first), str(PLACEMENTS)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _stream(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe
    return pipe


def show(rows: dict[str, dict[str, float]], form: str) -> None:
    """A row for each thing, a column for each engine, and what it is to SQLite's."""
    print("  ".join([f"{'':24}", *(f"{name:>18}" for name in rows)]))
    for what, reference in rows["sqlite"].items():
        cells = [f"{took[what]:{form}} ({took[what] / reference:5.2f})" for took in rows.values()]
        print("  ".join([f"{what:24}", *(f"{cell:>18}" for cell in cells)]), flush=True)


async def grow(urls: dict[str, str], guests: int, hosts: int) -> None:
    stores = {name: await open_sql(url) for name, url in urls.items()}
    fleets = {name: Fleet(store, hosts) for name, store in stores.items()}
    for count in dict.fromkeys((max(FEW, hosts), guests)):
        for fleet in fleets.values():
            await fleet.fill(count)
        print(f"{count:,} guests on {hosts:,} hosts: ms (times SQLite's)")
        show({name: await times(url, hosts) for name, url in urls.items()}, "8.1f")
    for store in stores.values():
        await store.close()


def write(urls: dict[str, str]) -> None:
    print("placements a second (times SQLite's)")
    rates: dict[str, dict[str, float]] = {name: {} for name in urls}
    for writers in WRITERS:
        for name, url in urls.items():
            first = 60_000_000 + writers * 100_000
            rates[name][f"{writers} writers"] = placements_a_second(url, writers, first)
    show(rates, "8.0f")


def main(guests: int = 10_000, hosts: int = 1_000) -> None:
    with engines() as urls:
        asyncio.run(grow(urls, guests, hosts))
        write(urls)
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"memory of this process at most: {used} MiB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
