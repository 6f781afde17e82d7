"""A PostgreSQL server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from .process import Server, answers, free_ports, new_folder, run

USER = "postgres"
PASSWORD = "p@ss/w:rd"
QUOTED = "p%40ss%2Fw%3Ard"


def programs() -> Path:
    """Debian keeps those of each release apart."""
    return max(Path("/usr/lib/postgresql").iterdir(), key=lambda path: int(path.name)) / "bin"


class PostgreSql:
    """One server. With ``safe`` it syncs what it commits, as for a test of crashes."""

    def __init__(self, *, safe: bool = False) -> None:
        self._safe = safe
        folder = new_folder(USER)
        [self.port] = free_ports(1)
        self._server = Server(USER, folder, signal.SIGINT)
        self._data = folder / "data"
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        run(
            USER, programs() / "initdb", "-D", self._data, "-U", "mdsvc", "--pwfile", secret,
            "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8",
        )  # fmt: skip
        self._databases = 0
        self.start()

    def start(self, **more: str) -> None:
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "fsync": "on" if self._safe else "off",
            **more,
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        postgres = str(programs() / "postgres")
        command = [postgres, "-D", str(self._data), "-p", str(self.port), *flags]
        self._server.start(command, lambda: answers(self.port) and self._accepts())

    def end(self) -> None:
        self._server.end()

    def kill(self) -> None:
        self._server.kill()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It and its children do nothing, and no connection breaks."""
        with self._server.stopped():
            yield

    def remove(self) -> None:
        self._server.remove()

    def new_database(self) -> str:
        """The URL of a database that is empty."""
        self._databases += 1
        name = f"db{self._databases}"
        asyncio.run(self.execute("postgres", f"CREATE DATABASE {name}"))
        return self.url(name)

    def url(self, name: str) -> str:
        return f"postgresql://mdsvc:{QUOTED}@127.0.0.1:{self.port}/{name}"

    async def execute(self, database: str, *statements: str, password: str = PASSWORD) -> None:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="mdsvc", password=password, database=database,
            ssl=False,
        )  # fmt: skip
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def _accepts(self) -> bool:
        try:
            asyncio.run(self.execute("postgres", "SELECT 1"))
        except (OSError, asyncpg.PostgresError):
            return False
        return True
