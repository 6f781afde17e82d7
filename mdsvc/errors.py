"""What can go wrong, as the user sees it. These know no HTTP and no exit codes.

Each has a ``code``, a word that programs may rely on; the classes' names are for the code alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import ClassVar, Literal

import msgspec

from mdsvc.override import override

Code = Literal[
    "bad_input",
    "invalid_request",
    "unauthorized",
    "forbidden",
    "not_found",
    "method_not_allowed",
    "conflict",
    "does_not_fit",
    "precondition_failed",
    "too_large",
    "unsupported_media_type",
    "unavailable",
    "internal",
]
"""What kind of error it is, on the wire. Published, so none of these words ever changes."""


class MdsvcError(Exception):
    """Base of all errors that the user is told about in one message."""

    code: ClassVar[Code] = "internal"


class BadInput(MdsvcError):
    """Input that is not of the form it should have; the message names the field.

    So does ``field``, alone, where one is at fault and not the whole.
    """

    code = "bad_input"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequest(MdsvcError):
    """Flavor and image that are wrong by themselves, on whatever host.

    The message names the key, its value and what was expected.
    """

    code = "invalid_request"

    def __init__(self, key: str, value: object, expected: str) -> None:
        shown = repr(value) if len(repr(value)) <= 100 else repr(value)[:97] + "..."
        given = f"{key} is not set" if value is None else f"{key}={shown}"
        super().__init__(f"{given}: expected {expected}")
        self.key = key


class Refused(MdsvcError):
    """A request that is well formed and cannot be granted as things stand."""

    code: ClassVar[Code] = "conflict"


class Conflict(Refused):
    """What is asked contradicts what is stored: a name in use, a host that is not empty."""


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule that fails, for a guest that is on the host where that is named. Amounts where it is
    about an amount, in the unit that the message names; one cell of each side, or several, where it
    is about these. What is not so is left out of JSON.
    """

    host: str | None = None
    instance: str | None = None
    guest_cell: int | None = None
    host_cell: int | None = None
    rule: str
    guest_cells: tuple[int, ...] | None = None
    host_cells: tuple[int, ...] | None = None
    needed: int | None = None
    available: int | None = None
    short: int | None = None
    message: str

    @property
    def share_missing(self) -> float:
        """Which share of what is needed is short; 0 where it is not about an amount."""
        return self.short / self.needed if self.short and self.needed else 0.0


class CannotStay(Conflict):
    """A change of a host under guests that would not fit it as they are (R26)."""

    def __init__(self, message: str, reasons: Sequence[Reason]) -> None:
        super().__init__(message)
        self.reasons = tuple(reasons)


class DoesNotFit(Refused):
    """No placement satisfies every rule."""

    code = "does_not_fit"

    def __init__(self, message: str, explain: Callable[[], Sequence[Reason]]) -> None:
        super().__init__(message)
        self._message = message
        self._explain = explain

    @cached_property
    def reasons(self) -> tuple[Reason, ...]:
        """Why not, the nearest to fitting first; worked out when asked for."""
        return tuple(self._explain())

    @override
    def __str__(self) -> str:
        nearest = [reason.message for reason in self.reasons[:1]]
        return ": ".join([self._message, *nearest])


class Unavailable(MdsvcError):
    """What is needed does not answer in time; it may a moment later, or after so many ``seconds``
    where that is known.
    """

    code = "unavailable"

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class Unresolved(Unavailable):
    """The kernel does not know a peer's neighbour entry, or not any more; it may in a moment."""


Limit = Literal["rate", "strangers", "at_once", "waits"]
"""Of what too much is asked: requests of a guest, or of all strangers together; those of a guest
that are worked on at a time; those of one that wait for a change.
"""


class TooManyRequests(MdsvcError):
    """More than one guest may ask; it may again after so many ``seconds``."""

    code = "unavailable"

    def __init__(self, message: str, seconds: float, limit: Limit) -> None:
        super().__init__(message)
        self.seconds = seconds
        self.limit = limit


class MethodNotAllowed(MdsvcError):
    """What is there cannot be asked with this method."""

    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"expected one of the methods {', '.join(allowed)}")
        self.allowed = tuple(allowed)


class TooLarge(MdsvcError):
    """More than is taken at once."""

    code = "too_large"


class UnsupportedMediaType(MdsvcError):
    """A body that says it is something else than JSON."""

    code = "unsupported_media_type"


class PreconditionFailed(MdsvcError):
    """What is to be changed is another by now than whoever changes it has read."""

    code = "precondition_failed"


class NotFound(MdsvcError):
    """Nothing of that name is stored."""

    code = "not_found"

    @classmethod
    def host(cls, name: str) -> NotFound:
        """No host has that name."""
        return cls(f"host {name}: no such host is registered")

    @classmethod
    def instance(cls, uuid: str) -> NotFound:
        """No guest has that UUID."""
        return cls(f"instance {uuid}: no such instance is stored")


class Unidentified(MdsvcError):
    """The request does not say properly who is asking."""

    code = "unauthorized"


class NoToken(Unidentified):
    """It is known who is asking; whoever it is brings no session token, or none that is good."""


class Forbidden(MdsvcError):
    """It is known who is asking, and that they may not."""

    code = "forbidden"


class Forged(Forbidden):
    """The request's signature is not the right one."""


class WrongName(Forbidden):
    """The request calls the service by a name that is not its own."""


class Forwarded(Forbidden):
    """The request came through a proxy, and asks for what is only for the guest itself."""


class Closed(Forbidden):
    """A guest has booted, and asks for its user data all the same."""
