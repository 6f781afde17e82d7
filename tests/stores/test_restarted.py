"""A database is killed and started again in the midst of guests' whole lives: nothing that was
acknowledged is lost, and nothing is half done.

MDSVC_KILLS=N kills the server N times, for the long form.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.crash.killing import books, fill, generations
from tests.crash.lives import Line, read, start

from .servers.mariadb import MariaDb, alone
from .servers.postgresql import PostgreSql

pytestmark = pytest.mark.servers

KILLS = int(os.environ.get("MDSVC_KILLS", "2"))
LIVES = 2
PATIENCE = 300.0
"""Seconds for two changes, on a slow machine with much to do."""

SERVERS: dict[str, Callable[[], PostgreSql | MariaDb]] = {
    "postgresql": lambda: PostgreSql(safe=True),
    "mariadb": alone,
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[PostgreSql | MariaDb]:
    """One of this test's own."""
    started = SERVERS[request.param]()
    yield started
    started.remove()


def done(log: Path) -> int:
    """How many operations have changed something."""
    return sum(bool(line.generations) for line in read(log)) if log.exists() else 0


def test_guests_live_on_through_kills_of_their_database(
    server: PostgreSql | MariaDb, tmp_path: Path
) -> None:
    url = server.new_database()
    fill(url)
    logs = [tmp_path / f"{number}.log" for number in range(LIVES)]
    lives = [start(url, log, number + 1) for number, log in enumerate(logs)]
    for _ in range(KILLS):
        _go_on(logs, lives)
        server.kill()
        time.sleep(0.5)
        server.start()
    _go_on(logs, lives)
    for life in lives:
        life.kill()
        life.join()
    stored = generations(books(url))
    for line in (line for log in logs for line in read(log)):
        _check(line, stored, deleted=_may_be_gone(logs))


def _go_on(logs: list[Path], lives: list[BaseProcess]) -> None:
    """Each of them changes something more."""
    for log, life in zip(logs, lives, strict=True):
        before, give_up = done(log), time.monotonic() + PATIENCE
        while done(log) < before + 2:
            assert life.is_alive()
            assert time.monotonic() < give_up
            time.sleep(0.1)


def _may_be_gone(logs: list[Path]) -> set[str]:
    """Guests whose deletion has begun, whatever was said of it."""
    return {line.uuid for log in logs for line in read(log) if line.begun == "delete"}


def _check(line: Line, stored: dict[str, int], deleted: set[str]) -> None:
    """What was acknowledged has happened, whatever else has happened since."""
    for uuid, generation in line.generations.items():
        if generation == 0:
            assert uuid not in stored
        elif uuid in stored:
            assert stored[uuid] >= generation
        else:
            assert uuid in deleted
