"""Another process that places guests: ``python -m tests.stores.placer URL FIRST COUNT KIND``.

One line for each guest: what became of it, and its UUID. ``placed`` is acknowledged; ``there`` is
on the books after an answer was lost; ``full`` was refused for want of room. What the store could
not do just then is tried again.
"""

from __future__ import annotations

import asyncio
import sys

from mdsvc.control.instances import create_instance
from mdsvc.errors import Conflict, DoesNotFit, Unavailable
from mdsvc.instance import Instance
from mdsvc.policy.flavor import Flavor
from mdsvc.store import Store
from mdsvc.store.sql import SqlStore, open_sql

from .values import uuid

FLAVORS = {
    "pair": Flavor(vcpus=2, memory_mb=64, extra_specs={"hw:cpu_policy": "dedicated"}),
    "small": Flavor(vcpus=1, memory_mb=16),
}


async def place(store: Store, number: int, kind: str) -> str:
    guest = Instance(
        uuid=uuid(number), project_id="p", name=f"guest-{number}", flavor=FLAVORS[kind]
    )
    lost = False
    while True:
        try:
            await create_instance(store, guest, None)
        except DoesNotFit:
            return "full"
        except Unavailable:
            lost = True
        except Conflict as error:
            if "try again" not in str(error):
                return "there" if lost else f"refused({error})"
        else:
            return "placed"
        await asyncio.sleep(0.05)


async def opened(url: str) -> SqlStore:
    while True:
        try:
            return await open_sql(url)
        except Unavailable:
            await asyncio.sleep(0.05)


async def main(url: str, first: str, count: str, kind: str) -> None:
    print("ready", flush=True)
    sys.stdin.readline()  # so that several begin at the same moment
    store = await opened(url)
    for number in range(int(first), int(first) + int(count)):
        print(await place(store, number, kind), uuid(number), flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
