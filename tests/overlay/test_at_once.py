"""What is kept of the upstream's answers is given as the request arrives, by the same rules."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from mdsvc import overlay
from mdsvc.errors import Forbidden
from mdsvc.guarding import Guard
from mdsvc.nova.answers import FRESH_SECONDS
from tests.overlay.conftest import OTHER, PROJECT, UUID, Clock, Front, Start, Told, headers
from tests.overlay.upstream import FakeNova

DOCUMENT = "/openstack/latest/meta_data.json"
PATHS = (
    DOCUMENT,
    DOCUMENT + "?a=b",
    "/openstack",
    "/openstack/latest/user_data",
    "/openstack/latest/password",
    "/openstack/latest/nothing",
    "/latest/meta-data/",
    "/latest/meta-data/cpu/dedicated",
    "/latest/meta-data/hostname",
    "/mdsvc/v1/layout",
    "/latest/api/token",
)
WHOSE = (
    headers(),
    headers(OTHER),
    headers(UUID, "p2"),
    {**headers(), "X-Forwarded-For": "10.0.0.6"},
    {**headers(), "X-Instance-ID-Signature": "0" * 64},
    {**headers(OTHER), "X-Tenant-ID": PROJECT, "X-aws-ec2-metadata-token": "x"},
)


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that take the long way."""
    paths: list[str] = []
    handle = overlay.handle

    async def noted(door: Any, request: Any) -> Any:
        paths.append(request.path)
        return await handle(door, request)

    monkeypatch.setattr(overlay, "handle", noted)
    return paths


async def test_what_is_kept_takes_the_short_way_as_long_as_it_is_fresh(
    front: Start, nova: FakeNova, clock: Clock, handled: list[str]
) -> None:
    door = await front(nova)
    first = await door.ask(DOCUMENT)
    again = await door.ask(DOCUMENT)
    assert handled == [DOCUMENT]
    assert first.body != again.body, "the seed is new"
    clock.now += FRESH_SECONDS + 1
    nova.dedicated = [1]
    assert b'"1"' in (await door.ask(DOCUMENT)).body
    assert handled == [DOCUMENT] * 2


async def test_the_short_way_is_counted_and_takes_of_the_bucket(
    front: Start, nova: FakeNova, handled: list[str]
) -> None:
    door = await front(nova, guest_rate=0.0001, guest_burst=4)
    assert [(await door.ask(DOCUMENT)).status for _ in range(6)] == [200] * 4 + [503] * 2
    assert len(handled) == 3
    figures = await door.metrics.text()
    assert b'document="meta_data.json",status="200"} 4.0' in figures


async def test_what_is_checked_of_a_request_is_checked_both_ways(
    front: Start, nova: FakeNova, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that nobody has thought of yet shuts out the guests of both."""
    door = await front(nova)
    assert [(await door.ask(DOCUMENT)).status for _ in range(2)] == [200, 200]

    def refuse(*_: object, **__: object) -> None:
        raise Forbidden("not on Sundays")

    monkeypatch.setattr(Guard, "check", refuse)
    assert {(await door.ask(path)).status for path in PATHS} == {403}


def _seen(told: Told) -> tuple[int, str | None, str | None, int, bytes]:
    seedless = told.body[:16], told.body[-60:]
    tag, kind = told.headers.get("ETag"), told.headers.get("Content-Type")
    return told.status, kind, tag, len(told.body), b"".join(seedless) if tag is None else b""


@pytest.mark.parametrize("tokens", ["optional", "required"])
async def test_both_ways_answer_alike_in_any_sequence(
    front: Start, nova: FakeNova, clock: Clock, monkeypatch: pytest.MonkeyPatch, tokens: str
) -> None:
    """Nova's answers change, it goes away, and time passes: each step is asked both ways."""
    random = Random(5)
    short = await front(nova, tokens=tokens)
    monkeypatch.setattr(overlay, "at_once", lambda *_: None)
    long = await front(nova, tokens=tokens)
    for _ in range(300):
        step = random.choice(("ask", "ask", "ask", "ask", "change", "away", "later"))
        if step == "change":
            nova.dedicated = random.choice((None, [1], [2, 3], "4-5"))
        elif step == "away":
            nova.status = random.choice((200, 200, 403, 404))
        elif step == "later":
            clock.now += random.choice((1, 8, FRESH_SECONDS + 1))
        path, who = random.choice(PATHS), random.choice(WHOSE)
        method = random.choice(("GET", "GET", "GET", "HEAD"))
        assert await _ask(short, path, method, who) == await _ask(long, path, method, who)


async def _ask(door: Front, path: str, method: str, who: dict[str, str]) -> Any:
    return _seen(await door.ask(path, method, who))
