"""Several placers at one database, and whether its books are true afterwards."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from mdsvc.forms import to_builtins
from mdsvc.store.sql import open_sql
from tests.crash.accounts import faults

ROOT = Path(__file__).parents[2]
LIMIT = 180
"""Seconds in which at least one guest is placed, on a slow machine with much to do."""


class Placers:
    """Processes of ``placer.py`` that have begun at the same moment."""

    def __init__(self, urls: list[str], count: int, kind: str) -> None:
        self.lines: list[str] = []
        self._processes = [
            self._start(url, str(n * 1000), count, kind) for n, url in enumerate(urls)
        ]
        self._readers = [threading.Thread(target=self._read, args=[p]) for p in self._processes]
        for process in self._processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in self._processes:
            assert process.stdin
            process.stdin.close()
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _start(url: str, first: str, count: int, kind: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.stores.placer", url, first, str(count), kind]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self.lines.append(line.strip())

    def done(self) -> Counter[str]:
        """How many guests became what, once all have ended well."""
        seen, give_up = 0, time.monotonic() + LIMIT
        while any(process.poll() is None for process in self._processes):
            if len(self.lines) > seen:
                seen, give_up = len(self.lines), time.monotonic() + LIMIT
            assert time.monotonic() < give_up, f"nothing has come after {self.lines[-1:]}"
            time.sleep(0.05)
        for process, reader in zip(self._processes, self._readers, strict=True):
            assert process.returncode == 0
            reader.join()
            assert process.stdout
            process.stdout.close()
        return Counter(line.split()[0] for line in self.lines)

    @property
    def acknowledged(self) -> set[str]:
        return {line.split()[1] for line in self.lines if not line.startswith("full")}


async def true_books(url: str) -> set[str]:
    """The UUIDs of the guests, where nothing is given twice and each host's use is its guests'."""
    store = await open_sql(url)
    async with store.snapshot() as snapshot:
        hosts = [to_builtins(host) for host in await snapshot.list_hosts()]
        guests = [to_builtins(guest) for guest in await snapshot.list_instances()]
    await store.close()
    assert faults(hosts, guests) == []
    return {guest["uuid"] for guest in guests}
