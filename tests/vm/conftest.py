"""Guests for the tests of mdguest: each file has its own, in each suite of MDGUEST_SUITES."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.vm.tool")

from tests.vm.machine import Machine  # noqa: E402  # after the line above
from tests.vm.tool import Guest  # noqa: E402

SUITES = os.environ.get("MDGUEST_SUITES", "bookworm").replace(",", " ").split()
ARCHIVE = Path(__file__).parents[2] / "guest-tools/building/archive.py"


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The tool as one file, of the sources as they are now."""
    file = tmp_path_factory.mktemp("mdguest") / "mdguest.pyz"
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    subprocess.run([sys.executable, "-B", str(ARCHIVE), str(file)], env=environment, check=True)
    return file.read_bytes()


@pytest.fixture(scope="module", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """The Debian that the guest runs."""
    return str(request.param)


@pytest.fixture(scope="module")
def guest(suite: str, pyz: bytes) -> Iterator[Guest]:
    """A guest of four CPUs, with a network card, that systemd runs."""
    with Machine(suite, network=True) as machine:
        yield Guest(machine, pyz)
