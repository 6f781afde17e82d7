"""What is kept of an upstream's answers: bounded, one request at a time, and whose it is."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.nova import answers
from mdsvc.nova.answers import FRESH_SECONDS, GUEST_ROOM, Answers
from mdsvc.nova.breaker import FAILURES, SECONDS, Breaker
from mdsvc.nova.replies import Asker, Away, Reply
from tests.overlay.conftest import Clock
from tests.strategies import QUICK

GUESTS = [
    Asker(uuid, project, "s", address)
    for uuid in ("u1", "u2")
    for project in ("p1", "p2")
    for address in (None, "10.0.0.5")
]


class Service:
    """Answers each with whose it is and how often it was asked; away as long as it is told so."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[Asker, str]] = Counter()
        self.is_away = False
        self.size = 0

    async def fetch(self, asker: Asker, target: str) -> Reply:
        self.requests[asker, target] += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise Away("away", "unreachable")
        return Reply(200, f"{asker} {target}".encode().ljust(self.size))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(GUESTS), st.sampled_from("abc"), st.sampled_from([0, 1, 9]), st.booleans()
    ),
    max_size=30,
)


@QUICK
@given(STEPS)
async def test_in_any_sequence_an_answer_is_the_guests_own_and_fresh_or_the_last_good(
    steps: list[tuple[Asker, str, int, bool]],
) -> None:
    clock, service = Clock(), Service()
    kept, good = Answers(service.fetch, clock), dict[tuple[Asker, str], float]()
    for asker, target, seconds, is_away in steps:
        clock.now += seconds
        service.is_away = is_away
        at = good.get((asker, target))
        before = service.requests.total()
        try:
            reply = await kept.get(asker, target)
        except Away:
            assert at is None
            continue
        assert reply.body.decode() == f"{asker} {target}"
        if at is not None and clock.now - at <= FRESH_SECONDS:
            assert service.requests.total() == before
        elif service.requests.total() > before and not is_away:
            good[asker, target] = clock.now


async def test_many_at_once_are_one_request_and_one_that_hangs_up_costs_the_others_nothing() -> (
    None
):
    service = Service()
    kept = Answers(service.fetch, Clock())
    asking = [asyncio.create_task(kept.get(GUESTS[0], "a")) for _ in range(100)]
    await asyncio.sleep(0)
    asking[0].cancel()
    replies = await asyncio.gather(*asking[1:])
    assert len(set(map(id, replies))) == 1
    assert service.requests.total() == 1


async def test_one_that_is_away_is_not_asked_again_at_once() -> None:
    clock, service = Clock(), Service()
    service.is_away = True
    kept = Answers(service.fetch, clock)
    for _ in range(5):
        with pytest.raises(Away):
            await kept.get(GUESTS[0], "a")
    assert service.requests.total() == 1
    clock.now += 2
    service.is_away = False
    assert (await kept.get(GUESTS[0], "a")).status == 200


async def test_what_is_kept_is_bounded_in_all_and_for_each_guest() -> None:
    service = Service()
    service.size = GUEST_ROOM // 8
    kept = Answers(service.fetch, Clock(), room=2 * GUEST_ROOM)
    for number in range(40):
        for guest in GUESTS:
            await kept.get(guest, str(number))
            assert 0 <= kept.held() <= 2 * GUEST_ROOM
    await kept.get(GUESTS[0], "of one guest")
    held = kept.held()
    for number in range(40):
        await kept.get(GUESTS[0], f"more {number}")
    assert kept.held() <= held + GUEST_ROOM
    assert answers.ROOM >= GUEST_ROOM


def test_a_breaker_opens_at_silence_lets_one_try_and_closes_at_an_answer() -> None:
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(FAILURES):
        assert breaker.lets_through()
        breaker.failed()
    assert not breaker.lets_through()
    clock.now += SECONDS
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert all(breaker.lets_through() for _ in range(3))
