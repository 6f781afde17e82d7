"""Use cases that lose against another transaction: run again in time, and as far as is needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

import pytest
from typing_extensions import override

from mdsvc import control
from mdsvc.control import candidates
from mdsvc.control.hosts import add_host, remove_host
from mdsvc.control.instances import create_instance, delete_instance, list_instances
from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.errors import Conflict, DoesNotFit, NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.placing.choice import rank
from mdsvc.store import Stale, Store
from mdsvc.store.memory import MemoryStore
from mdsvc.store.transaction import BufferedTransaction
from tests.cli.values import DEDICATED, flavor
from tests.control_values import (
    FLOATING,
    MIXED,
    BusyStore,
    fill,
    guest,
    host,
    on_network,
    use_of,
    uuid,
)
from tests.promptly import within


@pytest.fixture
def store() -> BusyStore:
    return BusyStore()


USE_CASES: dict[str, Callable[[Store], Awaitable[object]]] = {
    "add_host": lambda store: add_host(store, host("new")),
    "remove_host": lambda store: remove_host(store, "empty"),
    "create_instance": lambda store: create_instance(store, guest(2), None),
    "delete_instance": lambda store: delete_instance(store, uuid()),
}


@pytest.fixture
async def in_use(store: BusyStore) -> BusyStore:
    """Two hosts and a guest, on one of them."""
    await fill(store, host("empty"), host("h1"))
    await create_instance(store, guest(), "h1")
    store.begun = 0
    return store


@pytest.mark.parametrize("use_case", USE_CASES.values(), ids=USE_CASES)
async def test_what_lost_is_run_again_from_its_start(
    in_use: BusyStore, use_case: Callable[[Store], Awaitable[object]]
) -> None:
    in_use.busy = 5
    await use_case(in_use)
    assert in_use.begun == 6


@pytest.mark.parametrize("use_case", USE_CASES.values(), ids=USE_CASES)
async def test_what_always_loses_gives_up_and_has_changed_nothing(
    in_use: BusyStore,
    use_case: Callable[[Store], Awaitable[object]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.05)
    before = in_use._tables
    in_use.busy = 1000
    with pytest.raises(Conflict, match="try again"):
        await use_case(in_use)
    assert in_use._tables == before
    assert in_use.begun < 100


async def test_what_lost_sees_what_the_other_has_done(store: BusyStore) -> None:
    """The other one takes the address while this one has looked and found it free."""
    await fill(store, host())
    address = on_network("a", "10.0.0.5")

    class Overtaken(BusyStore):
        @asynccontextmanager
        @override
        async def transaction(self) -> AsyncIterator[BufferedTransaction]:
            async with super().transaction() as tx:
                yield tx
                if self.busy:
                    self.busy -= 1
                    await create_instance(store, guest(2, FLOATING, addresses=address), None)
                    self._tables = store._tables
                    raise Stale

    overtaken = Overtaken()
    overtaken._tables = store._tables
    overtaken.busy = 1
    with pytest.raises(Conflict, match=uuid(2)):
        await create_instance(overtaken, guest(1, FLOATING, addresses=address), None)


async def test_other_errors_are_not_tried_again(in_use: BusyStore) -> None:
    with pytest.raises(NotFound):
        await remove_host(in_use, "nowhere")
    assert in_use.begun == 1


async def test_many_at_once_take_no_pcpu_twice(store: BusyStore) -> None:
    """Each transaction of the store in memory works on its own copy, so most of them lose."""
    await fill(store, host("h1"), host("h2"))
    done = await asyncio.gather(
        *(create_instance(store, guest(number), None) for number in range(15)),
        return_exceptions=True,
    )
    placed = [one for one in done if isinstance(one, PlacedInstance)]
    assert {type(one) for one in done} <= {PlacedInstance, DoesNotFit, Conflict}
    assert sorted(p.uuid for p in placed) == [p.uuid for p in await list_instances(store)]
    for name in ("h1", "h2"):
        taken = [cell.pcpus for p in placed if p.host == name for cell in p.layout.cells]
        union = EMPTY
        for pcpus in taken:
            assert not union & pcpus
            union |= pcpus
        used = await use_of(store, name)
        assert CpuSet(sum(cell.pinned.mask for cell in used.cells)) == union


# ---- placing beside others ----


class Beside(BusyStore):
    """Another use case happens between the look at the fleet and the next transaction."""

    other: Callable[[], Awaitable[object]] | None = None

    @asynccontextmanager
    @override
    async def transaction(self) -> AsyncIterator[BufferedTransaction]:
        other, self.other = self.other, None
        if other:
            await other()
        async with super().transaction() as tx:
            yield tx


@pytest.fixture
def beside() -> Beside:
    return Beside()


@pytest.fixture
def ranked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The names of the hosts of each ranking."""
    rankings = []

    def counting(hosts: object, wanted: object) -> object:
        assert threading.current_thread() is not threading.main_thread()
        rankings.append([one.name for one in hosts])  # type: ignore[attr-defined]
        return rank(hosts, wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "rank", counting)
    return rankings


async def test_of_a_fleet_only_the_host_that_changed_is_ranked_again(
    beside: Beside, ranked: list[list[str]]
) -> None:
    await fill(beside, *(host(f"h{number}") for number in range(5)))
    beside.other = lambda: create_instance(beside, guest(1), "h0")
    placed = await create_instance(beside, guest(2), None)
    alone = MemoryStore()
    await fill(alone, *(host(f"h{number}") for number in range(5)))
    await create_instance(alone, guest(1), "h0")
    assert placed.layout.cells
    assert placed == await create_instance(alone, guest(2), None), "as one after the other"
    every = ["h0", "h1", "h2", "h3", "h4"]
    assert ranked == [every, ["h0"], ["h1", "h0"], ["h0"], every]


async def test_the_result_is_the_best_as_things_are_then(beside: Beside) -> None:
    """The other one fills the host that was best: the next one is taken, not none."""
    await fill(beside, host("h0"), host("h1"))
    whole = flavor(12, 64, {**DEDICATED, "hw:numa_nodes": "2"})
    beside.other = lambda: create_instance(beside, guest(1, whole), "h0")
    assert (await create_instance(beside, guest(2), None)).host == "h1"
    await fill(beside, host("h2"))
    await delete_instance(beside, uuid(2))
    beside.other = lambda: remove_host(beside, "h1")
    assert (await create_instance(beside, guest(2), None)).host == "h2"


async def test_no_room_is_told_of_the_fleet_as_it_is_then(beside: Beside) -> None:
    """The only host is filled meanwhile, and another one registered: that is looked for."""
    await fill(beside, host("h0"))
    whole = flavor(12, 64, {**DEDICATED, "hw:numa_nodes": "2"})

    async def filled_and_another() -> None:
        await create_instance(beside, guest(1, whole), "h0")
        await fill(beside, host("h1"))

    beside.other = filled_and_another
    assert (await create_instance(beside, guest(2), None)).host == "h1"

    async def filled_too() -> None:
        for number in range(3, 8):
            await create_instance(beside, guest(number), "h1")

    beside.other = filled_too
    with pytest.raises(DoesNotFit, match="none of 2 hosts"):
        await create_instance(beside, guest(8), None)


@pytest.mark.parametrize("name", [None, "h0"])
async def test_mixed_is_refused_when_an_old_host_comes_meanwhile(
    beside: Beside, name: str | None
) -> None:
    """R17, past which neither of the two would have seen the other."""
    await fill(beside, host("h0"))
    beside.other = lambda: add_host(beside, host("old", service_version=1))
    with pytest.raises(Conflict, match="old"):
        await create_instance(beside, guest(1, MIXED), name)
    assert await list_instances(beside) == []


async def test_a_named_host_that_goes_meanwhile_is_not_found(beside: Beside) -> None:
    await fill(beside, host("h0"), host("h1"))
    beside.other = lambda: remove_host(beside, "h0")
    with pytest.raises(NotFound, match="host h0"):
        await create_instance(beside, guest(1), "h0")


async def test_a_choice_does_not_hold_the_event_loop_up(
    store: BusyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, host())
    over = threading.Event()

    def slow(hosts: object, wanted: object) -> object:
        assert over.wait(5), "the event loop goes on"
        return rank(hosts, wanted)  # type: ignore[arg-type]

    monkeypatch.setattr(candidates, "rank", slow)
    placing = asyncio.create_task(create_instance(store, guest(1), None))
    await fill(store, host("h2"))
    assert not placing.done()
    over.set()
    assert (await placing).host == "h1"


async def test_patience_ends_after_seconds_and_not_after_tries(
    store: BusyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 5 <= control.PATIENCE <= 15
    monkeypatch.setattr(control, "PATIENCE", 1)
    store.busy = 1_000_000
    begun = monotonic()
    with within(10), pytest.raises(Conflict, match=r"others changed the store .* in 1 s; try"):
        await add_host(store, host())
    assert monotonic() - begun >= 1
    assert 3 < store.begun < 100, "with pauses, and not as fast as can be"
