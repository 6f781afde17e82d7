"""A boot storm: guests that all boot at once, and ask as cloud-init does, of a server just started.

    .venv/bin/python -m bench.storm [GUESTS [STORED]]

Each asks for one document after the other, each over a new connection, behind Neutron's agent as
far as the server can tell; and a bare server of constant bytes is asked as often in the same way,
in turn, ROUNDS times. A ratio is that of the servers' CPU times for an answer. Beside it, what the
guests see: answers a second, and how long an answer takes, which is the load's time too; and what
statuses were answered beside 200 and 404. STORED guests are in the store, of which those that boot
are spread evenly; the server's memory is its peak, all pages counted.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from typing_extensions import override

from bench.copies import copy
from bench.engines import Fleet, guest
from bench.load import cpu_seconds
from bench.servers import BARE, SECRET, Served, mdsvc, server
from mdsvc.identity.neutron import signed
from mdsvc.store.sql import open_sql

ROUNDS = 3
OPENSTACK = "/openstack/2018-08-27/"
DOCUMENTS = ("meta_data.json", "user_data", "vendor_data.json", "vendor_data2.json")
TREE = "/latest/meta-data/"
HEADERS = {"Host": "169.254.169.254", "Connection": "close", "User-Agent": "Cloud-Init/24.4"}


class Storm(NamedTuple):
    """What a server has come to: seconds of an answer, all in order; CPU time for each in µs; and
    what else was answered than 200 and 404, "none" where that was nothing.
    """

    took: Sequence[float]
    seconds: float
    microseconds: float
    others: Counter[str]

    @override
    def __str__(self) -> str:
        p99 = self.took[len(self.took) * 99 // 100]
        median = self.took[len(self.took) // 2]
        others = ", ".join(f"{count} times {status}" for status, count in self.others.items())
        return (
            f"{self.microseconds:7.1f} µs CPU  {len(self.took) / self.seconds:7.0f}/s  "
            f"median {median * 1e3:6.0f} ms  p99 {p99 * 1e3:6.0f} ms  {others or 'no errors'}"
        )


def headers_of(at: int) -> Mapping[str, str]:
    identity = signed(guest(at).uuid, guest(0).project_id, SECRET)
    return {**HEADERS, "X-Forwarded-For": "10.0.0.5", **identity}


def paths_of_a_boot(port: int) -> list[str]:
    """What cloud-init asks for, in its order, of a server like this one."""
    paths = ["/openstack", "/openstack", *(OPENSTACK + name for name in DOCUMENTS)]
    paths.append(f"{OPENSTACK}network_data.json")
    folders = [TREE]
    while folders:
        folder = folders.pop()
        paths.append(folder)
        request = urllib.request.Request(f"http://127.0.0.1:{port}{folder}", headers=headers_of(0))
        with urllib.request.urlopen(request) as reply:
            names = reply.read().decode().splitlines()
        folders += [folder + name for name in names if name.endswith("/")]
        paths += [folder + name for name in names if not name.endswith("/") and "=" not in name]
    return paths


async def boot(
    port: int, paths: Sequence[str], headers: Mapping[str, str], others: Counter[str]
) -> list[float]:
    """How long each answer took; ``others`` counts what is no answer of 200 or 404."""
    lines = "\r\n".join(f"{name}: {value}" for name, value in headers.items())
    took = []
    for path in paths:
        began = time.perf_counter()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n\r\n".encode())
            reply = await reader.read()
            writer.close()
        except OSError:
            reply = b""
        status = reply[9:12].decode() or "none"
        if status not in ("200", "404"):
            others[status] += 1
        took.append(time.perf_counter() - began)
    return took


async def storm(served: Served, paths: Sequence[str], guests: Sequence[int]) -> Storm:
    headers, others = [headers_of(at) for at in guests], Counter[str]()
    cpu, began = cpu_seconds(served.pid), time.perf_counter()
    boots = await asyncio.gather(*(boot(served.port, paths, each, others) for each in headers))
    seconds, cpu = time.perf_counter() - began, cpu_seconds(served.pid) - cpu
    took = sorted(each for one in boots for each in one)
    return Storm(took, seconds, cpu / len(took) * 1e6, others)


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024


async def first(url: str) -> None:
    store = await open_sql(url)
    await Fleet(store, 1).fill(1)
    await store.close()


def fill(folder: str, count: int) -> str:
    """A store with so many guests that are alike; its URL."""
    path = f"{folder}/store.db"
    url = f"sqlite:///{path}"
    asyncio.run(first(url))
    copy(path, guest(0).uuid, [guest(number).uuid for number in range(1, count)])
    return url


def compare(url: str, script: str, paths: Sequence[str], booting: Sequence[int]) -> float:
    """One storm of each, by servers that have just been started; prints them, gives the ratio."""
    with mdsvc(url, "neutron") as served:
        idle = peak_mib(served.pid)
        ours = asyncio.run(storm(served, paths, booting))
        print(f"  mdsvc  {ours}")
        print(f"  memory {idle:.0f} MiB before, at most {peak_mib(served.pid):.0f} MiB")
    with server([sys.executable, script, "200"]) as served:
        bare = asyncio.run(storm(served, paths, booting))
        print(f"  bare   {bare}", flush=True)
    return bare.microseconds / ours.microseconds


def main(guests: int = 300, stored: int = 1_000) -> None:
    """Measure, and print it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    booting = [at * stored // guests for at in range(guests)]
    with tempfile.TemporaryDirectory() as folder:
        url = fill(folder, stored)
        with mdsvc(url, "neutron") as served:
            paths = paths_of_a_boot(served.port)
        print(f"{guests} of {stored} guests boot, {len(paths)} requests each; ", end="")
        print(f"load before: {os.getloadavg()[0]:.1f}")
        script = Path(folder, "bare.py")
        script.write_text(BARE)
        rounds = [compare(url, str(script), paths, booting) for _ in range(ROUNDS)]
        low, *_, high = sorted(rounds)
        print(f"  ratio  {statistics.median(rounds):.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
