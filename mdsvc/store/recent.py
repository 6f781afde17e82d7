"""What was read of a store a moment ago: a boot asks for a few dozen documents at once.

Nova keeps answers for 15 seconds, and so gives old ones; this is for the length of a burst only.
Passwords, and what was not found, are always asked for anew.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from time import monotonic
from typing import Any

from mdsvc.instance import PlacedInstance
from mdsvc.store import GuestStore

SECONDS = 0.2
"""The oldest that an answer may be."""

_MOST = 10_000


class RecentReads:
    """A ``GuestStore`` before another one."""

    def __init__(self, store: GuestStore, clock: Callable[[], float] = monotonic) -> None:
        self._store = store
        self._clock = clock
        self._kept: dict[Hashable, tuple[float, Any]] = {}

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        guest: PlacedInstance | None = self._recall(uuid)
        return guest or self._keep(uuid, await self._store.get_instance(uuid))

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        key = (ip, network)
        found: Sequence[str] | None = self._recall(key)
        return found or self._keep(key, await self._store.find(ip, network))

    async def password(self, uuid: str) -> bytes | None:
        return await self._store.password(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        return await self._store.set_password(uuid, password)

    def _recall(self, key: Hashable) -> Any:
        read, value = self._kept.get(key, (0.0, None))
        return value if self._clock() - read < SECONDS else None

    def _keep(self, key: Hashable, value: Any) -> Any:
        """Keep what was found, and forget the oldest where it becomes too much."""
        self._kept.pop(key, None)
        if value:
            if len(self._kept) >= _MOST:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (self._clock(), value)
        return value
