"""What can go wrong, as the user sees it. These know no HTTP and no exit codes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any


class MdsvcError(Exception):
    """Base of all errors that the user is told about in one message."""


class BadInput(MdsvcError):
    """Input that is not of the form it should have; the message names the field."""


class InvalidRequest(MdsvcError):
    """Flavor and image that are wrong by themselves, on whatever host.

    The message names the key, its value and what was expected.
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        shown = repr(value) if len(repr(value)) <= 100 else repr(value)[:97] + "..."
        given = f"{key} is not set" if value is None else f"{key}={shown}"
        super().__init__(f"{given}: expected {expected}")
        self.key = key


class Refused(MdsvcError):
    """A request that is well formed and cannot be granted as things stand."""


class Conflict(Refused):
    """What is asked contradicts what is stored: a name in use, a host that is not empty."""


Reason = Mapping[str, Any]


class DoesNotFit(Refused):
    """No placement satisfies every rule."""

    def __init__(self, message: str, explain: Callable[[], Sequence[Reason]]) -> None:
        super().__init__(message)
        self._message = message
        self._explain = explain

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Why not, the nearest to fitting first; worked out when asked for."""
        return tuple(self._explain())

    def __str__(self) -> str:
        nearest = [str(reason["message"]) for reason in self.reasons[:1]]
        return ": ".join([self._message, *nearest])


class Unavailable(MdsvcError):
    """What is needed does not answer in time; it may, a moment later."""


class NotFound(MdsvcError):
    """Nothing of that name is stored."""


class Unidentified(MdsvcError):
    """The request does not say properly who is asking."""


class Forged(MdsvcError):
    """The request's signature is not the right one."""
