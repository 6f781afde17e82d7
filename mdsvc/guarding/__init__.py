"""What a guest must bring, and how much it may ask: the same for each of the guests' doors.

Plain functions and values: ``tokens`` of a session, ``buckets`` of requests, and what the service
may be called (``addressed``). Behind a proxy headers of the guest do not arrive.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import time

from aiohttp.hdrs import HOST
from multidict import MultiMapping

from mdsvc.errors import Closed, Forged, Forwarded, Limit, NoToken, TooManyRequests, WrongName
from mdsvc.guarding.addressed import check_called
from mdsvc.guarding.buckets import Buckets
from mdsvc.guarding.tokens import LONGEST_TTL, SHUT_OUT, Keys, check_token, token_of, ttl_of
from mdsvc.instance import TokenMode

__all__ = ["TOKEN_PATH", "Buckets", "Guard", "Keys", "is_token_path", "refusal_of"]

TOKEN_PATH = ("latest", "api", "token")

WORKED_ON = 32
"""Requests of one guest at a time, those that wait included."""

WAITS, WAITS_BEHIND_PROXY = 16, 2
"""Of one guest at a time. Each stands in the way of others behind a proxy."""

_log = logging.getLogger(__name__)

_STRANGERS = "strangers"
"""The bucket of all whom nobody knows; no guest has such a UUID."""


def is_token_path(path: Sequence[str]) -> bool:
    """Whether session tokens are had there."""
    return tuple(path) == TOKEN_PATH


_REFUSALS: Mapping[type[Exception], str] = {
    NoToken: "token",
    WrongName: "host",
    Forged: "signature",
    Forwarded: "forwarded",
    Closed: "user_data",
}


def refusal_of(error: Exception) -> str | None:
    """The word by which a refusal is counted; None for an error that is none."""
    return error.limit if isinstance(error, TooManyRequests) else _REFUSALS.get(type(error))


@dataclass(frozen=True)
class Guard:
    """The rules of one door. ``names``: what it may be called beside addresses. ``told_of``: guests
    of which the log says that they are shut out.
    """

    proxied: bool
    mode: TokenMode
    keys: Keys
    buckets: Buckets
    names: frozenset[str] = frozenset()
    clock: Callable[[], float] = time
    working: Counter[str] = field(default_factory=Counter)
    told_of: set[str] = field(default_factory=set)

    def take(self, uuid: str | None) -> None:
        """One request of a guest; of a stranger, without one. Raises TooManyRequests."""
        seconds = self.buckets.take(uuid or _STRANGERS)
        if seconds > 0:
            limit: Limit = "rate" if uuid else "strangers"
            raise TooManyRequests("too many requests", seconds, limit)

    @contextmanager
    def at_work(self, uuid: str) -> Iterator[None]:
        """Around the answering of a guest's request, once it has been taken and checked."""
        self.begin(uuid)
        try:
            yield
        finally:
            self.end(uuid)

    def begin(self, uuid: str) -> None:
        """A guest's request is worked on from now on."""
        self.working[uuid] += 1

    def end(self, uuid: str) -> None:
        """It is no more."""
        self.working[uuid] -= 1
        if not self.working[uuid]:
            del self.working[uuid]

    def admit_at_once(
        self, target: str, headers: MultiMapping[str], uuid: str, own: TokenMode | None = None
    ) -> None:
        """Check and take one that is answered now. What is refused has changed nothing, as it is
        asked once more, the long way.
        """
        self.check(target, headers, uuid, own)
        self.take(uuid)

    def check(
        self,
        target: str,
        headers: MultiMapping[str],
        uuid: str,
        own: TokenMode | None = None,
        *,
        asks_for_token: bool = False,
    ) -> None:
        """All that a known guest's request must keep to beside its rate, in this order, at either
        door and whichever way it is answered. ``target`` is as it was sent. Nothing is changed.
        Raises BadInput, WrongName, TooManyRequests and NoToken.
        """
        if not self.proxied:  # a proxy's request says nothing of what the guest has called it
            check_called(target, headers.getall(HOST, ()), self.names)
        if self.working.get(uuid, 0) >= WORKED_ON:
            raise TooManyRequests("too many requests at a time", 1, "at_once")
        if not asks_for_token:
            self.check_token(headers, uuid, own)

    def check_waits(self, count: int) -> None:
        """Whether one more request of a guest may wait beside so many. Raises TooManyRequests."""
        if count >= (WAITS_BEHIND_PROXY if self.proxied else WAITS):
            raise TooManyRequests("too many requests wait for a change", 1, "waits")

    def has_tokens(self, own: TokenMode | None = None) -> bool:
        """Whether there are tokens for a guest; ``own`` is its mode where it has one."""
        return (own or self.mode) != "off"

    def check_token(
        self, headers: MultiMapping[str], uuid: str, own: TokenMode | None = None
    ) -> None:
        """Raises NoToken where a guest must bring one, or brings one that is none of its own. Its
        operator is told once where none of it can arrive.
        """
        try:
            check_token(own or self.mode, self.keys, headers, uuid, int(self.clock()))
        except NoToken:
            if self.proxied and own == "required" and uuid not in self.told_of:
                self.told_of.add(uuid)
                _log.warning("instance %s: %s", uuid, SHUT_OUT)
            raise

    def issue(self, headers: MultiMapping[str], uuid: str) -> tuple[str, int]:
        """A token for a guest, and for how many seconds it is good. Raises BadInput; Forwarded
        where a direct request has been forwarded, by a proxy that somebody can use from outside.
        """
        if not self.proxied and "X-Forwarded-For" in headers:
            raise Forwarded("tokens are given to nobody whose request was forwarded")
        ttl = ttl_of(headers, LONGEST_TTL if self.proxied else None)
        return token_of(self.keys, uuid, int(self.clock()) + ttl), ttl
