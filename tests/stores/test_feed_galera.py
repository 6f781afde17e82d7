"""Between the nodes of a Galera cluster: who follows on one learns all that others write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest

from mdsvc.store.sql import open_sql

from .servers.mariadb import QUOTED, Galera, MariaDb
from .test_feed import World, follow, live
from .values import fill, host

pytestmark = pytest.mark.servers


@pytest.fixture
def nodes() -> Iterator[list[str]]:
    """The URLs of one database, a node in each."""
    cluster = Galera()
    database = cluster.new_database().rpartition("/")[2]

    def url(node: MariaDb) -> str:
        return f"mysql://mdsvc:{QUOTED}@127.0.0.1:{node.port}/{database}"

    yield [url(node) for node in cluster.nodes]
    cluster.remove()


async def test_who_follows_on_one_node_misses_nothing_of_the_others(nodes: list[str]) -> None:
    stores = [await open_sql(url) for url in nodes]
    await fill(stores[0], host())
    world = World()
    lives = [
        asyncio.create_task(live(store, number, random.Random(number)))
        for number, store in enumerate(stores[:2])
    ]
    ends = lambda: all(task.done() for task in lives)  # noqa: E731
    await asyncio.gather(*lives, follow(stores[2], world, ends, random.Random(2)))
    page = await stores[2].changes(world.position)
    world.learn(page.changes, page.position)
    async with stores[0].snapshot() as snapshot:
        there = {one.uuid: one.generation for one in await snapshot.list_instances()}
    assert world.seen == sorted(set(world.seen)), "in order, and each change once"
    world.generations.pop("h1")
    assert world.generations == there
    for store in stores:
        await store.close()
