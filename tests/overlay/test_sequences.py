"""An upstream that changes its mind from request to request, on a real socket, and many at once."""

from __future__ import annotations

import asyncio
import json
import re
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.settings import Settings
from tests.overlay.conftest import SECRET, Clock, Start, headers, running
from tests.overlay.test_door import META
from tests.overlay.upstream import FakeNova
from tests.strategies import QUICK

GUESTS = [f"00000000-0000-4000-8000-{number:012}" for number in range(1000)]
LEAF = "/latest/meta-data/hostname"
LISTING = "/latest/meta-data/"
ROOM = 8192
"""Open files: each guest has a connection, which has two ends here."""


def whole(status: str, body: bytes, length: int | None = None) -> bytes:
    said = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {said}\r\n\r\n".encode() + body


Say = Callable[[bytes], bytes]
GOOD: Say = lambda body: whole("200 OK", body)  # noqa: E731  # a row of the table below
MISBEHAVIOURS: dict[str, Say] = {
    "ends": lambda _body: b"",
    "is cut": lambda body: whole("200 OK", body, len(body) + 10),
    "fails": lambda _body: whole("500 Internal Server Error", b"oops"),
    "redirects": lambda _body: whole("302 Found", b""),
    "is no HTTP": lambda _body: b"\x16\x03\x01\x02\x00",
    "is a page": lambda _body: whole("200 OK", b"<html>sign in</html>"),
    "is too long": lambda _body: whole("200 OK", b"[" + b" " * (9 * 2**20) + b"]"),
    "is another's": lambda body: GOOD(re.sub(rb"-[0-9]{12}", b"-000000000999", body)),
}
"""What it says instead of a good answer, which is JSON here."""


class Upstream:
    """Answers with whose the request is, and with what ``version`` it is of."""

    def __init__(self) -> None:
        self.say = GOOD
        self.version = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        uuid = head.partition("X-Instance-ID: ")[2].partition("\r\n")[0]
        writer.write(self.say(json.dumps({"uuid": uuid, "version": self.version}).encode()))
        try:
            await writer.drain()
        except ConnectionError:
            return  # it was too much
        writer.close()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(GUESTS[:2]),
        st.sampled_from([META, "/openstack/2018-08-27/meta_data.json"]),
        st.sampled_from([None, None, *MISBEHAVIOURS]),
        st.sampled_from([0, 1, 4, 16]),
    ),
    max_size=12,
)


@QUICK
@given(STEPS)
async def test_in_any_sequence_an_answer_is_the_guest_s_own_and_the_last_good_one_or_none(
    steps: list[tuple[str, str, str | None, int]],
) -> None:
    upstream, clock = Upstream(), Clock()
    seen: dict[tuple[str, str], int] = {}
    async with AsyncExitStack() as stack:
        server = await asyncio.start_server(upstream.answer, "127.0.0.1", 0)
        stack.callback(server.close)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = Settings(identity="neutron", shared_secret=(SECRET,))
        door = await running(stack, [url], settings, clock)
        for guest, path, misbehaviour, seconds in steps:
            clock.now += seconds
            upstream.version += 1
            upstream.say = MISBEHAVIOURS[misbehaviour] if misbehaviour else GOOD
            answer = await door.ask(path, who=headers(guest))
            before = seen.get((guest, path))
            if answer.status == 503:
                assert before is None
                continue
            told = json.loads(answer.body)
            assert (answer.status, told["uuid"]) == (200, guest)
            assert told["version"] in (before, upstream.version)
            assert not misbehaviour or told["version"] == before
            seen[guest, path] = told["version"]
        clock.now += 20
        upstream.say = GOOD
        for guest in GUESTS[:2]:
            answer = await door.ask(META, who=headers(guest))
            assert json.loads(answer.body) == {"uuid": guest, "version": upstream.version}


@pytest.fixture
def room() -> Iterator[None]:
    """For that many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(ROOM, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("room")
async def test_a_thousand_guests_at_once_each_get_their_own_for_a_request_a_document(
    nova: FakeNova, front: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes where all of them are in one process."""
    for name in ("upstreams.SECONDS", "answers.LONGEST_PATIENCE"):
        monkeypatch.setattr(f"mdsvc.nova.{name}", 120)
    monkeypatch.setattr("mdsvc.overlay.LONGEST_PATIENCE", 120)
    door = await front(nova)

    async def boot(uuid: str) -> None:
        for path in (META, LISTING, "/latest/meta-data/cpu/dedicated", LEAF, META):
            answer = await door.ask(path, who=headers(uuid))
            assert answer.status == 200
            if path == META:
                assert json.loads(answer.body)["uuid"] == uuid
            if path == LEAF:
                assert answer.body == f"host of {uuid}".encode()

    await asyncio.gather(*map(boot, GUESTS))
    assert max(nova.requests.values()) == 1
    documents = Counter(path for _, path in nova.requests)
    assert set(documents) == {META, LISTING, "/latest/meta-data/cpu/dedicated", LEAF}
    await nova.stop()
    clock.now += 16
    await asyncio.gather(*map(boot, GUESTS[:100]))
    await nova.start()
    clock.now += 6
    nova.dedicated = [7]
    changed = await door.ask(META, who=headers(GUESTS[5]))
    assert json.loads(changed.body)["dedicated_cpus"] == "7"
