"""The engines of a database server: what PostgreSQL and MariaDB have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from ssl import SSLContext
from typing import Any, NamedTuple

from sqlalchemy import event
from sqlalchemy.engine import Connection, ExceptionContext

from mdsvc.errors import BadInput
from mdsvc.store.sql import tls
from mdsvc.store.sql.asyncio_engine import AsyncEngine, create_async_engine
from mdsvc.store.sql.engines import WAIT_SECONDS, Engines
from mdsvc.store.sql.errors import codes
from mdsvc.store.sql.hosts import Hosts
from mdsvc.store.sql.urls import DatabaseUrl, Host

ANSWER_SECONDS, OTHER_SECONDS = 3, 10
"""How long the database's answer to a statement may take: where a guest waits for it, and else. A
change of tables may take its time.
"""

RECYCLE_SECONDS = 1800
"""After which a connection is made anew, on the first server if that is back."""

CONNECTIONS = "connections"
"""The option that says how many connections read at once for guests, and as many for operators."""


class Session(NamedTuple):
    """What a connection is for: how long an answer may take, whether it writes, and whether a write
    rests on what it reads.
    """

    seconds: float | None
    writes: bool
    rested_on: bool


_ANSWERING = Session(ANSWER_SECONDS, writes=False, rested_on=False)
_CHOOSING = Session(OTHER_SECONDS, writes=False, rested_on=True)
_CHANGING = Session(OTHER_SECONDS, writes=True, rested_on=True)
_CHANGING_TABLES = _CHANGING._replace(seconds=None)


Connect = Callable[[], Awaitable[Any]]


class Server(NamedTuple):
    """How to use one kind of server. ``connect`` gives a connection of the driver, prepared, or
    raises NotNow; ``gone`` are the errors after which a connection is of no use any more;
    ``snapshot`` begins one, where nothing was read yet. ``lock``, ``unlock``, ``notify``: see
    ``Engines``; ``listen`` is given how to connect beside.
    """

    driver: str
    connect: Callable[[DatabaseUrl, Host, SSLContext | None, Session], Awaitable[Any]]
    gone: frozenset[object]
    snapshot: str
    lock: str
    unlock: str | None
    notify: str | None = None
    listen: Callable[[Connect, Callable[[], None]], Coroutine[Any, Any, None]] | None = None


def engines(url: DatabaseUrl, server: Server) -> Engines:
    """The engines of a URL. Raises BadInput; nothing is connected yet."""
    _check(url)
    context = tls.context(url.options)
    hosts, most = Hosts(url.hosts), _connections(url.options)

    async def connect_to_listen() -> Any:
        return await hosts.first(lambda host: server.connect(url, host, context, _ANSWERING))

    def engine(session: Session, isolation_level: str, pool_size: int) -> AsyncEngine:
        async def connect() -> Any:
            return await hosts.first(lambda host: server.connect(url, host, context, session))

        made = create_async_engine(
            f"{server.driver}://",
            async_creator=connect,
            hide_parameters=True,
            isolation_level=isolation_level,
            max_overflow=0,
            pool_size=pool_size,
            pool_timeout=WAIT_SECONDS,
            pool_pre_ping=True,
            pool_recycle=RECYCLE_SECONDS,
            pool_use_lifo=True,
        )
        event.listen(made.sync_engine, "handle_error", _forsake(server.gone))
        return made

    def begin_snapshot(connection: Connection) -> None:
        connection.exec_driver_sql(server.snapshot)

    reads = engine(_ANSWERING, "AUTOCOMMIT", most)
    snapshots = engine(_CHOOSING, "REPEATABLE READ", most)
    # One connection: a store's own writers wait for it in the order in which they came.
    writes = engine(_CHANGING, "READ COMMITTED", 1)
    tables = engine(_CHANGING_TABLES, "READ COMMITTED", 1)
    event.listen(snapshots.sync_engine, "begin", begin_snapshot)
    listen = partial(server.listen, connect_to_listen) if server.listen else None
    told = server.lock, server.unlock, server.notify
    return Engines(reads, snapshots, writes, tables, *told, listen)


def _forsake(gone: frozenset[object]) -> Callable[[ExceptionContext], None]:
    """A server that is shutting down, or has become a copy of another one, is left."""

    def handle(context: ExceptionContext) -> None:
        if not gone.isdisjoint(codes(context.original_exception)):
            context.is_disconnect = True

    return handle


def _check(url: DatabaseUrl) -> None:
    if not url.hosts or not url.user or not url.database or "/" in url.database:
        raise BadInput(f"expected {url.scheme}://USER@HOST:PORT/DATABASE, or several HOST:PORT")
    known = (*tls.NAMES, CONNECTIONS)
    for name in url.options.keys() - {*known, *tls.ALIASES}:
        raise BadInput(f"{name} is no option of the URL; expected {', '.join(known)}")


def _connections(options: Mapping[str, str]) -> int:
    text = options.get(CONNECTIONS, "4")
    if not (text.isascii() and text.isdecimal() and len(text) < 4 and 1 <= int(text) <= 100):
        raise BadInput(f"{CONNECTIONS}: expected a whole number from 1 to 100")
    return int(text)
