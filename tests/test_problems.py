"""Errors know no HTTP; one table maps them, for guests and for operators."""

from __future__ import annotations

import json

import pytest

from mdsvc.errors import (
    BadInput,
    CannotStay,
    Conflict,
    DoesNotFit,
    Forged,
    InvalidRequest,
    MdsvcError,
    MethodNotAllowed,
    NotFound,
    Reason,
    Refused,
    TooLarge,
    Unavailable,
    Unidentified,
)
from mdsvc.forms import to_json
from mdsvc.problems import problem, statuses
from mdsvc.store import Stale


class Unheard(NotFound):
    """A kind that the table does not know."""


REASON = Reason(rule="memory", message="needs more")

ROWS: list[tuple[Exception, int, int, str]] = [
    (BadInput("x"), 400, 400, "bad_input"),
    (InvalidRequest("hw:cpu_policy", "x", "y"), 400, 422, "invalid_request"),
    (Unidentified("x"), 400, 401, "unauthorized"),
    (Forged("x"), 403, 403, "forbidden"),
    (NotFound("x"), 404, 404, "not_found"),
    (Unheard("x"), 404, 404, "not_found"),
    (MethodNotAllowed(["GET"]), 405, 405, "method_not_allowed"),
    (Refused("x"), 409, 409, "conflict"),
    (Conflict("x"), 409, 409, "conflict"),
    (DoesNotFit("x", lambda: [REASON]), 409, 409, "does_not_fit"),
    (TooLarge("x"), 400, 413, "too_large"),
    (Unavailable("x"), 503, 503, "unavailable"),
    (Stale("x"), 503, 503, "unavailable"),
    (MdsvcError("x"), 503, 500, "internal"),
    (KeyError("x"), 503, 500, "internal"),
    (RecursionError(), 503, 500, "internal"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row[0]).__name__)
def test_an_error_has_the_statuses_of_its_nearest_kind(
    row: tuple[Exception, int, int, str],
) -> None:
    error, guest, operator, code = row
    assert statuses(error) == (guest, operator)
    assert (problem(error).status, problem(error).code) == (operator, code)


def test_a_problem_says_what_the_error_says_with_its_reasons() -> None:
    told = problem(DoesNotFit("too big", lambda: [REASON]))
    assert json.loads(to_json(told)) == {
        "title": "Does not fit",
        "status": 409,
        "detail": "too big: needs more",
        "code": "does_not_fit",
        "reasons": [{"rule": "memory", "message": "needs more"}],
    }


def test_a_host_that_cannot_change_says_whom_it_would_not_fit() -> None:
    reason = Reason(host="h1", instance="1f1c", rule="memory", message="needs more")
    told = json.loads(to_json(problem(CannotStay("1 of 2", [reason]))))
    assert (told["status"], told["code"], told["detail"]) == (409, "conflict", "1 of 2")
    assert told["reasons"] == [
        {"host": "h1", "instance": "1f1c", "rule": "memory", "message": "needs more"}
    ]


def test_a_problem_of_what_nobody_foresaw_does_not_quote_it() -> None:
    assert "secret" not in problem(KeyError("secret")).detail
