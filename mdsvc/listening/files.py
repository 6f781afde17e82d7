"""Open files: as many as may be, of which some are left to what is no connection.

The kernel gives a new file the lowest number that is free, so a high number says that all below it
are taken: by connections, by namespaces, or by whatever else.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import sys
from contextlib import suppress
from typing import Any

from mdsvc.logs import Rarely

SPARE_FILES = 64
"""What connections leave to the store, the log and the operator."""

_NONE_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = Rarely(logging.getLogger(__name__))


def most_files() -> int:
    """How many this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """As far as may be: connections take one each, and namespaces three or more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # a unit may not allow it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def leaves(file: int, spare: int = SPARE_FILES) -> bool:
    """Whether there are so many files left once one of this number is open."""
    return file < most_files() - spare


def none_left(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's handler of what goes wrong in it. Whoever connects can bring it about that no
    file is left, so that is a line now and then, and no traceback each time.
    """
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in _NONE_LEFT and "accept" in context["message"]:
        _log.warning(f"no connection can be taken now: {error.strerror}: see LimitNOFILE=")
    else:
        loop.default_exception_handler(context)
