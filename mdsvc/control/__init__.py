"""Use cases of the operator, each one transaction: ``hosts`` and ``instances``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from mdsvc.errors import Conflict
from mdsvc.store import Stale, Store, Transaction

T = TypeVar("T")

_TRIES = 20


async def in_transaction(store: Store, use_case: Callable[[Transaction], Awaitable[T]]) -> T:
    """Run a use case in one transaction; again from its start where it lost against another one.

    Raises what the use case raises, and Conflict where it loses again and again.
    """
    for _ in range(_TRIES):
        try:
            async with store.transaction() as tx:
                return await use_case(tx)
        except Stale:
            continue
    raise Conflict(f"the store changed under this change {_TRIES} times in a row; try again")
