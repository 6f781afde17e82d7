"""What takes seconds to start, once for the whole test run: the oracle, and a whole Nova."""

from collections.abc import Iterator

import pytest

from .client import Oracle
from .programs import Cloud, cloud

SECRET = "s3cret"
"""What Neutron's agent and Nova's metadata API share."""


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Return the running reference; without `.venv-nova` the tests fail and say what to do."""
    with Oracle() as running:
        yield running


@pytest.fixture(scope="session")
def nova() -> Iterator[Cloud]:
    """Return the running Nova, in which nothing is booted yet."""
    with cloud(SECRET, kept_seconds=1) as running:
        yield running
