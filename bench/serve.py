"""Requests per second of meta_data.json, against a bare aiohttp answer of the same size.

    make bench, or .venv/bin/python -m bench.serve

Both servers run as processes of their own on one CPU, the load on another, in turn, five times;
the median of each and of their ratio is printed.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import rate

CPUS = sorted(os.sched_getaffinity(0))
ROUNDS = 5
PATH = "/openstack/latest/meta_data.json"
BARE = """
import sys
from aiohttp import web
BODY = b"x" * int(sys.argv[1])
async def handle(request):
    return web.Response(body=BODY, content_type="application/json")
app = web.Application()
app.router.add_get("/{path:.*}", handle)
web.run_app(app, host="127.0.0.1", port=0, access_log=None,
            print=lambda text: print(text, flush=True))
"""
HOST = """{"name": "h", "cpu_shared_set": "0-1", "cpu_dedicated_set": "2-7",
 "cells": [{"id": 0, "memory_mb": 16384, "cpus": "0-7"}]}"""
GUEST = """{"uuid": "11111111-2222-4333-8444-555555555555", "project_id": "p", "name": "g",
 "flavor": {"name": "m", "vcpus": 4, "memory_mb": 512,
            "extra_specs": {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "2-3"}},
 "addresses": [{"network": "n", "ip": "127.0.0.1"}], "key_pairs": [{"name": "k",
 "public_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDemoKeyOfNobody"}]}"""
MDSVC = [sys.executable, "-c", "from mdsvc.cli import main; main()"]


@contextmanager
def server(command: list[str]) -> Iterator[int]:
    """The port of a server that runs on the first CPU until the block ends."""
    process = subprocess.Popen(
        ["taskset", "-c", str(CPUS[0]), *command],
        env={**os.environ, "MDSVC_GUEST_RATE": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                yield int(found[1])
                break
        else:
            raise SystemExit("the server did not start")
    finally:
        process.terminate()
        process.wait()


@contextmanager
def mdsvc(directory: str) -> Iterator[int]:
    """The project's server, with one host and one guest in SQLite."""
    store = f"sqlite:///{directory}/bench.db"
    for what, text in (("host add", HOST), ("instance create", GUEST)):
        command = [*MDSVC, *what.split(), "-", "--store", store]
        subprocess.run(command, input=text, text=True, check=True, stdout=subprocess.DEVNULL)
    listeners = ["--guest", "127.0.0.1:0", "--operator", "127.0.0.1:0"]
    with server([*MDSVC, "serve", "--store", store, *listeners]) as port:
        yield port


def main() -> None:
    """Measure, and print a table."""
    os.sched_setaffinity(0, {CPUS[-1]})
    with tempfile.TemporaryDirectory() as directory, mdsvc(directory) as ours:
        with urllib.request.urlopen(f"http://127.0.0.1:{ours}{PATH}") as reply:
            size = len(reply.read())
        bare_script = Path(directory, "bare.py")
        bare_script.write_text(BARE)
        with server([sys.executable, str(bare_script), str(size)]) as bare:
            rounds = [(rate(ours, PATH), rate(bare, PATH)) for _ in range(ROUNDS)]
    print(f"meta_data.json, {size} bytes, 32 connections, median of {ROUNDS} rounds")
    print(f"  mdsvc        {statistics.median(a for a, _ in rounds):8.0f} requests/s")
    print(f"  bare aiohttp {statistics.median(b for _, b in rounds):8.0f} requests/s")
    low, *_, high = ratios = sorted(a / b for a, b in rounds)
    print(f"  ratio        {statistics.median(ratios):8.2f}   ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
