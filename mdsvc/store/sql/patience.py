"""Trying again where others make or change the tables at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from mdsvc.errors import Unavailable
from mdsvc.store import Stale
from mdsvc.store.sql.engines import WAIT_SECONDS
from mdsvc.store.sql.errors import translated
from mdsvc.store.sql.hosts import NotLetIn

T = TypeVar("T")

PATIENCE = 60
"""Seconds for which making or upgrading tables is tried again while others do it too."""


async def patiently(attempt: Callable[[], Awaitable[T]], *, changes: bool = False) -> T:
    """Again where others make or change the tables at the same time. Where this changes them too,
    it waits for its turn, and for a database that is busy with it or starts anew meanwhile.

    Where two make a new SQLite file a write-ahead one, one is told at once that it is locked. The
    last try begins in time to wait for a lock once more.
    """
    waits = (Stale, Unavailable) if changes else (Stale,)
    start = monotonic()
    while True:
        try:
            with translated():
                return await attempt()
        except NotLetIn:
            raise
        except (Stale, Unavailable) as error:
            most = PATIENCE if isinstance(error, waits) else WAIT_SECONDS
            if monotonic() > start + most:
                raise
            await asyncio.sleep(0.05)
