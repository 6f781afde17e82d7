"""What the tests of the sources share: a hostile server, and a clock that costs no time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guest.sources.guest import FakeGuest
from tests.guest.sources.hostile import Clock, Hostile, hostile


@pytest.fixture
def server() -> Iterator[Hostile]:
    with hostile() as it:
        yield it


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def guest() -> FakeGuest:
    return FakeGuest()
