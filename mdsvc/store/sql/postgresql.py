"""PostgreSQL, by asyncpg."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from random import uniform
from typing import Any

import asyncpg
from asyncpg import exceptions

from mdsvc.store.sql.engines import WAIT_SECONDS, Engines
from mdsvc.store.sql.hosts import NotLetIn, NotNow
from mdsvc.store.sql.servers import Connect, Server, Session
from mdsvc.store.sql.servers import engines as engines_of
from mdsvc.store.sql.urls import DatabaseUrl, Host

PORT = 5432

_log = logging.getLogger(__name__)

_GONE = frozenset({"25006", "57P01", "57P02", "57P03"})
"""It has become a copy that only reads, is being shut down, has crashed, or is starting."""

_TABLES_LOCK = 0x6D64737663  # "mdsvc"

_CHANNEL = "mdsvc"

_LISTEN_AGAIN_SECONDS = 2

_WRITER = {
    "lock_timeout": f"{WAIT_SECONDS}s",
    # Who stops in the middle, with the lock, must not stop all others.
    "idle_in_transaction_session_timeout": "10s",
}


def engines(url: DatabaseUrl) -> Engines:
    """The engines of a PostgreSQL database. Raises BadInput."""
    server = Server(
        driver="postgresql+asyncpg",
        connect=_connect,
        gone=_GONE,
        snapshot="SET TRANSACTION READ ONLY",
        lock=f"SELECT pg_advisory_xact_lock({_TABLES_LOCK})",
        unlock=None,
        notify=f"NOTIFY {_CHANNEL}",
        listen=_listen,
    )
    return engines_of(url, server)


async def _listen(connect: Connect, hurry: Callable[[], None]) -> None:
    """Listen until it is cancelled; again, after a moment, where the connection is lost. Meanwhile
    nothing is told, so whoever listens asks once it is back.
    """
    while True:
        connection, lost = None, asyncio.Event()
        try:
            connection = await connect()
            connection.add_termination_listener(lambda _connection, lost=lost: lost.set())
            await connection.add_listener(_CHANNEL, lambda *_notification: hurry())
            hurry()
            await lost.wait()
        except Exception as error:  # noqa: BLE001  # whatever it is, nothing rests on it
            _log.debug("nobody tells of changes now: %s", error)
        finally:
            if connection is not None:
                connection.terminate()
        await asyncio.sleep(uniform(0.5, 1.5) * _LISTEN_AGAIN_SECONDS)  # noqa: S311  # no secret


async def _connect(
    url: DatabaseUrl, host: Host, tls: ssl.SSLContext | None, session: Session
) -> Any:
    """Raises NotNow, and NotLetIn where it would be the same on another server."""
    settings = {"application_name": "mdsvc", "client_encoding": "utf8"}
    try:
        connection = await asyncpg.connect(
            host=host.name,
            port=host.port or PORT,
            user=url.user,
            password=url.password,
            database=url.database,
            ssl=tls or False,
            command_timeout=session.seconds,
            server_settings=settings | (_WRITER if session.writes else {}),
        )
    except exceptions.InvalidAuthorizationSpecificationError as error:
        raise NotLetIn.login(host, str(error), url.password) from None
    except exceptions.InvalidCatalogNameError as error:
        raise NotLetIn(f"{host}: {error}") from None
    except (exceptions.PostgresError, exceptions.InterfaceError) as error:
        raise NotNow(str(error) or type(error).__name__) from None
    if await connection.fetchval("SELECT pg_is_in_recovery()"):
        await connection.close()
        raise NotNow("it is a copy that only reads")
    return connection
