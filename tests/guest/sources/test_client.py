"""A server is asked again where it falters, not for long, and with a token where it wants one."""

from __future__ import annotations

import socket

import pytest
from mdguest.errors import BadInput, Unavailable, Unreachable
from mdguest.sources.client import Client, Refusal
from mdguest.sources.patience import Patience
from mdguest.sources.server import Server

from tests.guest.sources.hostile import TOKEN, Clock, Hostile, drips, hangs, http


def client(url: str, patience: Patience) -> Client:
    return Client(Server.parse(url), patience, patience.clock() + patience.total)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_server_that_falters_is_asked_again(server: Hostile, clock: Clock, status: int) -> None:
    server.answers["/it"] = [http("", status), b"", http("2-3")]
    assert client(server.url, clock.patience()).get("/it") == b"2-3"
    assert clock.slept == [0.5, 1.0]


def test_pauses_grow_to_a_limit_and_are_of_random_length() -> None:
    patience = Patience(chance=lambda: 0.5)
    assert [patience.pause(failures) for failures in range(1, 7)] == [0.25, 0.5, 1, 2, 2.5, 2.5]
    assert all(0 <= Patience().pause(1) <= 0.5 for _ in range(50))
    assert len({Patience().pause(1) for _ in range(50)}) > 1


def test_a_server_that_goes_on_so_is_given_up(server: Hostile, clock: Clock) -> None:
    server.otherwise = http("out of order", 503)
    with pytest.raises(Unavailable, match=r"/it: it cannot answer now \(HTTP 503\)$"):
        client(server.url, clock.patience()).get("/it")
    assert server.paths == ["/it"] * 3


def test_a_server_may_say_when_to_come_again(server: Hostile, clock: Clock) -> None:
    server.answers["/it"] = [
        http("", 503, "Retry-After: 3"),
        http("", 503, "Retry-After: 9000"),
        http("2-3"),
    ]
    assert client(server.url, clock.patience()).get("/it") == b"2-3"
    assert clock.slept == [3, 5]


def test_time_is_not_spent_that_is_not_there(server: Hostile, clock: Clock) -> None:
    server.otherwise = http("", 503, "Retry-After: 4")
    with pytest.raises(Unavailable):
        client(server.url, clock.patience(total=6.0, tries=9)).get("/it")
    assert clock.slept == [4]


def test_however_a_server_stalls_all_requests_end_in_time(server: Hostile, clock: Clock) -> None:
    server.answers["/it"] = [hangs(), drips(b"x" * 5000), hangs(b"HTTP/1.1 200 OK\r\n")]
    patience = clock.patience(request=0.2, total=0.7, tries=9, first_pause=0.01)
    started = patience.clock()
    with pytest.raises(Unavailable):
        client(server.url, patience).get("/it")
    assert patience.clock() - started < 2


def test_a_server_may_take_longer_where_it_is_let(server: Hostile, clock: Clock) -> None:
    server.otherwise = drips(http("2-3"), 0.01)
    with pytest.raises(Unavailable):
        client(server.url, clock.patience(request=0.1, tries=1)).get("/it")
    assert client(server.url, clock.patience(request=0.1)).get("/it", hold=3) == b"2-3"


@pytest.mark.parametrize("knocks", [1, 3])
def test_where_nobody_answers_it_knocks_so_often(clock: Clock, knocks: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(Unreachable, match=f"^{url}: Connection refused$") as caught:
        client(url, clock.patience(knocks=knocks)).get("/it")
    assert not isinstance(caught.value, Unavailable)
    assert len(clock.slept) == knocks - 1


@pytest.mark.parametrize("status", [404, 405, 410])
def test_what_is_not_there_is_none(server: Hostile, clock: Clock, status: int) -> None:
    server.otherwise = http("<html>", status)
    assert client(server.url, clock.patience()).get("/it") is None


REFUSED = {
    201: "got HTTP 201: 'why'",
    204: "got HTTP 204",
    302: "got HTTP 302, a redirect, which is not followed",
    304: "got HTTP 304, a redirect, which is not followed",
    400: "got HTTP 400: 'why'",
    403: "got HTTP 403: 'why'",
}


@pytest.mark.parametrize(("status", "why"), REFUSED.items())
def test_a_refusal_is_bad_input_and_is_not_asked_again(
    server: Hostile, clock: Clock, status: int, why: str
) -> None:
    body = "" if status in (204, 304) else "why\nand how"
    server.otherwise = http(body, status, f"Location: {server.url}/elsewhere")
    with pytest.raises(Refusal) as caught:
        client(server.url, clock.patience()).get("/it")
    assert str(caught.value) == f"{server.url}/it: expected a document, {why}"
    assert server.paths == ["/it"]


def test_garbage_is_not_asked_for_again(server: Hostile, clock: Clock) -> None:
    server.otherwise = b"220 smtp.example.org ESMTP\r\n"
    with pytest.raises(BadInput):
        client(server.url, clock.patience()).get("/it")
    assert server.paths == ["/it"]


# ---- tokens ----


def test_a_token_is_fetched_where_one_is_wanted_and_sent_from_then_on(
    server: Hostile, clock: Clock
) -> None:
    server.answers["/it"] = [http("", 401), http("2-3")]
    server.answers[TOKEN] = [http("SEC==RET\n")]
    asking = client(server.url, clock.patience())
    assert [asking.get("/it"), asking.get("/it")] == [b"2-3"] * 2
    assert server.paths == ["/it", TOKEN, "/it", "/it"]
    assert server.asked[1].method == "PUT"
    for name in ("X-metadata-token", "X-aws-ec2-metadata-token"):
        assert server.asked[1].headers[f"{name}-ttl-seconds"] == "21600"
        tokens = [asked.headers[name] for asked in server.asked]
        assert tokens == [None, None, "SEC==RET", "SEC==RET"]


def test_a_token_that_has_run_out_is_renewed(server: Hostile, clock: Clock) -> None:
    server.answers["/it"] = [http("", 401), http("2"), http("", 401), http("3")]
    server.answers[TOKEN] = [http("one"), http("two")]
    asking = client(server.url, clock.patience())
    assert [asking.get("/it"), asking.get("/it")] == [b"2", b"3"]
    assert server.asked[-1].headers["X-metadata-token"] == "two"


TOKENS = {
    "none": http("", 404),
    "empty": http(""),
    "two lines": http("one\r\nX-Evil: two"),
    "a page": http("<html> log in </html>"),
    "no text": http(b"\xff\xfe"),
    "too long": http("x" * 5000),
    "refused": http("no", 403),
}


@pytest.mark.parametrize("answer", TOKENS.values(), ids=TOKENS)
def test_what_is_no_token_is_bad_input(server: Hostile, clock: Clock, answer: bytes) -> None:
    server.answers = {"/it": [http("", 401)], TOKEN: [answer]}
    with pytest.raises(BadInput, match=f"{TOKEN}: expected a session token, got HTTP "):
        client(server.url, clock.patience()).get("/it")
    assert server.paths == ["/it", TOKEN]


def test_a_token_that_is_not_taken_is_a_refusal(server: Hostile, clock: Clock) -> None:
    server.answers = {"/it": [http("", 401)], TOKEN: [http("token")]}
    with pytest.raises(Refusal, match="HTTP 401"):
        client(server.url, clock.patience()).get("/it")
    assert server.paths == ["/it", TOKEN, "/it"]
