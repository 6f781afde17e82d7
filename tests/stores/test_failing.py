"""Database servers that die, restart and come back while guests are placed and answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from msgspec.structs import replace

from mdsvc.placing.usage import place
from mdsvc.store.sql import open_sql
from tests.cli.command import MDSVC, environment

from .placing import Placers, true_books
from .servers.mariadb import Galera
from .servers.postgresql import PostgreSql
from .servers.process import free_ports
from .values import fill, guest, host, uuid

LONG = bool(os.environ.get("MDSVC_STORES_LONG"))
"""As `make test-stores` sets it."""

PATIENCE = 120
"""Seconds for what happens in one or two, on a slow machine with much to do."""

ASKING = 999_999
"""The number of the guest that asks for its metadata all the time."""

pytestmark = pytest.mark.servers


async def prepare(url: str) -> None:
    store = await open_sql(url)
    hosts = [replace(host(f"h{n}"), cpu_allocation_ratio=1000.0) for n in range(3)]
    asking = guest(ASKING, ("any", "127.0.0.1"), on="own")
    own = place(host("own"), asking.layout, asking.flavor)
    await fill(store, *hosts, own, asking)
    await store.close()


def until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


class Serving:
    """`mdsvc serve`, and what a guest at 127.0.0.1 is answered."""

    def __init__(self, url: str) -> None:
        self.statuses: list[int] = []
        self._guests, operators = free_ports(2)
        flags = ["--guest", f"127.0.0.1:{self._guests}", "--operator", f"127.0.0.1:{operators}"]
        self.process = subprocess.Popen(
            [MDSVC, "serve", *flags], env=environment(MDSVC_STORE=url), stderr=subprocess.PIPE
        )
        until(self._listens, "it listens")

    def _listens(self) -> bool:
        assert self.process.poll() is None
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self._guests), 5).close()
            return True
        return False

    def ask(self) -> int:
        """The status; every answer is right, or 503 with the advice to come back."""
        connection = HTTPConnection("127.0.0.1", self._guests, timeout=60)
        connection.request("GET", "/openstack/latest/meta_data.json")
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status == 200:
            assert uuid(ASKING).encode() in body
        else:
            assert response.status == 503, body
            assert int(response.headers["Retry-After"]) > 0
        self.statuses.append(response.status)
        return response.status

    def answers(self) -> bool:
        return self.ask() == 200


@pytest.fixture
def serve() -> Iterator[Callable[[str], Serving]]:
    started: list[Serving] = []

    def start(url: str) -> Serving:
        started.append(Serving(url))
        return started[-1]

    yield start
    for serving in started:
        serving.process.terminate()
        _, log = serving.process.communicate(timeout=PATIENCE)
        assert serving.process.returncode == 0
        assert b"Traceback" not in log
        assert b"p@ss" not in log
        assert b"p%40ss" not in log


@pytest.fixture
def crashing() -> Iterator[PostgreSql]:
    """A server of this test's own, that syncs what it commits."""
    server = PostgreSql(safe=True)
    yield server
    server.remove()


def test_postgresql_is_restarted_and_killed_under_load_and_nothing_is_lost(
    crashing: PostgreSql, serve: Callable[[str], Serving]
) -> None:
    url = crashing.new_database()
    asyncio.run(prepare(url))
    serving = serve(url)
    until(serving.answers, "it answers")
    placers = Placers([url] * 3, count=60 if LONG else 15, kind="small")
    for number in range(10 if LONG else 2):
        until(lambda: len(placers.lines) >= 5 * (number + 1), "guests are placed")  # noqa: B023
        (crashing.kill if number % 2 else crashing.end)()
        serving.ask()
        crashing.start()
        until(serving.answers, "it answers again by itself")
    became = placers.done()
    assert became["placed"] + became["there"] == sum(became.values())
    assert asyncio.run(true_books(url)) == placers.acknowledged | {uuid(ASKING)}
    assert 503 in serving.statuses


@pytest.fixture(scope="module")
def cluster() -> Iterator[Galera]:
    started = Galera()
    yield started
    started.remove()


def test_a_node_of_three_is_killed_and_comes_back_and_all_three_have_all(
    cluster: Galera, serve: Callable[[str], Serving]
) -> None:
    url = cluster.new_database()
    asyncio.run(prepare(url))
    serving = serve(url)
    until(serving.answers, "it answers")
    urls = [url, url, cluster.by(1, url)]
    placers = Placers(urls, count=300 if LONG else 15, kind="small")
    for number in range(3 if LONG else 1):
        until(lambda: len(placers.lines) >= 6 * (number + 1), "guests are placed")  # noqa: B023
        node = cluster.nodes[number]  # the first one is where they write
        node.kill()
        until(serving.answers, "it answers through another node")
        before = len(placers.lines)
        until(lambda: len(placers.lines) > before, "guests are placed through another node")  # noqa: B023
        node.start()
    became = placers.done()
    assert became["placed"] + became["there"] == sum(became.values())
    expected = placers.acknowledged | {uuid(ASKING)}
    for number in range(3):
        alone = cluster.only(number, url)
        assert asyncio.run(true_books(alone)) == expected


def test_a_server_that_hangs_is_given_up_in_time_and_used_again(postgresql: PostgreSql) -> None:
    """Nobody answers, and no connection breaks: as when a cable is pulled."""

    async def check(url: str) -> None:
        store = await open_sql(url)
        await fill(store, host(), guest(1))
        with postgresql.stopped():
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(Exception, match="does not answer"):
                    await store.get_instance(uuid(1))
        assert await store.get_instance(uuid(1)) == guest(1)
        await store.close()

    asyncio.run(check(postgresql.new_database()))
