"""What was read a moment ago is not read again, and what was read before that is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from typing_extensions import override

from mdsvc.instance import PlacedInstance
from mdsvc.store.feed import Change
from mdsvc.store.recent import SECONDS, RecentReads
from tests.http.fakes import FakeStore
from tests.http.guests import POOR_UUID, poor
from tests.strategies import QUICK

IP = "127.0.0.1"


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


class Feed:
    """What a follower of the store knows; asking takes no time, and tells ``reads``."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.known_since = 0.0
        self.asked = 0
        self.untold: list[Change] = []
        self.is_cut_off = False
        self.reads: RecentReads | None = None

    def clock(self) -> float:
        return self.now

    def knows(self, since: float) -> bool:
        return self.known_since >= since and not self.is_cut_off

    async def catch_up(self, since: float) -> bool:
        if not self.is_cut_off:
            self.asked += 1
            self.known_since = self.now
            self.tell()
        return self.knows(since)

    def tell(self) -> None:
        assert self.reads
        told, self.untold = self.untold, []
        self.reads.changed(told)


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def reads(store: CountingStore, feed: Feed) -> RecentReads:
    feed.reads = RecentReads(store, feed, clock=feed.clock)
    return feed.reads


def changed(store: CountingStore, feed: Feed, guest: PlacedInstance) -> None:
    """Another process has written it."""
    store.put(guest)
    feed.untold.append(Change(1, "instance", guest.uuid, guest.generation))


def gone(store: CountingStore, feed: Feed, uuid: str) -> None:
    """Another process has removed it."""
    store.remove(uuid)
    feed.untold.append(Change(1, "instance", uuid, None))


async def test_it_is_read_once_however_often_it_is_asked_for(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    for _ in range(40):
        assert await reads.find(IP, None) == [POOR_UUID]
        assert await reads.get_instance(POOR_UUID) == poor()
        feed.now += SECONDS / 10
    assert store.asked == {"find": 1, "instance": 1}
    assert feed.asked == 4, "the store is asked for changes, whoever asks"


async def test_a_change_is_seen_once_the_time_is_over(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    before = await reads.get_instance(POOR_UUID)
    changed(store, feed, replace(poor(), generation=2))
    feed.now += SECONDS * 0.99
    assert await reads.get_instance(POOR_UUID) == before
    feed.now += SECONDS * 0.02
    after = await reads.get_instance(POOR_UUID)
    assert after
    assert after.generation == 2


async def test_a_change_that_is_told_is_seen_at_once(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    await reads.get_instance(POOR_UUID)
    changed(store, feed, replace(poor(), generation=2))
    feed.tell()
    after = await reads.get_instance(POOR_UUID)
    assert after
    assert after.generation == 2


async def test_what_was_not_found_is_kept_until_it_is_there(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    """Whoever asks for nobody costs the store nothing, and a new guest is found."""
    store.guests.clear()
    for _ in range(3):
        assert await reads.find(IP, None) == []
        assert await reads.find_mac("fa:16:3e:00:00:01", "n") == []
        assert await reads.get_instance(POOR_UUID) is None
    assert store.asked == {"find": 1, "instance": 1}
    changed(store, feed, poor())
    feed.tell()
    assert await reads.find(IP, None) == [POOR_UUID]
    assert await reads.get_instance(POOR_UUID) == poor()


async def test_an_address_that_moves_to_another_guest_is_the_others(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    other = replace(poor(), uuid="00000000-0000-4000-8000-000000000001")
    assert await reads.find(IP, None) == [POOR_UUID]
    gone(store, feed, POOR_UUID)
    changed(store, feed, other)
    feed.tell()
    assert await reads.find(IP, None) == [other.uuid]
    assert await reads.get_instance(POOR_UUID) is None


async def test_while_no_change_is_told_nothing_is_kept(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    await reads.get_instance(POOR_UUID)
    feed.is_cut_off = True
    changed(store, feed, replace(poor(), generation=2))
    for _ in range(2):
        after = await reads.get_instance(POOR_UUID)
        assert after
        assert after.generation == 2
    assert store.asked["instance"] == 3
    feed.is_cut_off = False
    feed.now += 1
    after = await reads.get_instance(POOR_UUID)
    assert after
    assert after.generation == 2


async def test_those_who_ask_at_once_read_once(
    store: CountingStore, reads: RecentReads, feed: Feed
) -> None:
    found = await asyncio.gather(*(reads.get_instance(POOR_UUID) for _ in range(100)))
    assert found == [poor()] * 100
    assert store.asked["instance"] == 1
    assert feed.asked == 1


async def test_what_changes_while_it_is_read_is_not_kept(
    store: CountingStore, reads: RecentReads, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = asyncio.Event()

    async def slow(uuid: str) -> PlacedInstance | None:
        guest = store.guests.get(uuid)
        await go_on.wait()
        return guest

    monkeypatch.setattr(store, "get_instance", slow)
    task = asyncio.create_task(reads.get_instance(POOR_UUID))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    changed(store, feed, replace(poor(), generation=2))
    feed.tell()
    later = asyncio.create_task(reads.get_instance(POOR_UUID))
    await asyncio.sleep(0)
    go_on.set()
    assert await task == poor()
    assert (await later) == replace(poor(), generation=2), "who came later does not join the first"
    assert await reads.get_instance(POOR_UUID) == replace(poor(), generation=2)


async def test_who_hangs_up_takes_nothing_from_the_others(
    store: CountingStore, reads: RecentReads
) -> None:
    first = asyncio.create_task(reads.get_instance(POOR_UUID))
    second = asyncio.create_task(reads.get_instance(POOR_UUID))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == poor()
    assert store.asked["instance"] == 1


async def test_an_address_is_kept_for_each_network(
    store: CountingStore, reads: RecentReads
) -> None:
    for network, found in ((None, [POOR_UUID]), ("net-a", [POOR_UUID]), ("net-b", [])):
        for _ in range(2):
            assert await reads.find(IP, network) == found
    assert store.asked["find"] == 3


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


async def test_no_more_is_kept_than_there_is_room_for(store: CountingStore, feed: Feed) -> None:
    """Counted in bytes: one guest may have as much as a hundred others."""
    reads = RecentReads(store, feed, room=100_000, clock=feed.clock)
    feed.reads = reads
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


# ---- sequences ----

GUESTS = [replace(poor(), uuid=f"00000000-0000-4000-8000-00000000000{n}") for n in range(3)]
ADDRESSES = ["10.0.0.1", "10.0.0.2"]
Then = dict[str, PlacedInstance]
Step = tuple[str, PlacedInstance, str]


class Story:
    """Other processes write, and this one is asked, told and cut off."""

    def __init__(self) -> None:
        self.store, self.feed = CountingStore(), Feed()
        self.reads = self.feed.reads = RecentReads(self.store, self.feed, clock=self.feed.clock)
        self.generation = 0
        self.history: list[tuple[float, Then]] = [(0.0, {})]

    def step(self, what: str, guest: PlacedInstance, ip: str) -> None:
        self.generation += 1
        if what == "put":
            address = replace(poor().addresses[0], ip=ip)
            new = replace(guest, generation=self.generation, addresses=(address,))
            changed(self.store, self.feed, new)
        elif what == "remove" and guest.uuid in self.store.guests:
            gone(self.store, self.feed, guest.uuid)
        elif what == "tell" and not self.feed.is_cut_off:
            self.feed.known_since = self.feed.now
            self.feed.tell()
        elif what in ("cut", "mend"):
            self.feed.is_cut_off = what == "cut"
            self.feed.known_since = 0  # it is mended by asking the store
        elif what == "pass":
            self.feed.now += SECONDS * 0.3
        self.history.append((self.feed.now, dict(self.store.guests)))

    def recently(self) -> list[Then]:
        """All that was so within the bound, and at its start."""
        start = max(n for n, (at, _) in enumerate(self.history) if at <= self.feed.now - SECONDS)
        return [then for _, then in self.history[start:]]


STEP = st.tuples(
    st.sampled_from(["put", "put", "remove", "pass", "pass", "tell", "cut", "mend"]),
    st.sampled_from(GUESTS),
    st.sampled_from(ADDRESSES),
)


@QUICK
@given(st.lists(STEP, max_size=40))
async def test_no_answer_is_older_than_the_bound(
    steps: list[tuple[str, PlacedInstance, str]],
) -> None:
    """Nor older than one before, nor another guest's, whatever happens meanwhile."""
    story, seen = Story(), dict.fromkeys((guest.uuid for guest in GUESTS), 0)
    for what, guest, ip in steps:
        story.step(what, guest, ip)
        found = await story.reads.get_instance(guest.uuid)
        assert found in [then.get(guest.uuid) for then in story.recently()]
        assert found is None or found.generation >= seen[guest.uuid]
        seen[guest.uuid] = found.generation if found else 0
        uuids = set(await story.reads.find(ip, None))
        assert uuids in [having(ip, then) for then in story.recently()]


def having(ip: str, then: Then) -> set[str]:
    return {guest.uuid for guest in then.values() if guest.addresses[0].ip == ip}
