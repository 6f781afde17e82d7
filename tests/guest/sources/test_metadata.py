"""The metadata server's documents, in their order, and which of its addresses is asked."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.layout import Layout
from mdguest.sources import link_local, metadata
from mdguest.sources.server import Server

from tests.guest.sources.guest import FakeGuest, as_json
from tests.guest.sources.hostile import (
    LAYOUT,
    LEAF,
    META_DATA,
    Act,
    Clock,
    Hostile,
    drips,
    goes,
    hangs,
    http,
)

ALL = [LAYOUT, META_DATA, LEAF]
Read = Callable[[], Layout]


@pytest.fixture
def read(server: Hostile, clock: Clock, guest: FakeGuest) -> Read:
    return lambda: sources.read(f"metadata:{server.url}/", guest, clock.patience())


def test_mdsvc_s_own_document_comes_first(server: Hostile, read: Read) -> None:
    server.answers[LAYOUT] = [http('{"dedicated_cpus": "2-3", "etag": "66ab"}')]
    assert read() == Layout(CpuSet.parse("2-3"), f"metadata:{server.url}", "66ab")
    assert server.paths == ALL[:1]


def test_nova_s_comes_next(server: Hostile, read: Read) -> None:
    server.answers[META_DATA] = [http('{"uuid": "u", "dedicated_cpus": [2, 3], "etag": "x"}')]
    assert read() == Layout(CpuSet.parse("2-3"), f"metadata:{server.url}")
    assert server.paths == ALL[:2]


def test_the_ec2_leaf_comes_last(server: Hostile, read: Read) -> None:
    server.answers[LEAF] = [http("2-3\n")]
    assert read() == Layout(CpuSet.parse("2-3"), f"metadata:{server.url}")
    assert server.paths == ALL


SILENT: dict[str, dict[str, list[bytes | Act]]] = {
    "nothing": {},
    "an old Nova's document": {META_DATA: [http('{"uuid": "u"}')]},
    "another's layout": {LAYOUT: [http('{"etag": "e"}')]},
    "an empty leaf": {LEAF: [http("\n")]},
}


@pytest.mark.parametrize("answers", SILENT.values(), ids=SILENT)
def test_a_server_may_say_nothing(
    server: Hostile, read: Read, answers: dict[str, list[bytes | Act]]
) -> None:
    server.answers = answers
    assert read().dedicated is None


@pytest.mark.parametrize(
    ("path", "body"), [(LAYOUT, '{"dedicated_cpus": ""}'), (META_DATA, '{"dedicated_cpus": []}')]
)
def test_a_server_may_say_that_there_are_none(
    server: Hostile, read: Read, path: str, body: str
) -> None:
    server.answers[path] = [http(body)]
    assert read().dedicated == CpuSet()


@pytest.mark.parametrize("etag", ["", None, 5.5, "a&b", "ä", "a\nb", "x" * 200, ["e"]])
def test_what_is_no_etag_is_none(server: Hostile, read: Read, etag: object) -> None:
    server.answers[LAYOUT] = [http(as_json({"dedicated_cpus": "2", "etag": etag}))]
    assert read().etag in ("", "5.5", "None")


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("body", ["<html>Log in</html>", "\0", "[", "3-2", '{"dedicated_cpus": 5}'])
def test_garbage_is_bad_input_that_names_the_document(
    server: Hostile, read: Read, path: str, body: str
) -> None:
    server.answers[path] = [http(body)]
    with pytest.raises(BadInput) as caught:
        read()
    assert str(caught.value).startswith(f"{server.url}{path}: ")
    assert server.paths[-1] == path


@pytest.mark.parametrize("path", ALL)
def test_no_document_is_passed_over_that_is_but_late(
    server: Hostile, read: Read, path: str
) -> None:
    server.answers[path] = [http("", 503)]
    with pytest.raises(Unavailable):
        read()
    assert server.paths[-1] == path


@pytest.mark.parametrize("status", [404, 503])
def test_a_server_that_goes_while_it_is_asked_was_there(
    server: Hostile, clock: Clock, guest: FakeGuest, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So no older source speaks in its place."""

    def answers_and_goes(server: Hostile, sock: socket.socket) -> None:
        goes(server)
        sock.sendall(http("", status))

    monkeypatch.setattr(metadata, "USUAL", Server.parse(server.url))
    server.answers[LAYOUT] = [answers_and_goes]
    with pytest.raises(Unavailable, match="Connection refused"):
        sources.read(None, guest, clock.patience())


def test_a_document_that_is_refused_does_not_hide_the_others(server: Hostile, read: Read) -> None:
    server.answers = {LAYOUT: [http("", 403)], META_DATA: [http('{"dedicated_cpus": "2"}')]}
    assert read().dedicated == CpuSet.parse("2")


def test_a_server_that_refuses_all_is_bad_input(server: Hostile, read: Read) -> None:
    server.answers = {LAYOUT: [http("who are you?", 400)], META_DATA: [http("", 403)]}
    with pytest.raises(BadInput, match=f"{LAYOUT}: expected a document, got HTTP 400: 'who are"):
        read()
    assert server.paths == ALL


def test_a_url_may_have_a_path(server: Hostile, clock: Clock, guest: FakeGuest) -> None:
    server.answers[f"/a/b{LAYOUT}"] = [http('{"dedicated_cpus": "2"}')]
    found = sources.read(f"metadata:{server.url}/a/b/", guest, clock.patience())
    assert found == Layout(CpuSet.parse("2"), f"metadata:{server.url}/a/b")


@pytest.mark.parametrize("act", [hangs(), drips(b"HTTP/1.1 200 OK\r\n" + b"x" * 9999)])
def test_all_documents_together_take_no_longer_than_they_may(
    server: Hostile, clock: Clock, guest: FakeGuest, act: Act
) -> None:
    server.answers[LEAF] = [act]
    patience = clock.patience(request=0.2, total=0.5, first_pause=0.01)
    started = patience.clock()
    with pytest.raises(Unavailable):
        sources.read(f"metadata:{server.url}", guest, patience)
    assert patience.clock() - started < 2


# ---- which address ----


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is at the usual address."""
    monkeypatch.setattr(metadata, "USUAL", Server("127.0.0.1", 1))


def test_the_usual_address_is_the_clouds() -> None:
    assert str(metadata.USUAL) == "http://169.254.169.254"


def test_the_usual_address_is_asked_first(
    server: Hostile, clock: Clock, guest: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server.parse(server.url))
    monkeypatch.setattr(link_local, "find", lambda *_args: pytest.fail("asked"))
    server.answers[LAYOUT] = [http('{"dedicated_cpus": "2"}')]
    assert sources.read("metadata", guest, clock.patience()).dedicated == CpuSet.parse("2")


@pytest.mark.usefixtures("nowhere")
def test_then_the_link_local_one(
    server: Hostile, clock: Clock, guest: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_local, "find", lambda *_args: Server.parse(server.url))
    server.answers[LAYOUT] = [http('{"dedicated_cpus": "2"}')]
    assert sources.read("metadata", guest, clock.patience()).source == f"metadata:{server.url}"


@pytest.mark.usefixtures("nowhere")
def test_where_neither_is_one_message_names_both(clock: Clock, guest: FakeGuest) -> None:
    with pytest.raises(Unreachable) as caught:
        sources.read("metadata", guest, clock.patience())
    assert str(caught.value) == (
        "http://127.0.0.1:1: Connection refused; IPv6: no interface has a link-local address"
    )


def test_a_usual_address_that_falters_is_not_passed_over(
    server: Hostile, clock: Clock, guest: FakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "USUAL", Server.parse(server.url))
    monkeypatch.setattr(link_local, "find", lambda *_args: pytest.fail("asked"))
    server.otherwise = http("", 502)
    with pytest.raises(Unavailable):
        sources.read("metadata", guest, clock.patience())
