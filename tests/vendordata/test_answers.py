"""What is kept of targets' answers, and when they are asked: with a fake of asking and a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mdsvc.instance import PlacedInstance
from mdsvc.store.feed import Change
from mdsvc.vendordata.answers import RETRY_SECONDS, Vendordata
from mdsvc.vendordata.asking import Failed
from mdsvc.vendordata.targets import Target
from tests.http.guests import poor

TARGETS = (Target("a", "http://a/"), Target("b", "http://b/"))
GUEST = poor()


class Fake:
    """Answers with what was asked last; targets in ``failing`` fail."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.failing: dict[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 1000.0
        self.value = 0

    async def ask(self, target: Target, body: bytes, seconds: float) -> bytes:
        uuid = msgspec.json.decode(body)["instance-id"]
        self.asked.append((target.name, self.value))
        value = self.value
        await self.gate.wait()
        if target.name in self.failing:
            raise Failed("it fails", self.failing[target.name])  # type: ignore[arg-type]
        return msgspec.json.encode([target.name, uuid, value])


def vendordata(fake: Fake, **more: Any) -> Vendordata:
    return Vendordata(TARGETS, fake, 5, clock=lambda: fake.now, **more)


def uuid_of(number: int) -> str:
    return f"{number:08}-3c55-4d1f-8f0e-5f0a3a1c9e12"


async def told(made: Vendordata, guest: PlacedInstance = GUEST) -> Mapping[str, Any]:
    return {name: msgspec.json.decode(raw) for name, raw in (await made.of(guest)).items()}


def both(value: int, guest: PlacedInstance = GUEST) -> Mapping[str, Any]:
    return {name: [name, guest.uuid, value] for name in ("a", "b")}


async def test_each_target_is_asked_once_for_a_guest_and_generation() -> None:
    fake = Fake()
    made = vendordata(fake)
    for _ in range(3):
        assert await told(made) == both(0)
    fake.now += 1e6
    assert await told(made) == both(0)
    assert sorted(fake.asked) == [("a", 0), ("b", 0)]
    fake.value = 1
    later = replace(GUEST, generation=2)
    assert await told(made, later) == both(1)
    assert await told(made, GUEST) == both(0)  # a read that is a moment old
    assert await told(made, later) == both(1)
    assert len(fake.asked) == 4


async def test_all_are_asked_at_once_and_who_comes_meanwhile_waits_for_the_same() -> None:
    fake = Fake()
    fake.gate.clear()
    made = vendordata(fake)
    asking = [asyncio.create_task(told(made)) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert sorted(fake.asked) == [("a", 0), ("b", 0)]
    asking[0].cancel()  # who hangs up takes nothing from the others
    fake.gate.set()
    assert await asyncio.gather(*asking[1:]) == [both(0)] * 49


async def test_another_guest_has_answers_of_its_own() -> None:
    fake = Fake()
    made = vendordata(fake)
    other = replace(GUEST, uuid=uuid_of(2))
    stolen = replace(GUEST, project_id="another")
    assert await told(made) == both(0)
    fake.failing = {"a": "error"}
    assert (await told(made, other))["a"] == {}
    assert (await told(made, stolen))["a"] == {}


async def test_one_that_fails_has_nothing_at_first_and_then_its_last_good_answer() -> None:
    fake = Fake()
    made = vendordata(fake)
    fake.failing = {"a": "error"}
    assert await told(made) == {**both(0), "a": {}}
    fake.failing = {}
    assert await told(made) == {**both(0), "a": {}}, "it is not asked again at once"
    fake.now += RETRY_SECONDS
    assert await told(made) == both(0)
    fake.failing = {"a": "error"}
    fake.value = 1
    assert await told(made, replace(GUEST, generation=2)) == {**both(1), "a": both(0)["a"]}


async def test_a_last_good_answer_is_none_of_an_earlier_generation_s() -> None:
    """A guest that was made anew under its UUID."""
    fake = Fake()
    made = vendordata(fake)
    await told(made, replace(GUEST, generation=7))
    fake.failing = {"a": "error"}
    assert (await told(made, GUEST))["a"] == {}


async def test_who_is_gone_is_forgotten() -> None:
    fake = Fake()
    made = vendordata(fake)
    await told(made)
    made.changed([Change(2, "host", GUEST.uuid, None), Change(2, "instance", "other", None)])
    assert made.held() > 0
    made.changed([Change(2, "instance", GUEST.uuid, None), Change(3, "instance", GUEST.uuid, 1)])
    assert made.held() == 0
    fake.value = 1
    assert await told(made) == both(1)
    made.reset()
    assert made.held() == 0


async def test_one_that_is_silent_is_soon_left_alone_for_all_guests() -> None:
    fake = Fake()
    made = vendordata(fake)
    fake.failing = {"a": "timeout"}
    guests = [replace(GUEST, generation=number) for number in range(1, 9)]
    for guest in guests:
        assert (await told(made, guest))["a"] == {}
    assert sum(name == "a" for name, _ in fake.asked) == 3
    fake.failing = {}
    fake.now += 6
    assert (await told(made, guests[-1]))["a"] != {}
    assert (await told(made, guests[-2]))["a"] != {}


async def test_one_that_refuses_a_guest_is_asked_for_others() -> None:
    fake = Fake()
    made = vendordata(fake)
    fake.failing = {"a": "refused"}
    for number in range(1, 9):
        await told(made, replace(GUEST, generation=number))
    assert sum(name == "a" for name, _ in fake.asked) == 8


async def test_whoever_waits_is_told_once_it_answers_after_all() -> None:
    fake = Fake()
    made = vendordata(fake)
    woken: list[str] = []
    made.renewed = woken.append
    fake.failing = {"a": "error"}
    await told(made)
    assert woken == []
    fake.failing = {}
    fake.now += RETRY_SECONDS
    await told(made)
    assert woken == [GUEST.uuid]


async def test_one_line_says_that_it_fails_and_one_that_it_no_longer_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    fake = Fake()
    made = vendordata(fake)
    fake.failing = {"a": "error"}
    for number in range(1, 9):
        await told(made, replace(GUEST, generation=number))
    fake.failing = {}
    await told(made, replace(GUEST, generation=9))
    assert [record.getMessage() for record in caplog.records] == [
        "vendor data of a: it fails",
        "vendor data of a: it answers again",
    ]


async def test_what_is_kept_is_bounded() -> None:
    fake = Fake()
    made = vendordata(fake, room=20_000)
    for number in range(100):
        await told(made, replace(GUEST, uuid=uuid_of(number)))
    assert 10_000 < made.held() <= 20_000
    for number in range(100):
        await told(made, replace(GUEST, generation=number))
    assert made.held() <= 20_000


async def test_in_the_end_nothing_is_asked_any_more() -> None:
    fake = Fake()
    fake.gate.clear()
    made = vendordata(fake)
    asking = asyncio.create_task(told(made))
    await asyncio.sleep(0.01)
    await made.close()
    assert await asking == {"a": {}, "b": {}}


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2)),
        st.tuples(st.just("change"), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(0, 2)),
        st.tuples(st.just("fail"), st.sampled_from(["", "error", "timeout", "refused"])),
        st.tuples(st.just("wait"), st.sampled_from([1, 6, 20])),
    ),
    max_size=40,
)


@given(STEPS)
def test_in_any_sequence_a_guest_has_its_own_newest_good_answer_or_nothing(
    steps: list[tuple[str, Any]],
) -> None:
    asyncio.run(_sequence(steps))


async def _sequence(steps: list[tuple[str, Any]]) -> None:
    """The model: the answers each guest's life may have, in order; never one of another life."""
    fake = Fake()
    made = vendordata(fake)
    generations = [1, 1, 1]
    born = [0, 0, 0]
    seen: list[int] = [-1, -1, -1]
    for number, (step, what) in enumerate(steps):
        fake.value = number
        match step:
            case "ask":
                guest = replace(
                    GUEST,
                    uuid=f"{what:08}-3c55-4d1f-8f0e-5f0a3a1c9e12",
                    generation=generations[what],
                )
                parts = await told(made, guest)
                assert list(parts) == ["a", "b"]
                assert parts["b"][1] == guest.uuid
                if parts["a"]:
                    name, uuid, at = parts["a"]
                    assert (name, uuid) == ("a", guest.uuid)
                    assert at >= born[what], "of this life"
                    assert at >= seen[what], "never an older one again"
                    seen[what] = at
                else:
                    assert fake.failing or seen[what] == -1
                    assert seen[what] == -1, "what was good once is not lost"
            case "change":
                generations[what] += 1
            case "remove":
                made.changed([Change(number, "instance", uuid_of(what), None)])
                generations[what], born[what], seen[what] = 1, number, -1
            case "fail":
                fake.failing = {"a": what} if what else {}
            case "wait":
                fake.now += what
            case _:
                raise AssertionError(step)
        assert made.held() == sum(each.size for each in made._guests.values())
