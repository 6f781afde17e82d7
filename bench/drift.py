"""Guests that drift, among very many that report: what finding and listing them costs.

    .venv/bin/python -m bench.drift [GUESTS]

Each of them has reported, and one of a thousand says that it is broken. In one process, in SQLite:
the first look at all of them, as a server does it once; another one; one where a hundred have
reported meanwhile; and both listings of the API, each as its median and longest; and memory.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from bench.copies import copy
from mdsvc.access import Access
from mdsvc.api import ROUTES, Backend
from mdsvc.api.instances import list_instances
from mdsvc.api.pages import InstancesQuery
from mdsvc.api.route import Call
from mdsvc.app import figures_of, open_store
from mdsvc.control.hosts import add_host
from mdsvc.control.instances import create_instance
from mdsvc.demo.sample import big_host
from mdsvc.instance import Instance
from mdsvc.policy.flavor import Flavor
from mdsvc.reports import Status, now_ms
from mdsvc.store import Store
from mdsvc.store.following import Follower

TIMES = 20
FIRST = "00000000-0000-4000-8000-000000000000"


def uuid_of(number: int) -> str:
    return f"{FIRST[:-12]}{number:012}"


async def fill(url: str, path: str, count: int) -> None:
    """Rows that are copies of one guest's, but for the UUID."""
    store = await open_store(url)
    await add_host(store, big_host())
    flavor = Flavor(vcpus=1, memory_mb=64)
    guest = Instance(uuid=FIRST, project_id="p", name="g", flavor=flavor)
    await create_instance(store, guest, None)
    await store.set_report(FIRST, Status(generation=1, state="off"), now_ms())
    await store.close()
    copy(path, FIRST, [uuid_of(number) for number in range(1, count)], ("instances", "reports"))
    with sqlite3.connect(path) as database:
        broken = [(uuid_of(number),) for number in range(0, count, 1000)]
        database.executemany("UPDATE reports SET state = 'broken' WHERE uuid = ?", broken)


async def timed(what: str, ask: Callable[[], Awaitable[object]], times: int = TIMES) -> None:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append((time.perf_counter() - began) * 1e3)
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:36}{statistics.median(took):8.0f} ms, at most {max(took):6.0f}; {mib:5.0f} MiB")


async def measure(store: Store) -> None:
    metrics, drifting = figures_of(store)
    backend = Backend(store, Follower(store), Access(store, True), metrics, ROUTES, drifting)

    async def listed(drifted: Literal["true", "false"]) -> None:
        call = Call(
            backend=backend, path={}, query=InstancesQuery(drifted=drifted), body=None, headers={}
        )
        await list_instances(call)

    async def reported() -> None:
        for number in range(100):
            status = Status(generation=number, state="off")
            await store.set_report(uuid_of(number), status, now_ms())
        began = time.perf_counter()
        await drifting.look()
        print(f"{'  of which the look':36}{(time.perf_counter() - began) * 1e3:8.0f} ms")

    await timed("the first look", drifting.look, 1)
    await timed("another one", drifting.look)
    await timed("a hundred reports, and a look", reported, 1)
    await timed("GET /v1/instances?drifted=true", lambda: listed("true"))
    await timed("GET /v1/instances?drifted=false", lambda: listed("false"))


async def run(folder: str, count: int) -> None:
    path = f"{folder}/store.db"
    url = f"sqlite:///{path}"
    await fill(url, path, count)
    store = await open_store(url)
    print(f"{count} guests that report, {len(range(0, count, 1000))} of them drift")
    await measure(store)
    await store.close()


def main(count: int = 10_000) -> None:
    """Measure, and print it."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder, count))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
