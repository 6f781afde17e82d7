"""One at a time: what changes the guest, and what gives away parts of the pool."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

CHANGES = "/run/mdguest/lock"
SUBSETS = "/run/mdguest/run.lock"


def take(path: str) -> int:
    """Wait for the lock and return its descriptor; it is given back when that is closed."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextlib.contextmanager
def held(path: str = CHANGES) -> Iterator[None]:
    descriptor = take(path)
    try:
        yield
    finally:
        os.close(descriptor)
