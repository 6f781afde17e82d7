"""What a command does not need, it does not load: told by the modules that a process has loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.cli.command import Mdsvc, environment
from tests.cli.serving import Serving
from tests.cli.test_help import COMMANDS

PROBE = """
import atexit, json, os, sys
atexit.register(lambda: os.write(3, json.dumps(list(sys.modules)).encode()))
from mdsvc.cli import main
main()
"""
"""Runs the command, and says in the end what is loaded."""

HTTP = {"aiohttp", "http.client", "ssl", "urllib.request"}
SQL = {"sqlalchemy", "aiosqlite", "sqlite3", "alembic"}
DRAWING = {"rich"}
SERVING = {"aiohttp", "pyroute2", "mdsvc.documents", "mdsvc.handlers", "mdsvc.api"}
VALUES = {"msgspec", "asyncio", "mdsvc.errors", "mdsvc.topology"}


def _loaded(*args: str, **env: str) -> set[str]:
    """The modules that a process of the command has loaded."""
    script = 'exec 3>&1 >/dev/null; exec "$0" -c "$PROBE" "$@"'
    done = subprocess.run(
        ["bash", "-c", script, sys.executable, *args],
        env=environment(PROBE=PROBE, **env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_loads_nothing_that_it_does_not_print(path: tuple[str, ...]) -> None:
    loaded = _loaded(*path, "--help")
    assert loaded & (HTTP | SQL | DRAWING | SERVING | VALUES | {"typing_extensions"}) == set()


def test_fit_loads_no_store_and_no_server() -> None:
    loaded = _loaded("fit")
    assert "mdsvc.layout" in loaded
    assert loaded & (HTTP | SQL | DRAWING | SERVING | {"asyncio", "mdsvc.control"}) == set()


def test_a_command_in_a_store_loads_no_server(with_guest: Mdsvc) -> None:
    loaded = _loaded("host", "list", "--json", MDSVC_STORE=with_guest.url)
    assert "sqlalchemy" in loaded
    unused = {
        "aiohttp",
        "alembic",
        "asyncpg",
        "sqlalchemy.orm",
        "http.client",
        "mdsvc.discovery",
        "lxml",
    }
    assert loaded & (unused | DRAWING | SERVING) == set()


def test_a_command_with_a_server_loads_no_store(with_guest: Mdsvc) -> None:
    serving = Serving(with_guest.url)
    try:
        loaded = _loaded("host", "list", "--json", MDSVC_SERVER=serving.url)
    finally:
        serving.stop()
    assert "http.client" in loaded
    assert loaded & (SQL | DRAWING | SERVING | {"asyncio"}) == set()
