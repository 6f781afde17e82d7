"""SQLite: one file, one writer at a time, and readers that neither wait nor are waited for."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, event
from sqlalchemy.engine import Connection

from mdsvc.errors import BadInput, Unavailable
from mdsvc.override import override
from mdsvc.store.sql.asyncio_engine import create_async_engine
from mdsvc.store.sql.engines import WAIT_SECONDS, Commits, Engines
from mdsvc.store.sql.urls import DatabaseUrl

EXPECTED = "sqlite:///relative.db or sqlite:////absolute.db"

READERS = 4
"""Connections, each a thread, that answer guests at the same time; and as many snapshots."""


def engines(url: DatabaseUrl) -> Engines:
    """The engines of a SQLite file. Raises BadInput."""
    try:
        _check_file(url)
    except OSError as error:  # a directory above that nobody may look into, a name too long
        raise BadInput(f"expected a file that can be used: {error.strerror}") from None
    options: dict[str, Any] = {
        "url": URL.create("sqlite+aiosqlite", database=url.database),
        "connect_args": {"timeout": WAIT_SECONDS},
        "hide_parameters": True,
        "max_overflow": 0,
        "pool_timeout": WAIT_SECONDS,
    }
    reads = create_async_engine(
        **options,
        isolation_level="AUTOCOMMIT",
        pool_size=READERS,
        pool_reset_on_return=None,
        skip_autocommit_rollback=True,  # there is nothing to undo, and it takes a turn of a thread
    )
    # Apart from those that answer guests: a listing takes its time.
    snapshots = create_async_engine(**options, pool_size=READERS)
    # One connection: a store's own writers wait for it in the order in which they came, and only
    # those of other processes for the lock, which they look at again and again.
    writes = create_async_engine(**options, pool_size=1)
    event.listen(reads.sync_engine, "connect", _prepare_reader)
    event.listen(snapshots.sync_engine, "connect", _prepare_snapshots)
    event.listen(snapshots.sync_engine, "begin", _begin_snapshot)
    event.listen(snapshots.sync_engine, "invalidate", _release)
    event.listen(writes.sync_engine, "connect", _prepare_writer)
    event.listen(writes.sync_engine, "begin", _begin)
    event.listen(writes.sync_engine, "invalidate", _release)
    check = _still_there(Path(url.database))
    commits = _Commits(url.database)
    return Engines(reads, snapshots, writes, tables=writes, check=check, commits=commits)


def _still_there(path: Path) -> Callable[[], None]:
    """A file that was moved or replaced is written to all the same, and nobody finds it again."""
    opened = path.stat()

    def check() -> None:
        if not (path.exists() and os.path.samestat(opened, path.stat())):
            what = "was moved, removed or replaced since it was opened"
            raise Unavailable(f"{path} {what}: put it back, or restart")

    return check


class _Commits(Commits):
    """By a connection of its own: of others' commits SQLite has a number in shared memory.

    It is asked on the event loop: that takes some microseconds, where a query takes two hundred in
    a thread. It waits for no lock, and reads no file but where somebody has committed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @override
    def number(self) -> int | None:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, timeout=0, isolation_level=None)
            [number] = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:  # a query waits longer, and says what is wrong
            return None
        return int(number)

    @override
    def close(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None


def _check_file(url: DatabaseUrl) -> None:
    """Say what is wrong with the path; SQLite only says that it cannot open the file."""
    name = url.database
    if url.hosts or url.options or "\0" in name or name in ("", ":memory:"):
        raise BadInput(f"expected the path of a file: {EXPECTED}")
    path = Path(name)
    if not path.parent.is_dir():
        raise BadInput(f"expected a file in a directory, but there is no directory {path.parent}")
    if path.exists() and not path.is_file():
        raise BadInput(f"expected a file, but {path} is none")
    for needed in (path, path.parent):
        if needed.exists() and not os.access(needed, os.W_OK):
            raise BadInput(f"expected a file that can be written to, but {needed} cannot")
    path.touch(mode=0o600)  # what guests are given, and their passwords, is for its owner alone


def _prepare_reader(connection: Any, _record: object) -> None:
    _run(connection, "PRAGMA query_only = ON")


def _prepare_snapshots(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 begins no transaction of its own
    _run(connection, "PRAGMA query_only = ON")


def _prepare_writer(connection: Any, _record: object) -> None:
    """Write-ahead log: readers see the last commit while a writer works, and neither waits.

    FULL syncs the log with each commit. NORMAL would keep the file whole too, but could lose the
    last commits with the power: a pCPU that a guest runs on would look free.
    """
    connection.isolation_level = None  # sqlite3 begins no transaction of its own
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        _run(connection, f"PRAGMA {pragma}")


def _run(connection: Any, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()


def _begin_snapshot(connection: Connection) -> None:
    """The first query sees the last commit, and all that follow see the same."""
    connection.exec_driver_sql("BEGIN")


def _begin(connection: Connection) -> None:
    """The write lock comes first: what the transaction reads cannot change under it any more."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _release(connection: Any, _record: object, _error: object) -> None:
    """Undo before a connection is closed in the middle of its work, as a cancelled task's is.

    Closing alone would keep the write lock for as long as anything refers to a cursor, and the
    traceback of the cancellation does.
    """
    connection.rollback()
