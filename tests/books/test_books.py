"""Guests come, change and go, and hosts change under them: the books are true at every moment
(R26, R27).

Each seed is one sequence. MDSVC_BOOKS=N runs the first N of them, for the long form.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from mdsvc.control.hosts import add_host
from mdsvc.errors import CannotStay, MdsvcError
from mdsvc.instance import PlacedInstance
from mdsvc.store import Store
from mdsvc.store.memory import MemoryStore
from mdsvc.store.sql import open_sql
from tests.books.steps import Steps
from tests.books.truth import Books, pins, untruths
from tests.books.world import random_host

STEPS = 70
SEEDS = int(os.environ.get("MDSVC_BOOKS", "40"))
WEIGHTS = {
    Steps.create: 10,
    Steps.replace: 8,
    Steps.delete: 2,
    Steps.resize: 5,
    Steps.migrate: 3,
    Steps.rebuild: 3,
    Steps.change: 4,
    Steps.tell_password: 1,
    Steps.drain: 1,
    Steps.undo: 2,
    Steps.empty: 1,
    Steps.remove: 1,
    Steps.add: 1,
}
"""How often each is done."""

OFTEN = [
    "create: done",
    "delete: done",
    "replace: done",
    "replace: CannotStay",
    "resize: done",
    "resize: DoesNotFit",
    "migrate: done",
    "migrate: DoesNotFit",
    "rebuild: done",
    "change: done",
    "change: Conflict",
    "empty: done",
    "renewed",
    "moved",
]

Step = Callable[[Steps], Awaitable[None]]


class Run(Steps):
    """One sequence on one store."""

    def __init__(self, store: Store, seed: int) -> None:
        super().__init__(store, seed)
        self.outcomes: Counter[str] = Counter()

    async def step(self) -> None:
        """One change, after which the books are true; where it was refused, they are the same."""
        [step] = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))
        self.reborn.clear()
        before = await self.books()
        try:
            await step(self)
        except MdsvcError as error:
            self.outcomes[f"{step.__name__}: {type(error).__name__}"] += 1
            assert await self.books() == before
            if isinstance(error, CannotStay):
                _check_names(error, before)
        else:
            self.outcomes[f"{step.__name__}: done"] += 1
            after = await self.books()
            self._check(before, after)
            self.outcomes["renewed"] += step is Steps.replace and _changed(before, after)
            self.outcomes["moved"] += step is not Steps.replace and _moved(before, after)
        await self._check_passwords()

    def _check(self, before: Books, after: Books) -> None:
        assert untruths(after) == []
        _check_generations(before, after, self.reborn)
        _check_arrivals(before, after)
        _check_addresses(after)

    async def _check_passwords(self) -> None:
        """Each is of the life in which it was told."""
        for uuid in _placed(await self.books()):
            assert await self.store.password(uuid) == self.passwords.get(uuid)


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


def _check_generations(before: Books, after: Books, reborn: set[str]) -> None:
    """They only rise, and do where anything that is said of the guest is another."""
    old = _placed(before)
    for uuid, guest in _placed(after).items():
        if uuid not in old:
            assert guest.generation == 1
            continue
        was_on, is_on = before[old[uuid].host][0], after[guest.host][0]
        same = replace(guest, generation=old[uuid].generation) == old[uuid]
        same = same and pins(was_on, old[uuid]) == pins(is_on, guest)
        assert guest.generation == old[uuid].generation + (uuid in reborn or not same)


def _check_arrivals(before: Books, after: Books) -> None:
    """No guest comes to a draining host, nor does one become mixed while a host is behind."""
    old = _placed(before)
    behind = [name for name, (host, _) in after.items() if host.service_version < 2]
    for uuid, guest in _placed(after).items():
        came = uuid not in old or old[uuid].host != guest.host
        assert not (came and after[guest.host][0].draining)
        mixed = guest.layout.cpu_policy == "mixed"
        became = came or old[uuid].layout.cpu_policy != "mixed"
        assert not (mixed and became and behind)


def _check_addresses(after: Books) -> None:
    taken = [
        (address.ip, address.network)
        for guest in _placed(after).values()
        for address in guest.addresses
    ]
    assert len(taken) == len(set(taken))


def _changed(before: Books, after: Books) -> int:
    old = _placed(before)
    return sum(guest != old.get(uuid, guest) for uuid, guest in _placed(after).items())


def _moved(before: Books, after: Books) -> int:
    old = _placed(before)
    return sum(guest.host != old.get(uuid, guest).host for uuid, guest in _placed(after).items())


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
    assert not [outcome for outcome in OFTEN if not outcomes[outcome]], outcomes


@pytest.mark.parametrize("seed", range(SEEDS // 20))
async def test_the_books_are_true_in_sqlite_too(seed: int, tmp_path: Path) -> None:
    store = await open_sql(f"sqlite:///{tmp_path}/store.db")
    try:
        in_memory = await run(MemoryStore(), seed)
        assert await run(store, seed) == in_memory
    finally:
        await store.close()
