"""A process learns every change once, in order, also after it was cut off: random sequences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Literal

from hypothesis import example, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from mdsvc.errors import Unavailable
from mdsvc.store import feed
from mdsvc.store.feed import Change, ChangePage
from mdsvc.store.following import Follower

from .test_following import NEVER, Frail, raise_generation
from .values import fill, guest, host, run, uuid

NUMBERS = (1, 2, 3)

Step = tuple[Literal["write", "lose", "break", "ask"], int]

STEPS = st.tuples(st.sampled_from(["write", "lose", "break", "ask"]), st.sampled_from(NUMBERS))
"""A guest comes or changes, or goes. The connection breaks after so many pages, for the next time
that the store is asked. It is asked.
"""


class Knowing:
    """What whoever is told of changes knows of guests: their generations by UUID."""

    def __init__(self) -> None:
        self.generations: dict[str, int] = {}
        self.heard: list[tuple[int, str, int | None]] = []
        self.was_reset = False

    def changed(self, changes: Sequence[Change]) -> None:
        for change in changes:
            self.heard.append((change.revision, change.key, change.generation))
            if change.generation is None:
                self.generations.pop(change.key, None)
            elif change.kind == "instance":
                self.generations[change.key] = change.generation

    def reset(self) -> None:
        self.was_reset = True

    def cut_off(self) -> None:
        """It is told what it has missed."""


class Breaking(Frail):
    """The connection breaks after so many answers, until it is made whole."""

    def __init__(self) -> None:
        super().__init__()
        self.answers_left: int | None = None

    def _answer(self) -> None:
        if self.answers_left is not None:
            if not self.answers_left:
                raise Unavailable("the connection was lost")
            self.answers_left -= 1

    @override
    async def position(self) -> int:
        self._answer()
        return await super().position()

    @override
    async def changes(self, after: int, limit: int = feed.PAGE) -> ChangePage:
        self._answer()
        return await super().changes(after, 1)  # so that there are many pages


async def _write(store: Frail, number: int) -> None:
    if await store.get_instance(uuid(number)) is None:
        await fill(store, guest(number))
    else:
        await raise_generation(store, number)


async def _lose(store: Frail, number: int) -> None:
    if await store.get_instance(uuid(number)) is not None:
        await run(store, lambda tx: tx.remove_instance(uuid(number)))


async def _there(store: Frail) -> dict[str, int]:
    async with store.snapshot() as snapshot:
        return {one.uuid: one.generation for one in await snapshot.list_instances()}


async def _follow(steps: Sequence[Step]) -> None:
    store, knowing = Breaking(), Knowing()
    await fill(store, host())
    async with Follower(store, NEVER).running() as follower:
        follower.tell(knowing)
        for what, number in steps:
            if what == "write":
                await _write(store, number)
            elif what == "lose":
                await _lose(store, number)
            elif what == "break":
                store.answers_left = number - 1
            elif await follower.catch_up(monotonic()):
                assert knowing.generations == await _there(store), "it says that it knows all"
            else:
                assert store.answers_left == 0, "only a broken connection keeps it from knowing"
                store.answers_left = None
        store.answers_left = None
        assert await follower.catch_up(monotonic())
        assert knowing.generations == await _there(store)
    assert not knowing.was_reset
    assert len(set(knowing.heard)) == len(knowing.heard), "each once"
    revisions = [revision for revision, _, _ in knowing.heard]
    assert revisions == sorted(revisions), "in order"


@given(st.lists(STEPS, max_size=30))
@example([("write", 1), ("write", 2), ("break", 3), ("ask", 1), ("lose", 1), ("ask", 1)])
@settings(deadline=None)
def test_it_learns_every_change_once_in_order_also_after_it_was_cut_off(
    steps: Sequence[Step],
) -> None:
    asyncio.run(_follow(steps))
