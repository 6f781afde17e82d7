"""Guests come and go, and hosts change under them: the books are true at every moment (R26, R27).

Each seed is one sequence. MDSVC_BOOKS=N runs the first N of them, for the long form.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

from mdsvc.control.hosts import add_host, get_host, list_hosts, remove_host, replace_host
from mdsvc.control.instances import create_instance, delete_instance, list_instances
from mdsvc.errors import CannotStay, MdsvcError
from mdsvc.instance import PlacedInstance
from mdsvc.store import Store
from mdsvc.store.memory import MemoryStore
from mdsvc.store.sql import open_sql
from tests.books.arrivals import takes
from tests.books.truth import Books, pins, untruths
from tests.books.world import changed, random_host, random_instance

STEPS = 60
SEEDS = int(os.environ.get("MDSVC_BOOKS", "40"))


class Run:
    """One sequence on one store."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.random = store, Random(seed)
        self.born = 0
        self.outcomes: Counter[str] = Counter()

    async def books(self) -> Books:
        hosts = await list_hosts(self.store)
        return {host.name: await get_host(self.store, host.name) for host in hosts}

    async def create(self) -> None:
        self.born += 1
        await create_instance(self.store, random_instance(self.random, self.born), None)

    async def delete(self) -> None:
        guests = await list_instances(self.store)
        if guests:
            await delete_instance(self.store, self.random.choice(guests).uuid)

    async def replace(self) -> None:
        """It is taken where its guests could come to it as they are, and else refused."""
        hosts = await list_hosts(self.store)
        if not hosts:
            return
        host = changed(self.random, self.random.choice(hosts))
        _, guests = await get_host(self.store, host.name)
        if takes(host, guests):
            await replace_host(self.store, host)
            return
        with pytest.raises(CannotStay) as refusal:
            await replace_host(self.store, host)
        raise refusal.value

    async def remove(self) -> None:
        await remove_host(self.store, self.random.choice("abc"))

    async def add(self) -> None:
        await add_host(self.store, random_host(self.random, self.random.choice("abc")))

    async def step(self) -> None:
        """One change, after which the books are true; where it was refused, they are the same."""
        steps = [self.create] * 8 + [self.delete] * 2 + [self.replace] * 8
        step: Callable[[], Awaitable[None]] = self.random.choice([*steps, self.remove, self.add])
        before = await self.books()
        try:
            await step()
        except MdsvcError as error:
            self.outcomes[f"{step.__name__}: {type(error).__name__}"] += 1
            assert await self.books() == before
            if isinstance(error, CannotStay):
                _check_names(error, before)
            return
        self.outcomes[f"{step.__name__}: done"] += 1
        after = await self.books()
        assert untruths(after) == []
        _check_generations(before, after)
        self.outcomes["renewed"] += _renewed(before, after)


def _check_names(error: CannotStay, before: Books) -> None:
    """The refusal names guests of one host, by name, UUID and rule."""
    assert error.reasons
    [host] = [name for name in before if str(error).startswith(f"host {name}: ")]
    uuids = {guest.uuid for guest in before[host][1]}
    for breach in error.reasons:
        assert breach.instance in uuids
        for text in (f"({breach.instance}): ", f"{breach.rule}: {breach.message}"):
            assert text in str(error)


def _placed(books: Books) -> dict[str, PlacedInstance]:
    return {guest.uuid: guest for _, guests in books.values() for guest in guests}


def _check_generations(before: Books, after: Books) -> None:
    """They only rise, and do where what is said of the guest's pCPUs is another."""
    old = _placed(before)
    for uuid, guest in _placed(after).items():
        if uuid not in old:
            continue
        was_on, is_on = before[guest.host][0], after[guest.host][0]
        same = guest.layout == old[uuid].layout and pins(was_on, old[uuid]) == pins(is_on, guest)
        assert guest.generation == old[uuid].generation + (not same)


def _renewed(before: Books, after: Books) -> int:
    old = _placed(before)
    return sum(guest != old.get(uuid, guest) for uuid, guest in _placed(after).items())


async def run(store: Store, seed: int) -> Counter[str]:
    one = Run(store, seed)
    for name in "ab":
        await add_host(store, random_host(one.random, name))
    for _ in range(STEPS):
        await one.step()
    return one.outcomes


@pytest.mark.parametrize("first", range(0, SEEDS, 10))
async def test_the_books_are_true_after_any_sequence(first: int) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(first, first + 10):
        outcomes += await run(MemoryStore(), seed)
    for outcome in ("create: done", "delete: done", "replace: done", "replace: CannotStay"):
        assert outcomes[outcome] > 10, outcomes
    assert outcomes["renewed"] > 10, outcomes


@pytest.mark.parametrize("seed", range(SEEDS // 20))
async def test_the_books_are_true_in_sqlite_too(seed: int, tmp_path: Path) -> None:
    store = await open_sql(f"sqlite:///{tmp_path}/store.db")
    try:
        in_memory = await run(MemoryStore(), seed)
        assert await run(store, seed) == in_memory
    finally:
        await store.close()
