"""What is asked of a server that can wait, and what is done where none can; and reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable
from mdguest.layout import Layout
from mdguest.system import System

from tests.guest.sources.guest import FakeGuest
from tests.guest.sources.hostile import LAYOUT, Act, Clock, Hostile, drips, hangs, http

TREE, STATUS = "/mdsvc/v1", "/mdsvc/v1/status"


def known(server: Hostile, etag: str = "66ab") -> Layout:
    return Layout(CpuSet.parse("2"), f"metadata:{server.url}", etag)


@pytest.mark.parametrize(("seconds", "asked"), [(7.9, 7), (3600, 25), (float("inf"), 25), (-1, 0)])
def test_a_server_is_asked_to_wait_no_longer_than_any_does(
    server: Hostile, clock: Clock, guest: FakeGuest, seconds: float, asked: int
) -> None:
    server.answers[LAYOUT] = [http('{"dedicated_cpus": "3", "etag": "77"}')]
    found = sources.wait(known(server), seconds, guest, clock.patience())
    assert found == Layout(CpuSet.parse("3"), f"metadata:{server.url}", "77")
    query = f"wait_for_change=true&last_etag=66ab&timeout_sec={asked}"
    assert server.paths == [f"{LAYOUT}?{query}"]


def test_an_answer_has_time_to_come_after_the_wait(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.answers[LAYOUT] = [drips(http('{"dedicated_cpus": "3"}'), 0.01)]
    patience = clock.patience(request=0.2, tries=1)
    with pytest.raises(Unavailable):
        sources.wait(known(server), 0, guest, patience)
    assert sources.wait(known(server), 2, guest, patience).dedicated == CpuSet.parse("3")


def test_a_server_that_never_answers_is_not_waited_for_without_end(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.otherwise = hangs()
    patience = clock.patience(request=0.1, total=0.3, first_pause=0.01)
    started = patience.clock()
    with pytest.raises(Unavailable):
        sources.wait(known(server), 0.9, guest, patience)
    assert patience.clock() - started < 2


def test_garbage_after_a_wait_is_bad_input(server: Hostile, clock: Clock, guest: FakeGuest) -> None:
    server.answers[LAYOUT] = [http("[]")]
    with pytest.raises(BadInput, match=LAYOUT):
        sources.wait(known(server), 5, guest, clock.patience())


def test_a_source_that_cannot_wait_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "cpus"
    path.write_text("2")
    before = sources.read(f"file:{path}", System())
    assert before.etag == ""
    path.write_text("3")
    assert sources.wait(before, 3600, System()).dedicated == CpuSet.parse("3")


def test_a_server_that_cannot_wait_is_read_again(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.answers[LAYOUT] = [http('{"dedicated_cpus": "3"}')]
    found = sources.wait(known(server, etag=""), 3600, guest, clock.patience())
    assert (found.dedicated, server.paths) == (CpuSet.parse("3"), [LAYOUT])


# ---- reports ----


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_report_is_posted_where_the_server_lists_a_place_for_it(
    server: Hostile, clock: Clock, guest: FakeGuest, status: int
) -> None:
    server.answers = {TREE: [http("layout\nstatus\nshared_cpus")], STATUS: [http("", status)]}
    assert sources.report(known(server), {"ok": True}, guest, clock.patience())
    asked = server.asked[-1]
    assert (asked.method, asked.path, json.loads(asked.body)) == ("POST", STATUS, {"ok": True})
    assert asked.headers["Content-Type"] == "application/json"


ELSEWHERE: dict[str, dict[str, list[bytes | Act]]] = {
    "no tree": {},
    "no place": {TREE: [http("layout\nstatus_page\nstatus/")]},
    "refused": {TREE: [http("status")], STATUS: [http("", 403)]},
    "not there": {TREE: [http("status")]},
    "a page": {TREE: [http("<html> status </html>", 302)]},
    "garbage": {TREE: [b"garbage\r\n"]},
    "busy": {TREE: [http("", 503)]},
    "broken off": {TREE: [http("status")], STATUS: [b""]},
    "hangs": {TREE: [hangs()]},
}


@pytest.mark.parametrize("answers", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_report_that_nobody_takes_is_no_trouble(
    server: Hostile, clock: Clock, guest: FakeGuest, answers: dict[str, list[bytes | Act]]
) -> None:
    server.answers = answers
    assert not sources.report(known(server), {"ok": True}, guest, clock.patience(request=0.2))
    assert clock.slept == []


@pytest.mark.parametrize("source", ["cloud-init", "config-drive:/dev/sr0", "file:/x"])
def test_other_sources_take_no_reports(guest: FakeGuest, source: str) -> None:
    assert not sources.report(Layout(None, source), {}, guest)


def test_nobody_there_is_no_trouble(guest: FakeGuest) -> None:
    assert not sources.report(Layout(None, "metadata:http://127.0.0.1:1"), {}, guest)


def test_a_report_that_is_too_big_for_a_proxy_is_not_sent(
    server: Hostile, clock: Clock, guest: FakeGuest
) -> None:
    server.answers = {TREE: [http("status")], STATUS: [http()]}
    assert not sources.report(known(server), {"x": "y" * 4096}, guest, clock.patience())
    assert server.asked == []
