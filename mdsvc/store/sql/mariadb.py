"""MariaDB and MySQL, alone or as a Galera cluster, by asyncmy."""

from __future__ import annotations

import ssl
from typing import Any

import asyncmy
from asyncmy import errors
from asyncmy.constants import CLIENT

from mdsvc.store.sql.engines import WAIT_SECONDS, Engines
from mdsvc.store.sql.hosts import NotLetIn, NotNow
from mdsvc.store.sql.servers import Server, Session
from mdsvc.store.sql.servers import engines as engines_of
from mdsvc.store.sql.urls import DatabaseUrl, Host

PORT = 3306

_GONE = frozenset({1047, 1053, 1290, 1792, 1836, 1927, 2006, 2013})
"""It is no part of the cluster, is being shut down, only reads, or has closed the connection."""

_NO_LOGIN = frozenset({1045, 1251, 1698, 3159})
"""No such user or password, or the server wants another way to say it: on every node."""

_NO_DATABASE = frozenset({1044, 1049})
"""There is no such database, or it is not for this user."""

_TABLES_LOCK = "CONCAT('mdsvc.', MD5(DATABASE()))"

_SESSION = {
    "sql_mode": "'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
    "innodb_lock_wait_timeout": str(WAIT_SECONDS),
}
_IF_THERE = {
    # Who stops in the middle, with the lock, must not stop all others.
    "idle_write_transaction_timeout": "10",
}
_IN_CLUSTER = {
    # What another node has committed is seen by whoever begins after it.
    "wsrep_sync_wait": "1",
}


def engines(url: DatabaseUrl) -> Engines:
    """The engines of a MariaDB or MySQL database. Raises BadInput."""
    server = Server(
        driver="mysql+asyncmy",
        connect=_connect,
        gone=_GONE,
        snapshot="START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        lock=f"DO GET_LOCK({_TABLES_LOCK}, 60)",
        unlock=f"DO RELEASE_LOCK({_TABLES_LOCK})",
    )
    return engines_of(url, server)


async def _connect(
    url: DatabaseUrl, host: Host, tls: ssl.SSLContext | None, session: Session
) -> Any:
    """Raises NotNow, and NotLetIn where it would be the same on another server."""
    try:
        connection = await asyncmy.connect(
            host=host.name,
            port=host.port or PORT,
            user=url.user,
            password=url.password or "",
            db=url.database,
            ssl=tls,
            charset="utf8mb4",
            binary_prefix=True,
            client_flag=CLIENT.FOUND_ROWS,
            read_timeout=session.seconds,
            connect_timeout=WAIT_SECONDS,
        )
    except errors.MySQLError as error:
        raise _refusal(error, url, host) from None
    try:
        await _prepare(connection, session)
    except BaseException:
        connection.close()
        raise
    return connection


async def _prepare(connection: Any, session: Session) -> None:
    """Raises NotNow for a node that is no part of its cluster."""
    try:
        there = await _told(connection, "VARIABLES", "wsrep_on", *_IF_THERE)
        in_cluster = there.get("wsrep_on") == "ON"
        settings = _SESSION | {name: _IF_THERE[name] for name in _IF_THERE.keys() & there.keys()}
        if in_cluster and session.rested_on:
            settings |= _IN_CLUSTER
        async with connection.cursor() as cursor:
            await cursor.execute("SET " + ", ".join(f"{n} = {v}" for n, v in settings.items()))
        if in_cluster and await _told(connection, "STATUS", "wsrep_ready") != {"wsrep_ready": "ON"}:
            raise NotNow("this node is no part of the cluster")
    except errors.MySQLError as error:
        raise NotNow(_reason(error)) from None


async def _told(connection: Any, what: str, *names: str) -> dict[str, str]:
    listed = ", ".join(f"'{name}'" for name in names)
    async with connection.cursor() as cursor:
        await cursor.execute(f"SHOW {what} WHERE Variable_name IN ({listed})")
        return dict(await cursor.fetchall())


def _refusal(error: errors.MySQLError, url: DatabaseUrl, host: Host) -> NotNow | NotLetIn:
    number, reason = error.args[0] if error.args else None, _reason(error)
    if number in _NO_LOGIN:
        return NotLetIn.login(host, reason, url.password)
    return NotLetIn(f"{host}: {reason}") if number in _NO_DATABASE else NotNow(reason)


def _reason(error: Exception) -> str:
    return str(error.args[-1]) if error.args else type(error).__name__
