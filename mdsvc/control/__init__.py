"""Use cases of the operator: ``hosts`` and ``instances``. What changes something does it in one
transaction, and is run again where it lost against another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import uniform
from time import monotonic
from typing import TypeVar

from mdsvc.errors import Conflict
from mdsvc.store import Snapshot, Stale, Store, Transaction

T = TypeVar("T")

PATIENCE = 10.0
"""Seconds after its first loss for which a use case is run again: eight at once on a busy machine
take turns within that, and an API's client has not given up."""

FIRST_PAUSE, LONGEST_PAUSE = 0.004, 0.1
"""Seconds between one loss and the next try: twice as long each time, and somewhere in between."""


def anyhow(_now: object) -> None:
    """The condition that always holds: a change is made whatever is stored now."""


async def in_transaction(store: Store, use_case: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run a use case in one transaction. Raises what ``persist`` raises."""

    async def attempt() -> T:
        async with store.transaction() as tx:
            return await use_case(tx)

    return await persist(attempt)


async def in_snapshot(store: Store, use_case: Callable[[Snapshot], Awaitable[T]]) -> T:
    """Run a use case that only reads, on what there is at one moment."""

    async def attempt() -> T:
        async with store.snapshot() as snapshot:
            return await use_case(snapshot)

    return await persist(attempt)


async def persist(attempt: Callable[[], Awaitable[T]]) -> T:
    """Make an attempt, and again where it lost against another transaction.

    Raises what the attempt raises, and Conflict where it loses again and again.
    """
    losses, give_up = 0, 0.0
    while True:
        try:
            return await attempt()
        except Stale:
            losses += 1
            give_up = give_up or monotonic() + PATIENCE
            if monotonic() > give_up:
                break
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(losses, 10))
        await asyncio.sleep(uniform(pause / 4, pause))  # noqa: S311  # no secret
    raise Conflict(
        f"others changed the store under this change {losses} times in {PATIENCE:g} s; try again"
    )
