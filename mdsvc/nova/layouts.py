"""Where a cloud's guests have their CPUs, by Nova's topology API, one guest at a time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from mdsvc.errors import Forbidden
from mdsvc.nova.keeping import Keeping
from mdsvc.nova.keystone import CloudSession, Refusal
from mdsvc.nova.servers import ADMINISTRATOR, get_server
from mdsvc.running import RunningGuest

FRESH_SECONDS = 15.0
"""As long as Nova's own workers keep what they tell a guest."""


class CloudLayouts:
    """Guests as they run, each as it was that long ago at most, or when Nova last told."""

    def __init__(self, cloud: CloudSession, clock: Callable[[], float] = monotonic) -> None:
        self._cloud = cloud
        self._kept = Keeping(self._fetch, FRESH_SECONDS, clock=clock)

    async def get(self, uuid: str, seconds: float) -> RunningGuest:
        """Raises MdsvcError: NotFound where there is no such guest, Unavailable where Nova does not
        say so in time.
        """
        return await self._kept.get(uuid, seconds)

    async def close(self) -> None:
        """Ask no more."""
        await self._kept.close()

    async def _fetch(self, uuid: str) -> RunningGuest:
        try:
            return await get_server(self._cloud, uuid)
        except Forbidden as error:
            raise Refusal(f"{ADMINISTRATOR}: {error}") from None
