"""One request: no server can make it long, big, or something else than it is."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mdguest import __version__
from mdguest.errors import BadInput, Trouble, Unavailable, Unreachable
from mdguest.sources.exchange import Reply, Request, exchange
from mdguest.sources.server import Server

from tests.guest.sources.hostile import Act, Clock, Hostile, drips, floods, hangs, http
from tests.promptly import within

HEAD = b"HTTP/1.1 200 OK\r\n"
MEGABYTE = b" " * (1 << 20)
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
GET = Request("GET", "/it", {})

Ask = Callable[..., Reply]


@pytest.fixture
def ask(server: Hostile, clock: Clock) -> Ask:
    def it(answer: bytes | Act, what: Request = GET, **times: float) -> Reply:
        server.otherwise = answer
        patience = clock.patience(**times)
        ends = patience.clock() + patience.request
        return exchange(Server.parse(server.url), what, patience, ends)

    return it


# ---- as it should be ----

WHOLE = {
    "declared": http("2-3"),
    "nothing": http(""),
    "until it closes": HEAD + b"\r\n2-3",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n2-3",
    "chunked": HEAD
    + b"Transfer-Encoding: Chunked\r\n\r\n2\r\n2-\r\n1;x=y\r\n3\r\n0\r\nX: y\r\n\r\n",
    "identity": http("2-3", 200, "Content-Encoding: identity"),
    "declared twice, the same": http("2-3", 200, "Content-Length: 3"),
    "told to go on first": b"HTTP/1.1 100 Continue\r\n\r\n" + http("2-3"),
    "a megabyte": http(MEGABYTE),
}


@pytest.mark.parametrize("answer", WHOLE.values(), ids=WHOLE)
def test_a_whole_answer_is_read(ask: Ask, answer: bytes) -> None:
    reply = ask(answer)
    assert reply.status == 200
    assert reply.body in (b"2-3", b"", MEGABYTE)


def test_a_server_that_keeps_the_connection_open_is_not_waited_for(ask: Ask) -> None:
    with within(20):
        assert ask(hangs(http("2-3")), request=40).body == b"2-3"


def test_a_slow_server_is_waited_for(ask: Ask) -> None:
    assert ask(drips(http("2-3"), 0.001)).body == b"2-3"


def test_what_is_sent_is_plain(ask: Ask, server: Hostile) -> None:
    ask(http(), Request("PUT", "/it", {"X-More": "yes"}, b"body"))
    [asked] = server.asked
    assert (asked.method, asked.path, asked.body) == ("PUT", "/it", b"body")
    assert dict(asked.headers) == {
        "Host": f"127.0.0.1:{server.port}",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "Content-Length": "4",
        "User-Agent": f"mdguest/{__version__}",
        "X-More": "yes",
    }


def test_no_proxy_is_asked(ask: Ask, server: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(http("2-3")).body == b"2-3"
    assert server.paths == ["/it"]


@pytest.mark.parametrize(
    ("header", "seconds"), [("5", 5.0), ("", 0.0), ("soon", 0.0), ("-1", 0.0), ("9" * 9, 0.0)]
)
def test_when_to_come_again_is_read(ask: Ask, header: str, seconds: float) -> None:
    assert ask(http("", 503, f"Retry-After: {header}")).retry_after == seconds


# ---- broken off ----

BROKEN: dict[str, bytes | Act] = {
    "nothing": b"",
    "half a header": HEAD + b"Content-Length: 10\r\nX",
    "shorter than declared": HEAD + b"Content-Length: 10\r\n\r\n2-3",
    "the last chunk missing": HEAD + CHUNKED + b"3\r\n2-3\r\n",
    "half a chunk": HEAD + CHUNKED + b"10\r\n2-3",
    "hangs at once": hangs(),
    "hangs in the headers": hangs(HEAD + b"Content-"),
    "hangs in the body": hangs(HEAD + b"Content-Length: 10\r\n\r\n2-3"),
    "hangs where no end is declared": hangs(HEAD + b"\r\n2-3"),
    "hangs in a chunk": hangs(HEAD + CHUNKED + b"10\r\n2-3"),
    "drips": drips(http("2-3" * 100)),
    "drips headers": drips(HEAD + b"X-Long: " + b"x" * 500),
    "drips a body": drips(HEAD + b"\r\n" + b" " * 500),
    "drips chunks": drips(HEAD + CHUNKED + b"1\r\n \r\n" * 100),
    "drips trailers": drips(HEAD + CHUNKED + b"0\r\n" + b"x:y\r\n" * 200),
    "goes on and on": drips(b"HTTP/1.1 100 Continue\r\n\r\n" * 20),
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_or_does_not_end_is_unavailable(
    ask: Ask, server: Hostile, answer: bytes | Act
) -> None:
    with within(20), pytest.raises(Unavailable) as caught:
        ask(answer, request=0.15)
    assert str(caught.value).startswith(f"{server.url}/it: the answer broke off: ")


def test_a_reset_is_an_answer_that_breaks_off(ask: Ask) -> None:
    def resets(server: Hostile, sock: socket.socket) -> None:
        sock.sendall(HEAD)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()

    with pytest.raises(Unavailable):
        ask(resets)


# ---- garbage ----

GARBAGE: dict[str, tuple[bytes | Act, str]] = {
    "not HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "expected an answer in HTTP, got 'SSH-2.0"),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x16\n", "expected an answer in HTTP"),
    "half a status line": (b"HTTP/1.1 2", "expected an answer in HTTP"),
    "no status": (b"HTTP/1.1 abc OK\r\n\r\n", "expected an answer in HTTP"),
    "an odd status": (b"HTTP/1.1 99999 OK\r\n\r\n", "expected an answer in HTTP"),
    "another HTTP": (b"HTTP/7 200 OK\r\n\r\n", "expected an answer in HTTP"),
    "a long line": (HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "expected an answer in HTTP"),
    "many headers": (HEAD + b"X: y\r\n" * 200 + b"\r\n", "expected an answer in HTTP"),
    "longer than declared": (HEAD + b"Content-Length: 1\r\n\r\n2-3", "as declared, got more"),
    "a huge length": (HEAD + b"Content-Length: 99999999999\r\n\r\n", "at most 1048576 bytes"),
    "a length of words": (HEAD + b"Content-Length: ten\r\n\r\n", "one Content-Length"),
    "a negative length": (HEAD + b"Content-Length: -1\r\n\r\n2", "one Content-Length"),
    "an endless length": (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "one Content"),
    "two lengths": (http("2-3", 200, "Content-Length: 1"), "one Content-Length, got '1, 3'"),
    "compressed": (
        http(gzip.compress(MEGABYTE * 9), 200, "Content-Encoding: gzip"),
        "expected no Content-Encoding but identity, got 'gzip'",
    ),
    "compressed on its way": (
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        "expected no Transfer-Encoding but chunked, got 'gzip, chunked'",
    ),
    "a bad chunk": (HEAD + CHUNKED + b"zz\r\n", ""),
    "10 MB": (floods(HEAD + b"\r\n", MEGABYTE, 10), "at most 1048576 bytes"),
    "10 MB, chunked": (
        floods(HEAD + CHUNKED, b"100000\r\n" + MEGABYTE + b"\r\n", 10),
        "at most 1048576 bytes",
    ),
    "a chunk that has no size": (
        floods(HEAD + CHUNKED + b"-1\r\n", MEGABYTE, 10), ""
    ),
    "a flood of going on": (
        floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4096, 100), "at most 1048576 bytes"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "why"), GARBAGE.values(), ids=GARBAGE)
def test_what_no_metadata_server_answers_is_one_clear_message(
    ask: Ask, server: Hostile, answer: bytes | Act, why: str
) -> None:
    with pytest.raises(BadInput if why else Trouble) as caught:
        ask(answer, request=5.0)
    assert str(caught.value).startswith(f"{server.url}/it: ")
    assert why in str(caught.value)
    assert str(caught.value).isprintable()


PARTS = (HEAD, CHUNKED, b"\r\n", b"Content-Length: ", b"3", b"-", b"2-3", b"\0", b"\xff", b": ")
MORE = (b"HTTP/1.1 100 C\r\n\r\n", b"0\r\n\r\n", b" x\r\n")


@given(st.binary(max_size=200) | st.lists(st.sampled_from(PARTS + MORE), max_size=12).map(b"".join))
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_whatever_is_answered_there_is_a_reply_or_trouble(ask: Ask, answer: bytes) -> None:
    try:
        reply = ask(answer)
    except (BadInput, Unavailable):
        return
    assert answer.startswith(b"HTTP/1.")
    assert reply.body in answer or b"chunked" in answer


# ---- nobody there ----


def test_a_closed_door_is_unreachable_at_once(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        exchange(Server("127.0.0.1", port), GET, clock.patience(), clock.patience().clock() + 1)
    assert not isinstance(caught.value, Unavailable)


def test_a_door_that_nobody_opens_is_unreachable_in_time(clock: Clock) -> None:
    """A listener's queue that is full drops who knocks."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for sock in (first, second):
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        time.sleep(0.05)
        started = time.monotonic()
        server = Server("127.0.0.1", listener.getsockname()[1])
        patience = clock.patience(connect=0.2)
        with pytest.raises(Unreachable, match=r"no connection within 0\.2 s"):
            exchange(server, GET, patience, patience.clock() + 5)
        assert 0.1 < time.monotonic() - started < 4


def test_a_name_that_is_not_known_is_unreachable(clock: Clock) -> None:
    patience = clock.patience(connect=2.0)
    with pytest.raises(Unreachable, match=r"http://nobody\.invalid: "):
        exchange(Server("nobody.invalid"), GET, patience, patience.clock() + 3)


def test_a_name_that_is_not_found_in_time_is_unreachable(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = socket.getaddrinfo

    def slow(*args: object) -> object:
        if args[-1] == socket.AI_NUMERICHOST:
            return found(*args)  # type: ignore[arg-type]
        time.sleep(0.4)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(Unreachable, match=r"'slow\.example' was not found within 0\.1 s"):
        exchange(
            Server("slow.example"), GET, clock.patience(connect=0.1), clock.patience().clock() + 1
        )


def test_of_a_name_s_addresses_one_that_answers_is_taken(server: Hostile, clock: Clock) -> None:
    """``localhost`` is ::1 as well, where nobody is."""
    patience = clock.patience()
    server.otherwise = http("2-3")
    reply = exchange(Server("localhost", server.port), GET, patience, patience.clock() + 1)
    assert reply.body == b"2-3"


def test_when_time_is_up_nobody_is_asked(server: Hostile, clock: Clock) -> None:
    patience = clock.patience()
    with pytest.raises(Unreachable):
        exchange(Server.parse(server.url), GET, patience, patience.clock() - 1)
    assert server.asked == []
