"""Whether the store takes changes: what is on the page may be read where it does not."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from mdsvc.api.probes import ready_within
from mdsvc.store import Store

FRESH_SECONDS = 5
_SECONDS = 1


class Readiness:
    """What is wrong with a store that can be read; asked for now and then."""

    def __init__(self, store: Store, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._asked_at: float | None = None
        self._fault: str | None = None

    async def fault(self) -> str | None:
        """Why nothing can be changed, in words; None where all is well."""
        if self._asked_at is None or self._clock() - self._asked_at >= FRESH_SECONDS:
            self._asked_at = self._clock()
            self._fault = await self._ask()
        return self._fault

    async def _ask(self) -> str | None:
        try:
            await ready_within(self._store, _SECONDS)
        except TimeoutError:
            return f"the store has not answered within {_SECONDS} s"
        except Exception as error:  # noqa: BLE001  # whatever a database raises means the same here
            return str(error) or type(error).__name__
        return None
