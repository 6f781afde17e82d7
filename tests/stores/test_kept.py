"""Values of records are kept: those of a whole fleet, and those of the guests that ask."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from mdsvc.instance import PlacedInstance
from mdsvc.store import kept
from mdsvc.store.changes import Stored
from mdsvc.store.kept import Kept
from mdsvc.store.records import GUEST, Kind, pack, unpack
from mdsvc.store.sql import open_sql, reading

from .values import count_up, fill, guest, host, run, uuid

RECORD = pack(GUEST, uuid(1), guest(1))
ROOM = 10
Guests = Kept[PlacedInstance]


@pytest.fixture
def guests() -> Guests:
    """Room for ten records."""
    return Kept(GUEST, ROOM * len(RECORD))


def listed(guests: Guests, numbers: range) -> int:
    """How many of a listing's values had to be unpacked."""
    keys = [uuid(number) for number in numbers]
    missing = [key for key in keys if guests.get(key, 1) is None]
    for key in missing:
        guests.keep_listed(key, Stored(1, guest(1)), len(RECORD))
    return len(missing)


def test_a_value_is_kept_for_its_revision_alone(guests: Guests) -> None:
    value = guests.read(uuid(1), 7, RECORD).value
    assert value == guest(1)
    assert guests.read(uuid(1), 7, b"not looked at").value is value
    assert guests.get(uuid(1), 6) is None
    newer = pack(GUEST, uuid(1), replace(guest(1), name="newer"))
    assert guests.read(uuid(1), 8, newer).value.name == "newer"
    assert guests.get(uuid(1), 7) is None
    assert guests.size == len(newer)


def test_a_listing_that_is_longer_than_the_room_is_found_in_part_the_next_time(
    guests: Guests,
) -> None:
    """Where the last ones push the first ones out, each listing unpacks everything."""
    assert listed(guests, range(ROOM + 1)) == ROOM + 1
    for _ in range(3):
        assert listed(guests, range(ROOM + 1)) == 1
    assert guests.size <= ROOM * len(RECORD)


def test_a_listing_does_not_push_out_what_guests_ask_for(guests: Guests) -> None:
    for number in range(100, 105):
        guests.read(uuid(number), 1, RECORD)
    listed(guests, range(50))
    assert all(guests.get(uuid(number), 1) for number in range(100, 105))


def test_what_was_read_longest_ago_makes_room(guests: Guests) -> None:
    for number in range(ROOM):
        guests.read(uuid(number), 1, RECORD)
    guests.read(uuid(0), 1, RECORD)
    guests.read(uuid(50), 1, RECORD)
    assert guests.get(uuid(0), 1)
    assert guests.get(uuid(50), 1)
    assert guests.get(uuid(1), 1) is None


def test_what_is_larger_than_all_the_room_is_not_kept(guests: Guests) -> None:
    large = pack(GUEST, uuid(1), replace(guest(1), user_data="x" * 20_000))
    guests.read(uuid(2), 1, RECORD)
    assert guests.read(uuid(1), 1, large).value.user_data
    assert guests.get(uuid(1), 1) is None
    assert guests.get(uuid(2), 1)


def test_what_is_gone_makes_room(guests: Guests) -> None:
    listed(guests, range(ROOM))
    guests.forget_others({uuid(3)})
    assert guests.size == len(RECORD)
    assert listed(guests, range(3, 4)) == 0


async def test_a_listing_unpacks_only_what_has_changed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More hosts than one batch; a placement changes one of them."""
    unpacked = []

    def counting(kind: Kind[Any], key: str, record: bytes) -> Any:
        unpacked.append(key)
        return unpack(kind, key, record)

    monkeypatch.setattr(reading, "unpack", counting)
    monkeypatch.setattr(kept, "unpack", counting)
    store = await open_sql(url)
    await fill(store, *(host(f"h{number}") for number in range(600)))
    for expected in (600, 0, 0):
        unpacked.clear()
        async with store.snapshot() as snapshot:
            names = [stored.name for stored in await snapshot.list_hosts()]
        assert names == sorted(f"h{number}" for number in range(600))
        assert len(unpacked) == expected
    await run(store, count_up)
    unpacked.clear()
    async with store.snapshot() as snapshot:
        assert len(await snapshot.list_hosts()) == 600
    assert unpacked == ["h1"]
    await store.close()
