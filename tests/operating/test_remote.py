"""The operator's use cases, asked of a server: pages, problems, and answers that are none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mdsvc import errors
from mdsvc.errors import MdsvcError, Reason
from mdsvc.forms import from_builtins, to_builtins
from mdsvc.operating.remote import Remote
from mdsvc.topology import Host
from tests.cli.values import UUID
from tests.operating.scripted import PROBLEM, Reply, scripted


def _host(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "cells": [{"id": 0, "memory_mb": 1024, "cpus": "0-3"}], **changes}


def _problem(code: str, **more: object) -> Reply:
    return Reply(400, {"title": "t", "status": 400, "detail": "d", "code": code, **more}, PROBLEM)


def _pages(*pages: list[dict[str, Any]]) -> list[Reply]:
    """Each page's marker is the name of its last host."""
    last = len(pages) - 1
    return [
        Reply(200, {"hosts": page, "next": None if n == last else page[-1]["name"]})
        for n, page in enumerate(pages)
    ]


def test_a_listing_is_followed_to_its_last_page() -> None:
    pages = _pages([_host("a"), _host("b+c")], [_host("d")], [])
    pages[1] = Reply(200, {"hosts": [_host("d")], "next": "d"})
    with scripted(pages) as server:
        assert [host.name for host in Remote(server.url, {}).list_hosts()] == ["a", "b+c", "d"]
    assert server.lines == [
        "GET /v1/hosts?limit=1000",
        "GET /v1/hosts?limit=1000&marker=b%2Bc",
        "GET /v1/hosts?limit=1000&marker=d",
    ]


def test_what_can_be_no_uuid_has_no_path_and_is_not_asked_for() -> None:
    with scripted([]) as server, pytest.raises(errors.NotFound):
        Remote(f"{server.url}/door/", {}).get_instance("../a?b#c%")
    assert server.lines == []


def test_a_name_is_one_part_of_the_path() -> None:
    with scripted([_problem("not_found")]) as server, pytest.raises(errors.NotFound):
        Remote(f"{server.url}/door/", {}).get_instance(UUID)
    assert server.lines == [f"GET /door/v1/instances/{UUID}"]


def test_the_token_is_sent_with_each_request() -> None:
    with scripted([Reply(204), Reply(204)]) as server:
        remote = Remote(server.url, {"MDSVC_TOKEN": "s3cret"})
        remote.delete_instance(UUID)
        remote.clear_password(UUID)
    told = {request.headers["Authorization"] for request in server.requests}
    assert told == {"Bearer s3cret"}


CODES: dict[str, type[MdsvcError]] = {
    "bad_input": errors.BadInput,
    "invalid_request": errors.InvalidRequest,
    "not_found": errors.NotFound,
    "conflict": errors.Conflict,
    "does_not_fit": errors.DoesNotFit,
    "too_large": errors.TooLarge,
    "unavailable": errors.Unavailable,
    "internal": MdsvcError,
    "a_code_of_tomorrow": MdsvcError,
}


@pytest.mark.parametrize("code", CODES)
def test_a_problem_is_the_error_that_it_was(code: str) -> None:
    with scripted([_problem(code)]) as server, pytest.raises(MdsvcError) as raised:
        Remote(server.url, {}).get_instance(UUID)
    assert isinstance(raised.value, CODES[code])
    assert str(raised.value) == "d"


@pytest.mark.parametrize("code", ["conflict", "does_not_fit"])
def test_reasons_come_along_and_are_not_told_twice(code: str) -> None:
    reason = Reason(rule="r", message="m", needed=2, available=1, short=1)
    problem = _problem(code, detail="d: m", reasons=[to_builtins(reason)])
    with scripted([problem]) as server, pytest.raises(errors.Refused) as raised:
        Remote(server.url, {}).migrate_instance(UUID, None)
    assert isinstance(raised.value, errors.CannotStay | errors.DoesNotFit)
    assert (str(raised.value), raised.value.reasons) == ("d: m", (reason,))


@pytest.mark.parametrize("code", ["unauthorized", "forbidden"])
def test_who_may_not_is_told_which_token_was_meant(code: str) -> None:
    with scripted([_problem(code)]) as server, pytest.raises(MdsvcError) as raised:
        Remote(server.url, {}).list_hosts()
    assert str(raised.value).startswith(f"--server {server.url}: d (")
    assert "MDSVC_TOKEN" in str(raised.value)


NO_ANSWERS = (
    Reply(200, b"<html>", "text/html"),
    Reply(200, b"[]"),
    Reply(200, b"\xff"),
    Reply(200, b"[" * 100_000),
    Reply(302, b"", "text/html"),
    Reply(502, b"Bad Gateway", "text/plain"),
    Reply(500, b"{}", PROBLEM),
    Reply(200, {"hosts": [{"name": "h1", "cells": 7}], "next": None}),
    Reply(200, {"hosts": [_host("h1", of_tomorrow=1)], "next": None}),
    Reply(None),
)


@pytest.mark.parametrize("reply", NO_ANSWERS, ids=str)
def test_what_is_no_answer_of_ours_is_one_line(reply: Reply) -> None:
    with scripted([reply]) as server, pytest.raises(MdsvcError) as raised:
        Remote(server.url, {}).list_hosts()
    assert type(raised.value) is MdsvcError
    assert str(raised.value).startswith(f"--server {server.url}: ")
    assert "\n" not in str(raised.value)


def test_whether_a_change_without_an_answer_was_done_is_not_claimed() -> None:
    with scripted([Reply(None)]) as server, pytest.raises(MdsvcError) as raised:
        Remote(server.url, {}).delete_instance(UUID)
    assert "may be done or not" in str(raised.value)


def test_a_host_that_others_describe_meanwhile_is_looked_at_again() -> None:
    """What was found is put where what was read is what is there."""
    registered = _host("h1", service_version=2, packing="pack", cpu_shared_set="0-3")
    none = Reply(200, {"instances": [], "next": None})
    tries = [Reply(200, registered, etag='"1"'), none, none, _problem("precondition_failed")]
    again = [Reply(200, registered, etag='"2"'), none, none, Reply(200, registered)]
    new = from_builtins(_host("h1", arch="aarch64"), Host)
    with scripted([*tries, *again]) as server:
        Remote(server.url, {}).replace_found_host(new, None, None)
    puts = [request for request in server.requests if request.line == "PUT /v1/hosts/h1"]
    assert [request.headers["If-Match"] for request in puts] == ['"1"', '"2"']
    put = json.loads(puts[1].body)
    assert (put["arch"], put["packing"]) == ("aarch64", "pack")
