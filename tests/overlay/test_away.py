"""An upstream that misbehaves: guests get the last good answer, or are told to come again."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from tests.overlay.conftest import OTHER, UUID, Clock, Start, headers
from tests.overlay.test_door import META, without_seed
from tests.overlay.upstream import FakeNova

HOST = "/latest/meta-data/hostname"


async def kill(nova: FakeNova) -> None:
    await nova.stop()


async def fail(nova: FakeNova) -> None:
    nova.status = 500


async def garble(nova: FakeNova) -> None:
    nova.instead = b"<html>sign in</html>"


async def cut(nova: FakeNova) -> None:
    nova.instead = b'{"uuid": "'


async def swell(nova: FakeNova) -> None:
    nova.instead = b"[" + b" " * (9 * 2**20) + b"]"


async def mistake(nova: FakeNova) -> None:
    nova.uuid = OTHER


async def redirect(nova: FakeNova) -> None:
    nova.status = 302


@pytest.mark.parametrize("misbehave", [kill, fail, garble, cut, swell, mistake, redirect])
async def test_the_last_good_answer_is_given_and_503_where_there_is_none(
    nova: FakeNova, front: Start, clock: Clock, misbehave: object
) -> None:
    door = await front(nova)
    before = (await door.ask(META)).body
    await misbehave(nova)  # type: ignore[operator]
    clock.now += 16
    after = await door.ask(META)
    assert (after.status, without_seed(after.body)) == (200, without_seed(before))
    assert json.loads(after.body)["random_seed"] != json.loads(before)["random_seed"]
    assert b"mdsvc_upstream_last_good_total 1.0" in await door.metrics.text()
    other = await door.ask("/openstack/2018-08-27/meta_data.json")
    assert other.status == 503
    assert "Retry-After" in other.headers


async def test_an_answer_is_never_another_guests(nova: FakeNova, front: Start) -> None:
    door = await front(nova)
    whose = [UUID, OTHER] * 20
    answers = await asyncio.gather(*(door.ask(HOST, who=headers(uuid)) for uuid in whose))
    assert [each.body.decode() for each in answers] == [f"host of {uuid}" for uuid in whose]


async def test_a_guest_whose_answers_are_anothers_gets_nothing(
    nova: FakeNova, front: Start
) -> None:
    nova.uuid = OTHER
    door = await front(nova)
    for path in (META, "/mdsvc/v1/layout", "/latest/meta-data/", "/latest/meta-data/cpu/dedicated"):
        answer = await door.ask(path)
        assert answer.status == 503
        assert OTHER.encode() not in answer.body


async def test_a_hung_upstream_costs_a_guest_with_a_good_answer_little(
    nova: FakeNova, front: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.nova.answers._PATIENCE", 0.05)
    door = await front(nova)
    await door.ask(HOST)
    clock.now += 16
    nova.hang = asyncio.Event()
    assert (await door.ask(HOST)).body == f"host of {UUID}".encode()


async def test_a_hung_upstream_is_given_up_and_the_next_one_asked(
    nova: FakeNova, front: Start, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.nova.upstreams.SECONDS", 0.4)
    hung = await FakeNova([1]).start()
    stack.push_async_callback(hung.stop)
    hung.hang = asyncio.Event()
    door = await front(hung, nova)
    assert (await door.ask(HOST)).status == 200
    alone = await front(hung)
    assert (await alone.ask(HOST)).status == 503
    text = await alone.metrics.text()
    assert b'mdsvc_upstream_requests_total{outcome="timeout"} 1.0' in text


async def test_many_guests_at_once_cost_a_request_each_and_document(
    nova: FakeNova, front: Start
) -> None:
    door = await front(nova)
    nova.hang = asyncio.Event()
    uuids = [f"00000000-0000-4000-8000-{number:012}" for number in range(50)]
    asking = [
        asyncio.create_task(door.ask(path, who=headers(uuid)))
        for uuid in uuids
        for path in [META, "/mdsvc/v1/layout", "/latest/meta-data/"] * 7
    ]
    await nova.asked.wait()
    nova.hang.set()
    answers = await asyncio.gather(*asking)
    assert {each.status for each in answers} == {200}
    assert set(nova.requests.values()) == {1}


async def test_freshness_is_at_most_15_seconds(nova: FakeNova, front: Start, clock: Clock) -> None:
    door = await front(nova)
    for step, requests in ((0, 1), (14, 1), (2, 2), (15, 2), (0.5, 3)):
        clock.now += step
        await door.ask(HOST)
        assert nova.requests[UUID, HOST] == requests


async def test_one_that_refuses_is_left_alone_and_asked_again_later(
    nova: FakeNova, front: Start, clock: Clock
) -> None:
    door = await front(nova)
    await nova.stop()
    for number in range(6):
        assert (await door.ask(f"/latest/{number}")).status == 503
    text = await door.metrics.text()
    assert b'mdsvc_upstream_requests_total{outcome="unreachable"} 3.0' in text
    await nova.start()
    clock.now += 6
    assert (await door.ask(HOST)).status == 200


async def test_one_that_answers_with_5xx_after_silence_is_silent_no_more(
    nova: FakeNova, front: Start, clock: Clock
) -> None:
    door = await front(nova)
    await nova.stop()
    for number in range(4):
        assert (await door.ask(f"/latest/{number}")).status == 503
    await nova.start()
    clock.now += 6
    nova.status = 500
    assert (await door.ask("/latest/5xx")).status == 503
    nova.status = 200
    assert (await door.ask(HOST)).status == 200


async def test_one_guests_5xx_is_not_everybodys(nova: FakeNova, front: Start) -> None:
    door = await front(nova)
    nova.status = 500
    for number in range(6):
        assert (await door.ask(f"/latest/{number}")).status == 503
    nova.status = 200
    assert (await door.ask(HOST)).status == 200


async def test_a_post_goes_to_the_next_only_where_nobody_has_seen_it(
    nova: FakeNova, front: Start, stack: AsyncExitStack
) -> None:
    path, gone = "/openstack/latest/password", await FakeNova().start()
    failing = await FakeNova().start()
    stack.push_async_callback(failing.stop)
    await gone.stop()
    door = await front(gone, nova)
    assert (await door.ask(path, "POST", data=b"x")).status == 200
    failing.status = 500
    door = await front(failing, nova)
    assert (await door.ask(path, "POST", data=b"y")).status == 503
    assert nova.bodies == [b"x"]


async def test_to_wait_for_a_turn_is_no_silence_of_the_upstream_s(
    nova: FakeNova, front: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mdsvc.nova.upstreams._AT_ONCE", 1)
    door = await front(nova)
    nova.hang = asyncio.Event()
    first = asyncio.create_task(door.ask(HOST))
    await nova.asked.wait()
    monkeypatch.setattr("mdsvc.nova.upstreams.SECONDS", 0.05)
    for number in range(5):
        assert (await door.ask(f"/latest/{number}")).status == 503
    assert set(nova.requests) == {(UUID, HOST)}
    nova.hang.set()
    assert (await first).status == 200
    assert b'mdsvc_upstream_requests_total{outcome="busy"} 5.0' in await door.metrics.text()
    assert (await door.ask("/latest/meta-data/")).status == 200
