"""The two files that `make guest` leaves, built once, and the package unpacked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.guest.packaging.building import Built, build


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def tree(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the package installs."""
    root = tmp_path_factory.mktemp("tree")
    subprocess.run(["dpkg-deb", "--extract", built.deb, root], check=True)
    return root
