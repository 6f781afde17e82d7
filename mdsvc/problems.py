"""Errors to HTTP statuses, once, for both listeners."""

from __future__ import annotations

from mdsvc.errors import (
    BadInput,
    Forged,
    InvalidRequest,
    MdsvcError,
    NotFound,
    Refused,
    Unavailable,
    Unidentified,
)

_STATUS: dict[type[MdsvcError], int] = {
    BadInput: 400,
    InvalidRequest: 400,
    Unidentified: 400,
    Forged: 403,
    NotFound: 404,
    Refused: 409,
    Unavailable: 503,
    MdsvcError: 500,
}


def status(error: MdsvcError) -> int:
    """The status of the nearest class of the error that has one."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
