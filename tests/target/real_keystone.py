"""A real Keystone for the tests; see ``keystone_server.py``."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.nova.client import PYTHON


class Keystone(NamedTuple):
    """A real one, and a token of its service `nova` that is over."""

    url: str
    expired: str


@contextmanager
def running(folder: Path, compute: str) -> Iterator[Keystone]:
    """With that URL of the compute service in its catalog."""
    script = str(Path(__file__).with_name("keystone_server.py"))
    with subprocess.Popen(
        [PYTHON, "-E", "-s", "-W", "ignore", script, folder, compute, "3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    ) as process:
        assert process.stdout
        port, expired = process.stdout.readline().strip(), process.stdout.readline().strip()
        assert port, (folder / "keystone.log").read_text()
        yield Keystone(f"http://127.0.0.1:{port}", expired)
        process.terminate()
