"""How many files this process may open: a connection is one, and a namespace three or more."""

from __future__ import annotations

import resource
from contextlib import suppress

SPARE_FILES = 64
"""Left to the store, the log and the operator, however many guests and namespaces come."""


def file_limit() -> int:
    """How many may be open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_file_limit() -> int:
    """As far as may be: a shell's 1,024 are fewer than guests that wait. Gives what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a unit may not allow it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return file_limit()
