"""The connections of a database: an engine for each way to use it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from mdsvc.store.sql.asyncio_engine import AsyncEngine

EXPECTED = (
    "sqlite:///relative.db, sqlite:////absolute.db, postgresql://USER@HOST:PORT/DB"
    " or mysql://USER@HOST1:PORT1,HOST2:PORT2/DB"
)

WAIT_SECONDS = 2
"""For how long anybody waits for a connection, and then for a lock, before it is told that the
store does not answer: a guest asks again after 10 s, so it must hear of it well before."""


class Commits:
    """Whether anybody has committed since, where a database can tell that for next to nothing."""

    def number(self) -> int | None:
        """Another one once somebody has; None where that cannot be told now."""
        return None

    def close(self) -> None:
        """Close what it takes."""


class Engines(NamedTuple):
    """``reads`` answers one query at a time, of the last commit. ``snapshots`` runs transactions
    that only read, and see the store as it was at their first query: no writer waits for them.
    ``writes`` runs short transactions; at its first statement or before, each waits for the others.
    ``tables`` changes tables, which may take its time.

    ``lock`` keeps others from changing tables meanwhile, where the beginning of a transaction does
    not; and ``unlock`` lets them again, where its end does not.

    Where the database tells others of changes, each writing transaction has ``notify`` in it, and
    ``listen`` calls what it is given at each, until it is cancelled; it need not miss none.

    ``check`` raises Unavailable where what is open is not what its URL names any more.
    """

    reads: AsyncEngine
    snapshots: AsyncEngine
    writes: AsyncEngine
    tables: AsyncEngine
    lock: str | None = None
    unlock: str | None = None
    notify: str | None = None
    listen: Callable[[Callable[[], None]], Coroutine[Any, Any, None]] | None = None
    check: Callable[[], None] | None = None
    commits: Commits = Commits()

    async def dispose(self) -> None:
        """Close every connection."""
        self.commits.close()
        for engine in (self.reads, self.snapshots, self.writes, self.tables):
            await engine.dispose()
