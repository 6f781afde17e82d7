"""Several servers of one database, tried in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import TypeVar

from mdsvc.errors import Unavailable
from mdsvc.store.sql.engines import WAIT_SECONDS
from mdsvc.store.sql.urls import Host

T = TypeVar("T")

REST_SECONDS = 5
"""For how long a server that did not answer comes after the others."""


class NotNow(Exception):
    """A server that cannot be used now, and why."""


class NotLetIn(Unavailable):
    """A server refuses the user, the password or the database; so would every other one."""

    @classmethod
    def login(cls, host: Host, error: str, password: str | None) -> NotLetIn:
        """Where the user or the password is refused; it says where the password may be given."""
        given = "the one given is refused" if password else "none was given"
        where = "in the URL, in the file MDSVC_STORE_PASSWORD_FILE, or in MDSVC_STORE_PASSWORD"
        return cls(f"{host}: {error}; expected a user and a password, {where}: {given}")


class Hosts:
    """Gives connections to the first server that can be used.

    All writers of a cluster do best on one node, where they wait for one another instead of failing
    to commit; so the order is that of the URL.
    """

    def __init__(self, hosts: Sequence[Host], clock: Callable[[], float] = monotonic) -> None:
        self._hosts = hosts
        self._clock = clock
        self._failed: dict[Host, float] = {}

    async def first(self, connect: Callable[[Host], Awaitable[T]]) -> T:
        """A connection by ``connect``, which raises NotNow. Raises Unavailable naming each server.

        What else it raises (NotLetIn) holds for all servers.
        """
        reasons = []
        for host in self._in_order():
            try:
                async with asyncio.timeout(self._patience()):
                    connection = await connect(host)
            except TimeoutError:
                reasons.append(f"{host}: no answer in {self._patience():.2g} s")
            except (NotNow, OSError) as error:
                reasons.append(f"{host}: {_reason(error)}")
            else:
                self._failed.pop(host, None)
                return connection
            self._failed[host] = self._clock()
        raise Unavailable(f"the store does not answer: {'; '.join(reasons)}")

    def _patience(self) -> float:
        return max(1, WAIT_SECONDS / len(self._hosts))

    def _in_order(self) -> list[Host]:
        return sorted(self._hosts, key=self._rests)

    def _rests(self, host: Host) -> bool:
        return self._clock() - self._failed.get(host, float("-inf")) < REST_SECONDS


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
