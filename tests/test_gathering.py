"""What is asked for at the same time is read together, and each gets its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

import pytest

from mdsvc.errors import Unavailable
from mdsvc.store.gathering import MOST, Gathered


class Shelf:
    """Answers with a key's own name, after a turn; ``x`` is missing, and ``bad`` cannot be read."""

    def __init__(self) -> None:
        self.questions: list[Sequence[str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.error: Exception | None = None

    async def read(self, keys: Sequence[str]) -> Mapping[str, str | Exception]:
        self.questions.append(keys)
        await self.go_on.wait()
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        values = {key: key.upper() for key in keys if key != "x"}
        return {**values, "bad": ValueError("bad")} if "bad" in values else values


async def test_a_thousand_at_once_are_a_few_questions() -> None:
    shelf = Shelf()
    gathered = Gathered(shelf.read)
    keys = [f"k{number}" for number in range(1000)]
    values = await asyncio.gather(*(gathered.get(key) for key in [*keys, *keys]))
    assert values == [key.upper() for key in [*keys, *keys]]
    assert sum(map(len, shelf.questions)) == 1000, "each is asked for once"
    assert len(shelf.questions) <= 5
    assert max(map(len, shelf.questions)) <= MOST


async def test_what_comes_while_others_are_read_goes_together() -> None:
    shelf = Shelf()
    shelf.go_on.clear()
    gathered = Gathered(shelf.read)
    asking = []
    for number in range(50):
        asking.append(asyncio.create_task(gathered.get(f"k{number}")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    under_way = len(shelf.questions)
    assert under_way < 5
    shelf.go_on.set()
    assert await asyncio.gather(*asking) == [f"K{number}" for number in range(50)]
    assert len(shelf.questions) == under_way + 1


async def test_what_is_asked_for_again_is_read_again() -> None:
    """It may have changed since the question was sent."""
    shelf = Shelf()
    shelf.go_on.clear()
    gathered = Gathered(shelf.read)
    first = asyncio.create_task(gathered.get("a"))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(gathered.get("a"))
    await asyncio.sleep(0.01)
    shelf.go_on.set()
    assert [await first, await second] == ["A", "A"]
    assert shelf.questions == [["a"], ["a"]]


async def test_one_that_cannot_be_read_is_its_own_misfortune() -> None:
    gathered = Gathered(Shelf().read)
    keys = ("a", "x", "bad", "b")
    values = await asyncio.gather(*map(gathered.get, keys), return_exceptions=True)
    assert values[:2] == ["A", None]
    assert isinstance(values[2], ValueError)
    assert values[3] == "B"


async def test_where_nothing_answers_each_is_told_and_the_next_is_asked() -> None:
    shelf = Shelf()
    shelf.error = Unavailable("away")
    gathered = Gathered(shelf.read)
    values = await asyncio.gather(*map(gathered.get, "abc"), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in values)
    shelf.error = None
    assert await gathered.get("a") == "A"


@pytest.mark.parametrize("seed", range(5))
async def test_who_goes_away_takes_nothing_from_others(seed: int) -> None:
    random = Random(seed)
    shelf = Shelf()
    gathered = Gathered(shelf.read)
    asking = {}
    for number in range(200):
        key = f"k{random.randrange(20)}"
        asking[number] = key, asyncio.create_task(gathered.get(key))
        if random.random() < 0.3:
            random.choice(list(asking.values()))[1].cancel()
        if random.random() < 0.3:
            await asyncio.sleep(0)
    values = await asyncio.gather(*(task for _, task in asking.values()), return_exceptions=True)
    for (key, task), value in zip(asking.values(), values, strict=True):
        assert task.cancelled() or value == key.upper()
