"""Nova's metadata API under uWSGI, as a cloud has it: `python -m bench.serve --nova` asks for it.

uWSGI comes from PyPI into `.cache`, as pinned, and Nova from `make setup-tests`.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.nova_process import PYTHON, REPOSITORY
from bench.servers import Served, server

PINNED = REPOSITORY / "bench/nova/requirements.txt"
FOLDER = REPOSITORY / ".cache/uwsgi"
APPLICATION = REPOSITORY / "bench/nova/metadata.py"
RUN = f"import sys; sys.path.append({str(FOLDER)!r}); import pyuwsgi; pyuwsgi.run(sys.argv[1:])"

ONE_PROCESS = (
    *("--master", "--processes", "1", "--disable-logging", "--single-interpreter", "--need-app"),
    *("--home", str(PYTHON.parents[1]), "--wsgi-file", str(APPLICATION), "--die-on-term"),
)


def install() -> None:
    """What is pinned, if it is not there; nothing is built from source."""
    stamp = FOLDER / ".complete"
    if stamp.exists() and stamp.read_bytes() == PINNED.read_bytes():
        return
    if not PYTHON.exists():
        raise SystemExit(f"expected Nova in {PYTHON.relative_to(REPOSITORY)}: make setup-tests")
    shutil.rmtree(FOLDER, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "--quiet", "--no-deps"]
    strict = ["--require-hashes", "--only-binary", ":all:", "--target", str(FOLDER)]
    subprocess.run([*pip, *strict, "--requirement", str(PINNED)], check=True)
    stamp.write_bytes(PINNED.read_bytes())


@contextmanager
def nova(guest: dict[str, Any], secret: str, kept: bool) -> Iterator[Served]:
    """Its one worker answers for a guest, as mdsvc shows it. ``kept``: behind uWSGI's own router,
    which keeps connections; a worker by itself closes each.
    """
    port = _free_port()
    known = {name: value for name, value in guest.items() if value is not None}
    cells = guest["layout"]["cells"]
    asked = {"instance": known, "cells": cells, "secret": secret, "port": port}
    address = f"127.0.0.1:{port}"
    listening = ("--http", address, "--http-keepalive") if kept else ("--http-socket", address)
    # -E -s: with the tests on PYTHONPATH their folder would pass for the package `nova`.
    command = [str(PYTHON), "-E", "-s", "-c", RUN, *listening, *ONE_PROCESS]
    with server(command, BENCH_NOVA=json.dumps(asked)) as served:
        yield served


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
