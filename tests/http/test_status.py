"""Report-back: a guest posts how things stand in it, as often as it likes."""

from __future__ import annotations

from typing import Any

import pytest

from mdsvc.forms import to_json
from mdsvc.reports import MOST_BYTES
from tests.http.conftest import Serve
from tests.http.fakes import FakeStore
from tests.http.guests import RICH_UUID, rich
from tests.http.signing import SECRET, signed
from tests.http.wire import CLOSE, Reply, Wire

STATUS = "/mdsvc/v1/status"
TEXT = "text/plain; charset=UTF-8"
GOOD = {
    "generation": 3,
    "state": "isolated",
    "dedicated_cpus": "2-3,5-7",
    "isolated_cpus": "2-3,5-7",
}


async def _post(ask: Wire, body: bytes | None, path: str = STATUS) -> Reply:
    return await ask(path, method="POST", body=body)


def _padded(size: int) -> bytes:
    """A report of this many bytes, most of which nobody wants."""
    body = to_json({**GOOD, "x": ""})
    return to_json({**GOOD, "x": "x" * (size - len(body))})


async def test_a_report_is_taken_and_read_again(serve: Serve) -> None:
    ask = await serve()
    before = await ask(STATUS)
    assert (before.status, before.type, before.json) == (200, "application/json", {})
    for form in (GOOD, {"state": "broken"}, {}, GOOD | {"isolated_cpus": ""}):
        reply = await _post(ask, to_json({**form, "unknown": [1]}))
        assert (reply.status, reply.type, reply.body) == (200, TEXT, b"")
        assert (await ask(STATUS)).json == form


async def test_slashes_are_tolerated_anywhere(serve: Serve) -> None:
    ask = await serve()
    assert (await _post(ask, to_json(GOOD), "//mdsvc/v1//status/")).status == 200
    assert (await ask(STATUS)).json == GOOD


WRONG: dict[str, tuple[bytes | None, str]] = {
    "no body": (None, "status: expected 1 to 2048 bytes"),
    "an empty body": (b"", "status: expected 1 to 2048 bytes"),
    "too long": (_padded(MOST_BYTES + 1), "status: expected 1 to 2048 bytes"),
    "far too long": (_padded(100_000), "status: expected 1 to 2048 bytes"),
    "no JSON": (b"isolated", "this is no JSON document"),
    "a list": (b"[]", "object"),
    "no state": (b'{"state": 3}', "state"),
    "no generation": (b'{"generation": "x"}', "generation"),
    "no CPUs": (b'{"isolated_cpus": "3-1"}', "isolated_cpus"),
}


@pytest.mark.parametrize(("body", "words"), WRONG.values(), ids=WRONG)
async def test_a_wrong_report_is_400_in_one_line_and_changes_nothing(
    serve: Serve, body: bytes | None, words: str
) -> None:
    ask = await serve()
    await _post(ask, to_json(GOOD))
    reply = await _post(ask, body)
    assert (reply.status, reply.type) == (400, TEXT)
    assert words in reply.text
    assert len(reply.lines) == 1
    assert (await ask(STATUS)).json == GOOD


async def test_the_longest_report_is_taken(serve: Serve) -> None:
    assert (await _post(await serve(), _padded(MOST_BYTES))).status == 200


async def test_behind_the_agent_it_is_just_the_same(serve: Serve) -> None:
    store = FakeStore(rich())
    ask = await serve(store, identity="neutron", shared_secret=(SECRET,))
    for body, status in ((b"", 400), (_padded(2049), 400), (b"[]", 400), (to_json(GOOD), 200)):
        assert (await ask(STATUS, signed(), method="POST", body=body)).status == status
    assert (await ask(STATUS, signed())).json == GOOD
    assert list(store.reports) == [RICH_UUID]


async def test_a_report_in_one_piece_with_its_head_is_taken(serve: Serve) -> None:
    """As the agent sends it, who reads all of a request at once."""
    ask = await serve()
    body = _padded(MOST_BYTES)
    head = f"POST {STATUS} HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode() + CLOSE
    assert len(head + body) < 4096
    assert (await ask.send(head + b"\r\n" + body)).status == 200


METHODS: dict[str, dict[str, Any]] = {
    "by address": {},
    "neutron": {"identity": "neutron", "shared_secret": (SECRET,)},
}


@pytest.mark.parametrize("settings", METHODS.values(), ids=METHODS)
async def test_other_methods_are_refused(serve: Serve, settings: dict[str, Any]) -> None:
    ask = await serve(**settings)
    expected = 400 if settings else 405
    for method in ("PUT", "DELETE", "PATCH"):
        reply = await ask(STATUS, signed() if settings else (), method=method, body=b"{}")
        assert (reply.status, reply.text) == (
            expected,
            "expected one of the methods GET, HEAD, POST",
        )


async def test_a_report_changes_no_document_and_wakes_nobody(serve: Serve) -> None:
    ask = await serve()
    before = await ask("/mdsvc/v1/layout")
    await _post(ask, to_json(GOOD | {"generation": 99}))
    again = await ask("/mdsvc/v1/layout")
    assert (again.body, again.headers["ETag"]) == (before.body, before.headers["ETag"])


async def test_who_is_no_guest_reports_nothing(serve: Serve) -> None:
    store = FakeStore()
    ask = await serve(store)
    assert (await _post(ask, to_json(GOOD))).status == 404
    assert store.reports == {}
