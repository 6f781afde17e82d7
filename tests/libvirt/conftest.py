"""One real libvirtd for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.libvirt import daemon


@pytest.fixture(scope="module")
def libvirtd() -> Iterator[daemon.Libvirtd]:
    with daemon.libvirtd() as running:
        yield running
