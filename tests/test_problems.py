"""Errors know no HTTP; one table maps them."""

from __future__ import annotations

import pytest

from mdsvc.errors import (
    BadInput,
    Conflict,
    DoesNotFit,
    Forged,
    InvalidRequest,
    MdsvcError,
    NotFound,
    Refused,
    Unidentified,
)
from mdsvc.problems import status


class Unheard(NotFound):
    """A kind that the table does not know."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("x"), 400),
        (InvalidRequest("hw:cpu_policy", "x", "y"), 400),
        (Unidentified("x"), 400),
        (Forged("x"), 403),
        (NotFound("x"), 404),
        (Refused("x"), 409),
        (Conflict("x"), 409),
        (DoesNotFit("x", tuple), 409),
        (Unheard("x"), 404),
        (MdsvcError("x"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_has_the_status_of_its_nearest_kind(error: MdsvcError, code: int) -> None:
    assert status(error) == code
