"""How long placing a guest takes as the fleet grows, and how long anybody is held up meanwhile.

    make bench, or .venv/bin/python -m bench.store

Two SQLite stores, with 3,000 and with 9,000 hosts half in use. Guests are placed one after the
other in one process that knows the hosts (*warm*), and by the command, which has to read them all.
A prober takes SQLite's write lock again and again, and a task of the event loop wants its turn
every few milliseconds, while guests are placed and hosts are listed: the longest wait of each is
what a writer, and a guest that asks, may have to wait for. Ratios mean more than seconds; other
load only ever adds, so where there is nothing to compare with, the best of several is taken.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from bench.hosts import HALF, Machine
from mdsvc.control.hosts import list_hosts
from mdsvc.control.instances import create_instance
from mdsvc.forms import from_builtins
from mdsvc.instance import Instance
from mdsvc.store import Store
from mdsvc.store.records import HOST, pack
from mdsvc.store.sql import open_sql
from mdsvc.topology import Host

FLEETS = (3_000, 9_000)
ROUNDS = 10
COMMANDS = 3

MDSVC = Path(sys.executable).with_name("mdsvc")

TIMES_GOAL = 4.0
BESIDE_GOAL = 1.5
HELD_GOAL = 0.5

_BUSY = [sys.executable, "-c", "import time; t = time.time()\nwhile time.time() < t + 1: pass"]
"""What any other process costs that wants a CPU."""

_PROBE = """
import select, sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
longest = 0.0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.005)[0]:
    begun = time.perf_counter()
    database.execute("BEGIN IMMEDIATE")
    longest = max(longest, time.perf_counter() - begun)
    database.execute("ROLLBACK")
print(longest)
"""

OTHERS = {"a busy process": _BUSY, "host list": [str(MDSVC), "host", "list", "--json"]}
TURNS = 4

MACHINE = Machine(2, 16, 2, (HALF,))


class Fleet:
    """A store with so many hosts, and how long things take in it."""

    def __init__(self, folder: Path, hosts: int) -> None:
        self.hosts = hosts
        self.file = folder / f"{hosts}.db"
        self.url = f"sqlite:///{self.file}"
        self.placed = 0
        self.took: dict[str, float] = {}
        self.held: dict[str, float] = {}

    async def measure(self) -> None:
        await self._fill()
        store = await open_sql(self.url)
        try:
            await self._place(store)  # reads them all
            self.took["warm"] = min([await self._place(store) for _ in range(2 * ROUNDS)])
            await self._beside(store)
            await self._hold(store)
        finally:
            await store.close()
        self.took["command"] = min(self._command() for _ in range(COMMANDS))

    async def _beside(self, store: Store) -> None:
        """Beside each kind of process in turn, so that what else the machine does hits both."""
        times: dict[str, list[float]] = {name: [] for name in OTHERS}
        for _ in range(TURNS):
            for name, command in OTHERS.items():
                with self._others(command):
                    times[name] += [await self._place(store) for _ in range(ROUNDS)]
        self.took |= {f"beside {name}": statistics.median(took) for name, took in times.items()}

    async def _fill(self) -> None:
        """Written at once: a transaction for each would take minutes."""
        await (await open_sql(self.url)).close()
        database = sqlite3.connect(self.file)
        rows = ((name := f"h{at:05}", at + 1, _record(name)) for at in range(self.hosts))
        database.executemany("INSERT INTO hosts (name, revision, record) VALUES (?, ?, ?)", rows)
        database.execute("UPDATE meta SET value = ? WHERE name <> 'schema'", [self.hosts + 1])
        database.commit()
        database.close()

    def _guest(self) -> dict[str, object]:
        self.placed += 1
        return {
            "uuid": f"00000000-0000-4000-8000-{self.placed:012}",
            "project_id": "p",
            "name": "guest",
            "flavor": {
                "vcpus": 4,
                "memory_mb": 512,
                "extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "2-3"},
            },
        }

    async def _place(self, store: Store) -> float:
        guest = from_builtins(self._guest(), Instance)
        begun = time.perf_counter()
        await create_instance(store, guest, None)
        return time.perf_counter() - begun

    def _command(self) -> float:
        begun = time.perf_counter()
        self._run([str(MDSVC), "instance", "create", "-"], json.dumps(self._guest()))
        return time.perf_counter() - begun

    def _run(self, command: list[str], text: str = "") -> None:
        subprocess.run(
            command,
            input=text.encode(),
            env={**os.environ, "MDSVC_STORE": self.url},
            stdout=subprocess.DEVNULL,
            check=True,
        )

    @contextmanager
    def _others(self, command: list[str]) -> Iterator[None]:
        """A command in a loop, in processes of its own."""
        over = threading.Event()

        def again() -> None:
            while not over.is_set():
                self._run(command)

        thread = threading.Thread(target=again)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    async def _hold(self, store: Store) -> None:
        """The longest that a writer, and the event loop, wait beside each kind of work."""
        works: dict[str, Callable[[], Awaitable[object]]] = {
            "placing": lambda: self._place(store),
            "listing": lambda: list_hosts(store),
            "listing anew": self._list_anew,
        }
        for name, work in works.items():
            async with _Waits(self.file).measured() as waits:
                for _ in range(ROUNDS if name != "listing anew" else 1):
                    await work()
            self.held[f"a writer, beside {name}"] = waits.writer
            self.held[f"the event loop, beside {name}"] = waits.loop

    async def _list_anew(self) -> None:
        """As a process does that has just begun."""
        store = await open_sql(self.url)
        await list_hosts(store)
        await store.close()


def _record(name: str) -> bytes:
    return pack(HOST, name, from_builtins(MACHINE.host(name), Host))


class _Waits:
    """The longest waits for the write lock, in a process of its own, and for a turn of the loop."""

    def __init__(self, file: Path) -> None:
        self.writer = 0.0
        self.loop = 0.0
        self._file = file

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[_Waits]:
        command = [sys.executable, "-c", _PROBE, str(self._file)]
        pipe = subprocess.PIPE
        prober = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert prober.stdout
        await prober.stdout.readline()
        beat = asyncio.create_task(self._beat())
        try:
            yield self
        finally:
            beat.cancel()
            longest, _ = await prober.communicate(b"")
        self.writer = float(longest)

    async def _beat(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            self.loop = max(self.loop, time.perf_counter() - begun - 0.005)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        fleets = [Fleet(Path(folder), hosts) for hosts in FLEETS]
        for fleet in fleets:
            await fleet.measure()
    few, many = fleets
    print(f"{'placing a guest, ms':40}" + "".join(f"{f.hosts:>12,}" for f in fleets) + "   times")
    for name in few.took:
        print(
            f"{name:40}{few.took[name] * 1e3:12.1f}{many.took[name] * 1e3:12.1f}"
            f"{many.took[name] / few.took[name]:8.1f}"
        )
    print("the longest wait of …, ms")
    for name in few.held:
        print(f"{name:40}{few.held[name] * 1e3:12.1f}{many.held[name] * 1e3:12.1f}")
    _judge(few, many)


def _judge(few: Fleet, many: Fleet) -> None:
    times = max(many.took[name] / few.took[name] for name in ("warm", "command"))
    beside = max(f.took["beside host list"] / f.took["beside a busy process"] for f in (few, many))
    held = max(w for f in (few, many) for name, w in f.held.items() if name.startswith("a writer"))
    for what, measured, goal in (
        (f"{many.hosts:,} hosts take so many times as long as {few.hosts:,}", times, TIMES_GOAL),
        ("beside host list, times as long as beside any busy process", beside, BESIDE_GOAL),
        ("seconds that a writer is held up at most", held, HELD_GOAL),
    ):
        verdict = "met" if measured <= goal else "MISSED"
        print(f"{what}: {measured:.2f}; goal at most {goal:g}: {verdict}")


if __name__ == "__main__":
    asyncio.run(main())
