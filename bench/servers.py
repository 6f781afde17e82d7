"""The servers that are measured, each a process of its own, and the guest that they answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import NamedTuple

from mdsvc.identity.neutron import signed

CPUS = sorted(os.sched_getaffinity(0))
BARE = """
import asyncio, sys
from aiohttp import web
BODY = b"x" * int(sys.argv[1])
async def handle(request):
    return web.Response(body=BODY, content_type="application/json")
async def main():
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print("http://127.0.0.1:%d" % runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
try:
    import uvloop
except ImportError:
    asyncio.run(main())
else:
    uvloop.run(main())
"""
HOST = """{"name": "h", "cpu_shared_set": "0-1", "cpu_dedicated_set": "2-7",
 "cells": [{"id": 0, "memory_mb": 16384, "cpus": "0-7"}]}"""
GUEST = """{"uuid": "11111111-2222-4333-8444-555555555555", "project_id": "p", "name": "g",
 "flavor": {"name": "m", "vcpus": 4, "memory_mb": 512,
            "extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "2-3"}},
 "addresses": [{"network": "n", "ip": "127.0.0.1"}], "key_pairs": [{"name": "k",
 "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoKeyOfNobody"}]}"""
MDSVC = [sys.executable, "-c", "from mdsvc.cli import main; main()"]


SECRET = "s3cret"
UUID, PROJECT = "11111111-2222-4333-8444-555555555555", "p"
SIGNED = {
    "User-Agent": "Cloud-Init/24.4",
    "Accept": "*/*",
    "X-Forwarded-For": "10.0.0.5",
    **signed(UUID, PROJECT, SECRET),
}


class Served(NamedTuple):
    """A server that runs."""

    port: int
    pid: int


@contextmanager
def server(
    command: Sequence[str], cpus: Sequence[int] = CPUS[:1], /, **environment: str
) -> Iterator[Served]:
    """A server on these CPUs, until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cpus)), *command],
        env={**os.environ, "MDSVC_GUEST_RATE": "0", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                # Nobody reads what it logs: it would stand still once the pipe is full.
                Thread(target=process.stdout.read, daemon=True).start()
                yield Served(int(found[1]), process.pid)
                break
        else:
            raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def mdsvc(
    store: str, identity: str, workers: int = 1, cpus: Sequence[int] = CPUS[:1]
) -> Iterator[Served]:
    """The project's server on a store."""
    listeners = ["--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--identity", identity]
    command = [*MDSVC, "serve", "--store", store, *listeners, "--workers", str(workers)]
    with server(command, cpus, MDSVC_SHARED_SECRET=SECRET) as served:
        yield served


def filled(directory: str) -> str:
    """A store with one host and one guest, in SQLite."""
    store = f"sqlite:///{directory}/bench.db"
    for what, text in (("host add", HOST), ("instance create", GUEST)):
        command = [*MDSVC, *what.split(), "-", "--store", store]
        subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    return store
