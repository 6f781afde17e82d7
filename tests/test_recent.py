"""What was read a moment ago is not read again, and what was read before that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from msgspec.structs import replace
from typing_extensions import override

from mdsvc.instance import PlacedInstance
from mdsvc.store.recent import SECONDS, RecentReads
from tests.http.fakes import FakeStore
from tests.http.guests import POOR_UUID, poor

IP = "127.0.0.1"


class Clock:
    """Stands still until it is told."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class CountingStore(FakeStore):
    """Counts what it is asked."""

    def __init__(self, *guests: PlacedInstance) -> None:
        super().__init__(*guests)
        self.asked: Counter[str] = Counter()

    @override
    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        self.asked["instance"] += 1
        return await super().get_instance(uuid)

    @override
    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        self.asked["find"] += 1
        return await super().find(ip, network)

    @override
    async def password(self, uuid: str) -> bytes | None:
        self.asked["password"] += 1
        return await super().password(uuid)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore(poor())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reads(store: CountingStore, clock: Clock) -> RecentReads:
    return RecentReads(store, clock)


async def test_a_burst_reads_once(store: CountingStore, reads: RecentReads) -> None:
    for _ in range(40):
        assert await reads.find(IP, None) == [POOR_UUID]
        assert await reads.get_instance(POOR_UUID) == poor()
    assert store.asked == {"find": 1, "instance": 1}


async def test_a_change_is_seen_once_the_time_is_over(
    store: CountingStore, reads: RecentReads, clock: Clock
) -> None:
    before = await reads.get_instance(POOR_UUID)
    store.put(replace(poor(), generation=2))
    clock.now += SECONDS * 0.99
    assert await reads.get_instance(POOR_UUID) == before
    clock.now += SECONDS * 0.02
    changed = await reads.get_instance(POOR_UUID)
    assert changed
    assert changed.generation == 2


async def test_reading_again_does_not_make_it_last_longer(
    store: CountingStore, reads: RecentReads, clock: Clock
) -> None:
    """Otherwise a guest that polls would never see a change."""
    for _ in range(30):
        await reads.get_instance(POOR_UUID)
        clock.now += SECONDS / 10
    assert store.asked["instance"] == 3


async def test_a_guest_that_is_gone_is_gone_once_the_time_is_over(
    store: CountingStore, reads: RecentReads, clock: Clock
) -> None:
    assert await reads.find(IP, None)
    store.guests.clear()
    assert await reads.find(IP, None), "for a moment it is still there"
    clock.now += SECONDS * 1.01
    assert await reads.find(IP, None) == []
    assert await reads.get_instance(POOR_UUID) is None


async def test_what_was_not_found_is_asked_for_anew(
    store: CountingStore, reads: RecentReads
) -> None:
    """A guest may boot, and ask, before it has been stored."""
    store.guests.clear()
    assert await reads.find(IP, None) == []
    assert await reads.get_instance(POOR_UUID) is None
    store.put(poor())
    assert await reads.find(IP, None) == [POOR_UUID]
    assert await reads.get_instance(POOR_UUID) == poor()


async def test_an_address_is_kept_for_each_network(
    store: CountingStore, reads: RecentReads
) -> None:
    for network, found in ((None, [POOR_UUID]), ("net-a", [POOR_UUID]), ("net-b", [])):
        for _ in range(2):
            assert await reads.find(IP, network) == found
    assert store.asked["find"] == 4, "twice for what is not found"


async def test_a_guest_and_an_address_are_not_mistaken(reads: RecentReads) -> None:
    assert await reads.get_instance(IP) is None
    assert await reads.find(POOR_UUID, None) == []
    assert await reads.find(IP, None) == [POOR_UUID]


async def test_passwords_are_never_kept(store: CountingStore, reads: RecentReads) -> None:
    assert await reads.password(POOR_UUID) is None
    assert await reads.set_password(POOR_UUID, b"one")
    assert await reads.password(POOR_UUID) == b"one"
    assert not await reads.set_password(POOR_UUID, b"two")
    assert await reads.password(POOR_UUID) == b"one"
    assert store.asked["password"] == 3


async def test_an_error_is_not_kept(reads: RecentReads, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_uuid: str) -> PlacedInstance | None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(CountingStore, "get_instance", staticmethod(fail))
        with pytest.raises(RuntimeError, match="broken"):
            await reads.get_instance(POOR_UUID)
    assert await reads.get_instance(POOR_UUID) == poor()


async def test_the_age_counts_from_before_the_read(store: CountingStore, clock: Clock) -> None:
    """A store that takes its time answers with what was there when it was asked, or a bit later."""

    class Slow(CountingStore):
        @override
        async def get_instance(self, uuid: str) -> PlacedInstance | None:
            guest = await super().get_instance(uuid)
            clock.now += SECONDS * 0.6
            return guest

        @override
        async def find(self, ip: str, network: str | None) -> Sequence[str]:
            uuids = await super().find(ip, network)
            clock.now += SECONDS * 0.6
            return uuids

    slow = Slow(poor())
    reads = RecentReads(slow, clock)
    for name, read in (
        ("instance", lambda: reads.get_instance(POOR_UUID)),
        ("find", lambda: reads.find(IP, None)),
    ):
        await read()
        clock.now += SECONDS * 0.3
        await read()
        assert slow.asked[name] == 1
        clock.now += SECONDS * 0.2
        await read()
        assert slow.asked[name] == 2


async def test_no_more_is_kept_than_there_is_room_for(store: CountingStore, clock: Clock) -> None:
    """Counted in bytes: one guest may have as much as a hundred others."""
    reads = RecentReads(store, clock, room=100_000)
    uuids = [f"00000000-0000-4000-8000-{number:012}" for number in range(25)]
    for number, uuid in enumerate(uuids):
        store.put(replace(poor(), uuid=uuid, user_data="x" * 1000 * (number % 3 * 20)))
        assert await reads.get_instance(uuid)
        assert reads.size <= 100_000
    asked = store.asked["instance"]
    await reads.get_instance(uuids[-1])
    assert store.asked["instance"] == asked, "the newest are kept"
    await reads.get_instance(uuids[0])
    assert store.asked["instance"] == asked + 1, "the oldest are not"


async def test_what_is_too_old_is_not_kept_either(
    store: CountingStore, reads: RecentReads, clock: Clock
) -> None:
    await reads.get_instance(POOR_UUID)
    one = reads.size
    for number in range(5):
        clock.now += SECONDS * 1.01
        other = f"00000000-0000-4000-8000-{number:012}"
        store.put(replace(poor(), uuid=other))
        await reads.get_instance(other)
        assert reads.size == one


async def test_a_clock_near_its_start_is_as_good_as_any(store: CountingStore) -> None:
    """A machine that has just booted: its clock is near 0, and nothing has been read yet."""
    clock = Clock()
    clock.now = 0.0
    reads = RecentReads(store, clock)
    assert await reads.get_instance(POOR_UUID) == poor()
    assert await reads.find(IP, None) == [POOR_UUID]
