"""A process that lets guests live: it creates, resizes, moves, rebuilds and deletes them at random,
and writes a line before each of it, and one with what it was told after it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from typing import Any, TextIO

import msgspec
from msgspec.structs import replace

from mdsvc.control.draining import drain_host, move_guests
from mdsvc.control.instances import create_instance, delete_instance, list_instances
from mdsvc.control.moves import migrate_instance
from mdsvc.control.resizing import rebuild_instance, resize_instance
from mdsvc.errors import MdsvcError, Unavailable
from mdsvc.instance import PlacedInstance
from mdsvc.store import Store
from tests.books.world import random_image, random_instance
from tests.stores.placer import opened

HOSTS = ("a", "b", "c")
ENDLESS = 10**9


class Line(msgspec.Struct, frozen=True):
    """``begun`` an operation, on that guest where it is about one that is there; or ``done``, with
    the generations of all that it has changed, 0 where a guest is gone.
    """

    begun: str = ""
    uuid: str = ""
    done: str = ""
    generations: dict[str, int] = {}


class Life:
    """One process, on one store."""

    def __init__(self, store: Store, log: TextIO, seed: int) -> None:
        self.store, self.log, self.seed = store, log, seed
        self.random = Random(seed)
        self.count = 0

    async def run(self, aim: str, most: int) -> None:
        """Half of what it does is what is aimed at. While the store is away it looks again."""
        for self.count in range(1, most + 1):
            try:
                await self.one(aim if aim and self.random.random() < 0.5 else self.any())
            except Unavailable:
                await asyncio.sleep(0.1)

    def any(self) -> str:
        return self.random.choice(["create", *OPERATIONS])

    async def one(self, operation: str) -> None:
        guests = await list_instances(self.store)
        guest = self.random.choice(guests) if guests else None
        if guest is None or (len(guests) < 4 and operation != "drain"):
            operation = "create"
        uuid = "" if operation in ("create", "drain") or guest is None else guest.uuid
        self.tell(Line(begun=operation, uuid=uuid))
        try:
            changed = await OPERATIONS[operation](self, uuid)
        except MdsvcError:
            changed = {}
        self.tell(Line(done=operation, generations=changed))

    def tell(self, line: Line) -> None:
        self.log.write(json.dumps(msgspec.to_builtins(line)) + "\n")
        self.log.flush()

    async def create(self, _: str) -> dict[str, int]:
        new = random_instance(self.random, self.seed * 10_000 + self.count)
        return _told(await create_instance(self.store, new, None))

    async def resize(self, uuid: str) -> dict[str, int]:
        """To a flavor of its own name, so that it is always a change."""
        flavor = random_instance(self.random, 0).flavor
        flavor = replace(flavor, name=f"{self.seed}-{self.count}")
        return _told(await resize_instance(self.store, uuid, flavor))

    async def migrate(self, uuid: str) -> dict[str, int]:
        return _told(await migrate_instance(self.store, uuid))

    async def rebuild(self, uuid: str) -> dict[str, int]:
        return _told(await rebuild_instance(self.store, uuid, random_image(self.random)))

    async def delete(self, uuid: str) -> dict[str, int]:
        await delete_instance(self.store, uuid)
        return {uuid: 0}

    async def drain(self, _: str) -> dict[str, int]:
        name = self.random.choice(HOSTS)
        drained = await move_guests(self.store, name)
        await drain_host(self.store, name, draining=False)
        return {guest.uuid: guest.generation for guest in drained.moved}


def _told(guest: PlacedInstance) -> dict[str, int]:
    return {guest.uuid: guest.generation}


OPERATIONS: dict[str, Callable[[Life, str], Awaitable[dict[str, int]]]] = {
    "create": Life.create,
    "resize": Life.resize,
    "migrate": Life.migrate,
    "rebuild": Life.rebuild,
    "delete": Life.delete,
    "drain": Life.drain,
}


def live(url: str, log: str, seed: int, aim: str, most: int) -> None:
    """What the process does."""

    async def run(lines: TextIO) -> None:
        store = await opened(url)
        try:
            await Life(store, lines, seed).run(aim, most)
        finally:
            await store.close()

    with Path(log).open("a", encoding="utf-8") as lines:
        asyncio.run(run(lines))


def start(url: str, log: Path, seed: int, aim: str = "", most: int = ENDLESS) -> BaseProcess:
    """A process of its own, forked from one that has all modules loaded and does nothing else."""
    context: ForkServerContext = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=live, args=(url, str(log), seed, aim, most), daemon=True)
    process.start()
    return process


def read(log: Path) -> Sequence[Line]:
    """The whole lines that are there."""
    if not log.exists():
        return []
    whole: Any = log.read_text("utf-8").split("\n")[:-1]
    return [msgspec.json.decode(line, type=Line) for line in whole]
