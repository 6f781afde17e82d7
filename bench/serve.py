"""meta_data.json, asked by guests, against a bare aiohttp server that answers as many bytes.

    make bench, or .venv/bin/python -m bench.serve

Each server is a process of its own on one CPU, the load is on another, in turn, five times. A ratio
is that of the servers' CPU times for an answer, which a busy machine changes little: 1 would be as
cheap as constant bytes by aiohttp's low-level server under the same event loop. By connections that
are kept, and with one for each request; behind Neutron's agent (a signature is checked), and by
address.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.load import rate, request_of
from mdsvc.identity.neutron import signed

CPUS = sorted(os.sched_getaffinity(0))
ROUNDS = 5
PATH = "/openstack/latest/meta_data.json"
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
def server(command: list[str], **environment: str) -> Iterator[Served]:
    """A server on the first CPU, until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", str(CPUS[0]), *command],
        env={**os.environ, "MDSVC_GUEST_RATE": "0", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                yield Served(int(found[1]), process.pid)
                break
        else:
            raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def mdsvc(store: str, identity: str) -> Iterator[Served]:
    """The project's server on a store."""
    listeners = ["--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0", "--identity", identity]
    command = [*MDSVC, "serve", "--store", store, *listeners]
    with server(command, MDSVC_SHARED_SECRET=SECRET) as served:
        yield served


def filled(directory: str) -> str:
    """A store with one host and one guest, in SQLite."""
    store = f"sqlite:///{directory}/bench.db"
    for what, text in (("host add", HOST), ("instance create", GUEST)):
        command = [*MDSVC, *what.split(), "-", "--store", store]
        subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    return store


def compare(ours: Served, bare: Served, kept: bool, headers: Mapping[str, str]) -> None:
    """Measure in turn, and print a line."""
    request = request_of(PATH, headers, kept)
    rounds = [(rate(*ours, request, kept), rate(*bare, request, kept)) for _ in range(ROUNDS)]
    mine, plain = (
        statistics.median(each[which].microseconds for each in rounds) for which in (0, 1)
    )
    low, *_, high = ratios = sorted(b.microseconds / a.microseconds for a, b in rounds)
    per_second = statistics.median(a.answers for a, _ in rounds)
    print(
        f"  {mine:7.1f} µs  {plain:7.1f} µs  {statistics.median(ratios):5.2f} "
        f"({low:.2f} to {high:.2f})  {per_second:8.0f}/s"
    )


def main() -> None:
    """Measure, and print a table."""
    os.sched_setaffinity(0, {CPUS[-1]})
    with tempfile.TemporaryDirectory() as directory:
        store = filled(directory)
        with mdsvc(store, "neutron") as signed_for, mdsvc(store, "address") as addressed:
            url = f"http://127.0.0.1:{addressed.port}{PATH}"
            with urllib.request.urlopen(url) as reply:
                size = len(reply.read())
            bare_script = Path(directory, "bare.py")
            bare_script.write_text(BARE)
            print(f"meta_data.json, {size} bytes, 32 connections, medians of {ROUNDS} rounds:")
            print("  CPU time for an answer of mdsvc, of bare aiohttp, and their ratio; answers")
            with server([sys.executable, str(bare_script), str(size)]) as bare:
                for kept in (True, False):
                    print("connections are kept" if kept else "a connection for each request")
                    for name, ours, headers in (
                        ("behind Neutron", signed_for, SIGNED),
                        ("by address", addressed, {"User-Agent": "Cloud-Init/24.4"}),
                    ):
                        print(f"  {name:15}", end="", flush=True)
                        compare(ours, bare, kept, headers)


if __name__ == "__main__":
    main()
