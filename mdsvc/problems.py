"""Errors to HTTP, by one table for both doors, which has a row for whatever can happen.

A guest gets a line of text, and an operator a problem document (RFC 9457). What nobody foresaw is
for the log: the guest is to come again, and the operator is told that it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from mdsvc.errors import (
    BadInput,
    CannotStay,
    Code,
    DoesNotFit,
    Forbidden,
    InvalidRequest,
    MdsvcError,
    MethodNotAllowed,
    NotFound,
    NoToken,
    PreconditionFailed,
    Reason,
    Refused,
    TooLarge,
    TooManyRequests,
    Unavailable,
    Unidentified,
    UnsupportedMediaType,
)
from mdsvc.logs import one_line
from mdsvc.store import Stale

RETRY_SECONDS = 5
"""After how long whoever gets a 503 is to come again, where nobody knows better."""


class Statuses(NamedTuple):
    """What an error is at each door."""

    guest: int
    operator: int


_STATUSES: Mapping[type[BaseException], Statuses] = {
    BadInput: Statuses(400, 400),
    InvalidRequest: Statuses(400, 422),
    Unidentified: Statuses(400, 401),
    NoToken: Statuses(401, 401),
    Forbidden: Statuses(403, 403),
    NotFound: Statuses(404, 404),
    MethodNotAllowed: Statuses(405, 405),
    Refused: Statuses(409, 409),
    DoesNotFit: Statuses(409, 409),
    PreconditionFailed: Statuses(400, 412),
    TooLarge: Statuses(400, 413),
    UnsupportedMediaType: Statuses(400, 415),
    TooManyRequests: Statuses(429, 503),
    Unavailable: Statuses(503, 503),
    Stale: Statuses(503, 503),
    Exception: Statuses(503, 500),
}


def statuses(error: Exception) -> Statuses:
    """Those of the nearest class of the error that has a row."""
    return next(_STATUSES[kind] for kind in type(error).__mro__ if kind in _STATUSES)


def retry_seconds(error: Exception) -> int:
    """After how long whoever is told this error is to come again."""
    known = error.seconds if isinstance(error, Unavailable | TooManyRequests) else None
    return RETRY_SECONDS if known is None else max(1, ceil(known))


STATUS_OF_CODE: Mapping[Code, int] = {
    getattr(kind, "code", "internal"): row.operator
    for kind, row in _STATUSES.items()
    if kind is not Stale
}
"""What an operator gets with each code."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an error at the operator's door, ``application/problem+json``."""

    title: str
    status: int
    detail: str
    code: Code
    field: str | UnsetType = UNSET
    reasons: tuple[Reason, ...] | UnsetType = UNSET


def problem(error: Exception, request_id: str | None = None) -> Problem:
    """The error as an operator is told it; what is for the log is found there by the request."""
    code = _code(error)
    return Problem(
        title=code.replace("_", " ").capitalize(),
        status=statuses(error).operator,
        detail=str(error) if isinstance(error, MdsvcError | Stale) else _unforeseen(request_id),
        code=code,
        field=_field(error) or UNSET,
        reasons=error.reasons if isinstance(error, DoesNotFit | CannotStay) else UNSET,
    )


def _unforeseen(request_id: str | None) -> str:
    what = "something went wrong that was not foreseen; the server's log says what"
    return f"{what}, as request {request_id}" if request_id else what


def _field(error: Exception) -> str | None:
    if isinstance(error, InvalidRequest):
        return error.key
    return error.field if isinstance(error, BadInput) else None


def _code(error: Exception) -> Code:
    if isinstance(error, MdsvcError):
        return error.code
    return "unavailable" if isinstance(error, Stale) else "internal"


def log_fault(
    log: logging.Logger, what: str, error: Exception, request_id: str | None = None
) -> None:
    """One line that says what went wrong while doing what; where in the code, only at debug."""
    kind = "" if isinstance(error, MdsvcError | Stale) else f"{type(error).__name__}: "
    which = f" [{request_id}]" if request_id else ""
    fields = {"request_id": request_id}
    log.error("%s: %s%s", one_line(what), one_line(f"{kind}{error}"), which, extra=fields)
    log.debug("%s", one_line(what), exc_info=error, extra=fields)
