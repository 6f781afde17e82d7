"""The operator's door: an error is a problem document, whatever it is."""

from __future__ import annotations

import logging
import struct
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from mdsvc import api
from mdsvc.api.route import Answer, Call, Route
from mdsvc.app import operator_app
from mdsvc.errors import DoesNotFit, InvalidRequest, MdsvcError, NotFound, Reason, Unavailable
from mdsvc.settings import Settings
from mdsvc.store import Stale
from mdsvc.store.following import Follower
from mdsvc.store.memory import MemoryStore
from tests.http.test_faults import faults_told
from tests.http.wire import Reply, Wire

PROBLEM = "application/problem+json"


def problem_of(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """The document, which has what every one has."""
    document: dict[str, Any] = reply.json
    assert (reply.status, reply.type) == (status, PROBLEM)
    assert (document["status"], document["code"]) == (status, code)
    assert document.keys() - {"field", "reasons"} == {"title", "status", "detail", "code"}
    assert all(document[key] for key in ("title", "detail"))
    return document


@pytest.fixture
async def operator(aiohttp_server: AiohttpServer, monkeypatch: pytest.MonkeyPatch) -> Wire:
    """With a path of its own, ``/broken/N``, that fails as the test wants it."""

    async def broken(call: Call) -> Answer:
        raise FAULTS[int(call.path["fault"])][0]

    route = Route(method="GET", path="/broken/{fault}", handler=broken, answers={200: None})
    monkeypatch.setattr(api, "ROUTES", (*api.ROUTES, route))
    store = MemoryStore()
    server = await aiohttp_server(operator_app(store, Settings(), Follower(store), is_local=True))
    assert server.port
    return Wire(server.port, "127.0.0.1")


FAULTS: list[tuple[Exception, int, str]] = [
    (KeyError("hosts"), 500, "internal"),
    (struct.error("unpack requires 4 bytes"), 500, "internal"),
    (RecursionError("too deep"), 500, "internal"),
    (ValueError("two\nlines"), 500, "internal"),
    (MdsvcError("host h1 is damaged"), 500, "internal"),
    (Unavailable("the store is busy"), 503, "unavailable"),
    (Stale("SQLITE_BUSY"), 503, "unavailable"),
]
REFUSALS: list[tuple[Exception, int, str]] = [
    (NotFound("no host h1"), 404, "not_found"),
    (InvalidRequest("hw:cpu_policy", "x", "y"), 422, "invalid_request"),
    (DoesNotFit("no", lambda: [Reason(rule="memory", message="m")]), 409, "does_not_fit"),
    (web.HTTPRequestEntityTooLarge(1, 2), 413, "too_large"),
    (web.HTTPBadRequest(), 400, "bad_input"),
    (web.HTTPNotImplemented(), 500, "internal"),
]
FAULTS += REFUSALS


@pytest.mark.parametrize("at", range(len(FAULTS)), ids=lambda at: type(FAULTS[at][0]).__name__)
async def test_whatever_goes_wrong_is_a_problem(
    operator: Wire, caplog: pytest.LogCaptureFixture, at: int
) -> None:
    _, status, code = FAULTS[at]
    reply = await operator(f"/broken/{at}")
    problem_of(reply, status, code)
    assert (reply.headers["Retry-After"] is not None) is (status == 503)
    lines = faults_told(caplog)
    assert len(lines) == (status >= 500)
    assert all(line.startswith(f"GET /broken/{at}: ") for line in lines)


async def test_where_in_the_code_it_was_is_told_at_debug(
    operator: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "mdsvc.api")
    await operator("/broken/0")
    assert [r.exc_info is not None for r in caplog.records if r.name == "mdsvc.api"] == [
        False,
        True,
    ]


@pytest.mark.parametrize("path", ["/nowhere", "/healthz/x", "/%00", "//healthz"])
async def test_a_path_that_is_not_there_is_not_found(operator: Wire, path: str) -> None:
    problem_of(await operator(path), 404, "not_found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_another_method_is_not_allowed(operator: Wire, method: str) -> None:
    reply = await operator("/healthz", method=method, body=b"x")
    assert reply.headers["Allow"] == "GET, HEAD"
    assert "GET" in problem_of(reply, 405, "method_not_allowed")["detail"]
