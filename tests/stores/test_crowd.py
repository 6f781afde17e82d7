"""Eight processes that place guests on one small host at once, on each engine."""

from __future__ import annotations

import asyncio

import pytest

from mdsvc.store.sql import open_sql

from .placing import Placers, true_books
from .servers.mariadb import Galera
from .values import fill, host


async def prepare(url: str) -> None:
    store = await open_sql(url)
    await fill(store, host())
    await store.close()


def test_eight_processes_place_as_many_as_one_alone_and_nothing_twice(any_url: str) -> None:
    """Twelve dedicated pCPUs, and 24 guests that want two each."""
    asyncio.run(prepare(any_url))
    placers = Placers([any_url] * 8, count=3, kind="pair")
    assert placers.done() == {"placed": 6, "full": 18}
    assert asyncio.run(true_books(any_url)) == placers.acknowledged


@pytest.mark.servers
def test_so_they_do_by_three_nodes_that_lock_nothing_for_one_another(galera: Galera) -> None:
    url = galera.new_database()
    asyncio.run(prepare(url))
    placers = Placers([galera.by(node, url) for node in (0, 1, 2) * 2], count=3, kind="pair")
    became = placers.done()
    assert became["full"] == 12
    assert became["placed"] + became["there"] == 6
    assert asyncio.run(true_books(url)) == placers.acknowledged
