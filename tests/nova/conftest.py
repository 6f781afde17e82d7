"""One oracle for the whole test run: it takes a second or two to start."""

from collections.abc import Iterator

import pytest

from .client import Oracle


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """Return the running reference; without `.venv-nova` the tests fail and say what to do."""
    with Oracle() as running:
        yield running
