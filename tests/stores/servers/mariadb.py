"""A MariaDB server, and a Galera cluster of three."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import asyncmy
from asyncmy.errors import MySQLError

from .process import Server, answers, free_ports, new_folder, run

USER = "mysql"
PASSWORD = "p@ss/w:rd"
QUOTED = "p%40ss%2Fw%3Ard"


class MariaDb:
    """One server; the node of a cluster where there are options for it."""

    def __init__(self, port: int | None = None, options: dict[str, str] | None = None) -> None:
        self.port = port or free_ports(1)[0]
        self.folder = new_folder(USER)
        self._server = Server(USER, self.folder, signal.SIGTERM)
        self._data = self.folder / "data"
        self._options = options or {}
        self._databases = 0
        run(
            USER, "mariadb-install-db", "--no-defaults", f"--datadir={self._data}",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--force",
            "--innodb-flush-method=nosync", "--sync-frm=OFF", "--innodb-log-file-size=8M",
        )  # fmt: skip

    def start(self, **options: str) -> None:
        every = {
            "datadir": str(self._data),
            "port": str(self.port),
            "bind-address": "127.0.0.1",
            "socket": str(self.folder / "socket"),
            "pid-file": str(self.folder / "pid"),
            "innodb-buffer-pool-size": "32M",
            "innodb-log-file-size": "8M",
            # Nothing here outlives the machine; killed processes lose nothing by it.
            "innodb-flush-log-at-trx-commit": "2",
            "innodb-flush-method": "nosync",
            "sync-frm": "OFF",
            "skip-name-resolve": "ON",
            # The server's own is latin1 with case folded: nothing may depend on it.
            "character-set-server": "latin1",
            **self._options,
            **options,
        }
        flags = [f"--{name}={value}" for name, value in every.items()]
        self._server.start(["mariadbd", "--no-defaults", *flags], self._accepts)

    def make_user(self) -> None:
        statement = f"GRANT ALL ON *.* TO mdsvc@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'"
        asyncio.run(self.execute(statement, user="root", password=""))

    def end(self) -> None:
        self._server.end()

    def kill(self) -> None:
        self._server.kill()

    def remove(self) -> None:
        self._server.remove()

    def new_database(self) -> str:
        """The URL of a database that is empty."""
        self._databases += 1
        name = f"db{self._databases}"
        asyncio.run(self.execute(f"CREATE DATABASE {name}"))
        return self.url(name)

    def url(self, name: str) -> str:
        return f"mysql://mdsvc:{QUOTED}@127.0.0.1:{self.port}/{name}"

    async def execute(
        self, *statements: str, user: str = "mdsvc", password: str = PASSWORD
    ) -> list[tuple[object, ...]]:
        """What the last one gives."""
        connection = await asyncmy.connect(
            host="127.0.0.1", port=self.port, user=user, password=password, autocommit=True
        )
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            rows = list(await cursor.fetchall())
        await connection.ensure_closed()
        return rows

    def _accepts(self) -> bool:
        if not answers(self.port):
            return False
        try:
            rows = asyncio.run(
                self.execute("SHOW STATUS LIKE 'wsrep_ready'", user="root", password="")
            )
        except (OSError, MySQLError):
            return False
        return rows != [("wsrep_ready", "OFF")] or "wsrep_on" not in self._options


def alone() -> MariaDb:
    """One server that is no part of a cluster."""
    server = MariaDb()
    server.start()
    server.make_user()
    return server


PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")

_QUICK = (
    "gcache.size=8M;pc.recovery=false;evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.2S;"
    "evs.suspect_timeout=PT1.5S;evs.inactive_timeout=PT4S;evs.install_timeout=PT4S"
)


class Galera:
    """Three nodes on this machine."""

    def __init__(self) -> None:
        ports = free_ports(12)
        blocks = [ports[at : at + 4] for at in range(0, 12, 4)]
        self._address = "gcomm://" + ",".join(f"127.0.0.1:{block[1]}" for block in blocks)
        self.nodes = [MariaDb(block[0], self._options(block)) for block in blocks]
        self.nodes[0].start(**{"wsrep-new-cluster": "ON"})
        self.nodes[0].make_user()
        for node in self.nodes[1:]:
            node.start()

    def _options(self, ports: list[int]) -> dict[str, str]:
        _, group, incremental, transfer = ports
        return {
            "wsrep_on": "ON",
            "wsrep_provider": str(PROVIDER),
            "wsrep_cluster_name": "mdsvc",
            "wsrep_cluster_address": self._address,
            "wsrep_node_address": "127.0.0.1",
            "wsrep_sst_method": "rsync",
            "wsrep_sst_receive_address": f"127.0.0.1:{transfer}",
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": "2",
            "wsrep_provider_options": f"base_host=127.0.0.1;base_port={group};"
            f"gmcast.listen_addr=tcp://127.0.0.1:{group};"
            f"ist.recv_addr=127.0.0.1:{incremental};{_QUICK}",
        }

    def new_database(self) -> str:
        """The URL of a database that is empty, with all nodes."""
        return self.url(self.nodes[0].new_database().rpartition("/")[2])

    def by(self, first: int, url: str) -> str:
        """The same database, with that node before the others."""
        start, hosts, end = re.split(r"(?<=@)|(?=/db)", url)
        every = hosts.split(",")
        return start + ",".join(every[first:] + every[:first]) + end

    def only(self, number: int, url: str) -> str:
        """The same database, by that node alone."""
        return self.nodes[number].url(url.rpartition("/")[2])

    def url(self, name: str) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"mysql://mdsvc:{QUOTED}@{hosts}/{name}"

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()
