"""What every answer has: an id, no cache, gzip where asked for; HEAD is GET without a body."""

from __future__ import annotations

import gzip
import json
import logging

import pytest

from tests.api.asking import Ask, problem
from tests.cli.values import host
from tests.http.wire import Wire


async def test_a_sane_request_id_comes_back_and_another_one_is_made_anew(ask: Ask) -> None:
    for path in ("/v1/hosts", "/v1/hosts/h1", "/nowhere", "/healthz"):
        given = await ask("GET", path, X_Request_ID="req-1.a:b_c")
        assert given.headers["X-Request-ID"] == "req-1.a:b_c"
    made = {(await ask("GET", "/healthz")).headers["X-Request-ID"] for _ in range(3)}
    for insane in ("", "a b", "x" * 129, "<script>", "ä"):
        made.add((await ask("GET", "/healthz", X_Request_ID=insane)).headers["X-Request-ID"])
    assert len(made) == 8
    assert all(len(each) == 32 and each.isalnum() for each in made)


async def test_what_changes_something_is_logged_with_the_requests_id(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mdsvc.api")
    await ask("POST", "/v1/hosts", host(), X_Request_ID="one")
    await ask("GET", "/v1/hosts")
    await ask("DELETE", "/v1/hosts/h%0A1", X_Request_ID="two")
    lines = [r.getMessage() for r in caplog.records if r.name == "mdsvc.api"]
    assert lines == ["POST /v1/hosts 201 by - [one]", r"DELETE /v1/hosts/h\n1 404 by - [two]"]


async def test_answers_are_for_nobody_else(ask: Ask) -> None:
    for path in ("/v1/hosts", "/v1/hosts/h1", "/openapi.json"):
        reply = await ask("GET", path)
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Access-Control-Allow-Origin"] is None


GZIP = ["gzip", "deflate, gzip;q=0.5", "*", "GZIP ; q=1"]
NO_GZIP = ["", "identity", "gzip;q=0", "gzip; q=0.0", "br"]


@pytest.mark.parametrize("accepted", [*GZIP, *NO_GZIP])
async def test_long_answers_are_compressed_where_that_is_asked_for(ask: Ask, accepted: str) -> None:
    reply = await ask("GET", "/openapi.json", Accept_Encoding=accepted)
    assert reply.headers["Vary"] == "Accept-Encoding"
    if accepted in GZIP:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(reply.body))["openapi"] == "3.1.0"
    else:
        assert reply.headers["Content-Encoding"] is None
        assert reply.json["openapi"] == "3.1.0"


async def test_head_is_get_without_the_body(ask: Ask) -> None:
    await ask("POST", "/v1/hosts", host())
    for path in ("/v1/hosts", "/v1/hosts/h1", "/v1/hosts/h2", "/healthz", "/openapi.json"):
        get, head = await ask("GET", path), await ask("HEAD", path)
        assert (head.status, head.body) == (get.status, b"")
        for name in ("Content-Type", "Content-Length", "ETag"):
            assert head.headers[name] == get.headers[name]


METHODS = [
    ("PATCH", "/v1/hosts", "GET, HEAD, POST"),
    ("DELETE", "/v1/hosts", "GET, HEAD, POST"),
    ("POST", "/v1/hosts/h1", "DELETE, GET, HEAD, PUT"),
    ("GET", "/v1/hosts/h1/drain", "DELETE, PUT"),
    ("GET", "/v1/fit", "POST"),
    ("OPTIONS", "/v1/fit", "POST"),
    ("POST", "/openapi.json", "GET, HEAD"),
    ("TRACE", "/v1/instances/x/domain", "GET, HEAD"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS)
async def test_another_method_is_told_which_there_are(
    ask: Ask, method: str, path: str, allowed: str
) -> None:
    reply = await ask(method, path)
    problem(reply, 405, "method_not_allowed")
    assert reply.headers["Allow"] == allowed


PATHS = [
    *("/v1", "/v1/", "/v1/hosts/", "/v1/hosts//drain", "/v2/hosts", "//v1/hosts", "/V1/hosts"),
    *("/v1/hosts/%00", "/v1/hosts/%FF", "/v1/hosts/a%2Fb", "/v1/hosts/{name}", "/v1/hosts/..%2f"),
    *("/v1/instances/1", "/v1/instances/%F0%9F%98%80", "/v1/instances/x/nothing"),
    f"/v1/hosts/{'x' * 7000}",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
async def test_what_is_not_there_is_404(ask: Ask, path: str) -> None:
    problem(await ask("GET", path), 404, "not_found")


async def test_who_asks_before_sending_is_told_to_go_on(wire: Wire) -> None:
    body = json.dumps(host()).encode()
    headers = [("Expect", "100-Continue"), ("Content-Type", "application/json")]
    reply = await wire("/v1/hosts", headers, method="POST", body=body)
    assert reply.status == 100
    assert b"HTTP/1.1 201 Created" in reply.body


async def test_an_expectation_is_met_or_refused_as_a_problem(wire: Wire) -> None:
    reply = await wire("/v1/hosts", [("Expect", "a-miracle")], method="POST", body=b"{}")
    problem(reply, 400, "bad_input")
