"""A server's answers as values, and its problems as the errors that they were there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from mdsvc.errors import (
    BadInput,
    CannotStay,
    Conflict,
    DoesNotFit,
    InvalidRequest,
    MdsvcError,
    NotFound,
    Reason,
    TooLarge,
    Unavailable,
)
from mdsvc.forms import from_store, to_json
from mdsvc.operating.remote.connection import Answer, Connection
from mdsvc.store.listing import BadRecord, Listing

T = TypeVar("T")

_MOST = 1000
"""Of a page; the most that a server gives at once."""


class Changed(MdsvcError):
    """What was read has another entity tag by now."""


class Server:
    """What stands under ``/v1`` of one server."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def ask(
        self, method: str, path: str, body: object = None, if_match: str | None = None
    ) -> Answer:
        """An answer that says that it is done. Raises what the server has refused it with."""
        data = None if body is None else to_json(body)
        answer = self._connection.ask(method, f"/v1{path}", data, if_match)
        if 200 <= answer.status < 300:
            return answer
        raise self._refusal(answer)

    def value(self, answer: Answer, kind: type[T]) -> T:
        """The value in an answer."""
        return self._value(self._decoded(answer, Any), kind)

    def pages(self, path: str, kind: type[T], **query: str) -> Listing[T]:
        """Everything of a listing, in its order. The path is what the pages call it, too."""
        marker: str | None = None
        values: list[T] = []
        damaged: list[BadRecord] = []
        while True:
            markers = {} if marker is None else {"marker": marker}
            asked = urlencode({**query, "limit": _MOST, **markers})
            page = self._decoded(self.ask("GET", f"{path}?{asked}"), dict[str, Any])
            values += (self._value(form, kind) for form in page.get(path.strip("/"), ()))
            unread = [self._value(form, _Damaged) for form in page.get("damaged", ())]
            damaged += (BadRecord(bad.detail, bad.key) for bad in unread)
            marker = page.get("next")
            if marker is None:
                return Listing(values, damaged)

    def _decoded(self, answer: Answer, kind: Any) -> Any:
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise self._no_server(answer) from None

    def _value(self, form: Any, kind: type[T]) -> T:
        try:
            return from_store(form, kind)
        except BadInput as error:
            expected = "an answer of a form that is known here"
            raise MdsvcError(f"{self._name}: expected {expected}: {error}") from None

    @property
    def _name(self) -> str:
        return f"--server {self._connection.url}"

    def _refusal(self, answer: Answer) -> MdsvcError:
        if answer.kind != "application/problem+json":
            return self._no_server(answer)
        problem: _Problem = self._decoded(answer, _Problem)
        if problem.code in ("unauthorized", "forbidden"):
            source = "the token is MDSVC_TOKEN, or in the file that MDSVC_TOKEN_FILE names"
            return MdsvcError(f"{self._name}: {problem.detail} ({source})")
        return _ERRORS.get(problem.code, _other)(problem)

    def _no_server(self, answer: Answer) -> MdsvcError:
        got = f"{answer.status} with {answer.kind}"
        return MdsvcError(f"{self._name}: expected the operator's door of mdsvc, got {got}")


class _Damaged(msgspec.Struct, frozen=True):
    key: str
    detail: str


class _Problem(msgspec.Struct, frozen=True):
    detail: str
    code: str
    reasons: tuple[Reason, ...] = ()


class _Invalid(InvalidRequest):
    """As the server has put it."""

    def __init__(self, detail: str) -> None:
        MdsvcError.__init__(self, detail)
        self.key = detail.partition("=")[0]


def _conflict(problem: _Problem) -> MdsvcError:
    if problem.reasons:
        return CannotStay(problem.detail, problem.reasons)
    return Conflict(problem.detail)


def _does_not_fit(problem: _Problem) -> MdsvcError:
    """The detail ends with the nearest reason, and the error says that again."""
    nearest = f": {problem.reasons[0].message}" if problem.reasons else ""
    return DoesNotFit(problem.detail.removesuffix(nearest), lambda: problem.reasons)


def _other(problem: _Problem) -> MdsvcError:
    return MdsvcError(problem.detail)


_ERRORS: Mapping[str, Callable[[_Problem], MdsvcError]] = {
    "bad_input": lambda problem: BadInput(problem.detail),
    "invalid_request": lambda problem: _Invalid(problem.detail),
    "not_found": lambda problem: NotFound(problem.detail),
    "conflict": _conflict,
    "does_not_fit": _does_not_fit,
    "precondition_failed": lambda problem: Changed(problem.detail),
    "too_large": lambda problem: TooLarge(problem.detail),
    "unavailable": lambda problem: Unavailable(problem.detail),
}
"""By the code on the wire."""
