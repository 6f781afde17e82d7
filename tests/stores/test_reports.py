"""What every store does with what guests report: the latest of each, beside the guests."""

from __future__ import annotations

import pytest

from mdsvc.cpuset import CpuSet
from mdsvc.errors import NotFound
from mdsvc.reports import KEPT_MS, Report, Status, now_ms
from mdsvc.store import Store

from .conftest import Open
from .values import changed, fill, guest, host, uuid

FULL = Status(
    generation=1,
    state="isolated",
    dedicated_cpus=CpuSet.parse("2-3"),
    isolated_cpus=CpuSet.parse(""),
)
"""An empty set is another thing than none that is told."""


async def _report(store: Store, number: int = 1) -> Report:
    report = await store.report(uuid(number))
    assert report
    return report


async def test_a_guest_that_has_not_reported_has_no_report(store: Store) -> None:
    await fill(store, host(), guest(1))
    assert await store.report(uuid(1)) is None
    assert await store.reports() == {}
    assert await store.reports([uuid(1)]) == {}
    assert await store.reports([]) == {}


@pytest.mark.parametrize("status", [FULL, Status()], ids=["everything", "nothing"])
async def test_what_is_reported_is_what_is_read(open_store: Open, status: Status) -> None:
    store = await open_store()
    await fill(store, host(), guest(1))
    await store.set_report(uuid(1), status, 1_000)
    expected = Report(status=status, received_at=1_000, told_at=1_000)
    assert await store.report(uuid(1)) == expected
    again = await open_store()
    assert await again.reports() == {uuid(1): expected}


async def test_only_known_guests_report(store: Store) -> None:
    with pytest.raises(NotFound, match=f"instance {uuid(1)}: no such instance is stored"):
        await store.set_report(uuid(1), FULL, 1_000)
    assert await store.reports() == {}


async def test_the_latest_report_is_kept_of_each(store: Store) -> None:
    await fill(store, host(), guest(1), guest(2), guest(3))
    for at, number, state in ((1, 1, "off"), (2, 2, "off"), (3, 1, "broken")):
        await store.set_report(uuid(number), Status(state=state), at)
    states = {key: value.status.state for key, value in (await store.reports()).items()}
    assert states == {uuid(1): "broken", uuid(2): "off"}
    assert set(await store.reports([uuid(2), uuid(3)])) == {uuid(2)}


async def test_the_same_report_is_written_at_most_once_a_minute(store: Store) -> None:
    await fill(store, host(), guest(1))
    times = []
    for at in (1_000, 1_001, 999 + KEPT_MS, 1_000 + KEPT_MS, 1_001 + KEPT_MS):
        await store.set_report(uuid(1), FULL, at)
        times.append((await _report(store)).received_at)
    assert times == [1_000, 1_000, 1_000, 1_000 + KEPT_MS, 1_000 + KEPT_MS]


async def test_once_the_clock_was_set_back_the_same_report_is_written_anew(store: Store) -> None:
    """Else a guest would be heard of until the clock has caught up, though it is silent."""
    await fill(store, host(), guest(1))
    for at in (86_400_000, 1_000):
        await store.set_report(uuid(1), FULL, at)
        assert (await _report(store)).received_at == at


async def test_a_report_is_no_change_of_the_guest(store: Store) -> None:
    await fill(store, host(), guest(1))
    before = await store.position()
    await store.set_report(uuid(1), FULL, 1_000)
    assert await store.position() == before
    assert await store.get_instance(uuid(1)) == guest(1)


async def test_a_change_is_told_from_then_on_until_the_next_report(store: Store) -> None:
    first = guest(1)
    await fill(store, host(), first, guest(2))
    for number in (1, 2):
        await store.set_report(uuid(number), FULL, 1_000)
    before = now_ms()
    second = changed(first, name="second")
    for each in (second, changed(second, name="third")):
        async with store.transaction() as tx:
            assert await tx.get_instance(uuid(1))
            await tx.update_instance(each)
    told_at = (await _report(store)).told_at
    assert before <= told_at <= now_ms()
    assert (await _report(store)).received_at == 1_000
    assert (await _report(store, 2)).told_at == 1_000, "the other one was told nothing"
    await store.set_report(uuid(1), FULL, told_at + 1)
    assert await store.report(uuid(1)) == Report(
        status=FULL, received_at=told_at + 1, told_at=told_at
    )


async def test_a_change_comes_after_the_report_whatever_clocks_say(store: Store) -> None:
    first = guest(1)
    await fill(store, host(), first)
    fast = now_ms() + 60_000
    await store.set_report(uuid(1), FULL, fast)
    async with store.transaction() as tx:
        assert await tx.get_instance(uuid(1))
        await tx.update_instance(changed(first, name="second"))
    assert (await _report(store)).told_at == fast + 1


async def test_the_same_report_after_a_change_is_news(store: Store) -> None:
    first = guest(1)
    await fill(store, host(), first)
    at = now_ms()
    await store.set_report(uuid(1), FULL, at - 1)
    async with store.transaction() as tx:
        assert await tx.get_instance(uuid(1))
        await tx.update_instance(changed(first, name="second"))
    later = (await _report(store)).told_at + 1
    await store.set_report(uuid(1), FULL, later)
    assert (await _report(store)).received_at == later


async def test_a_removed_guest_takes_its_report_along(store: Store) -> None:
    await fill(store, host(), guest(1))
    await store.set_report(uuid(1), FULL, 1_000)
    async with store.transaction() as tx:
        assert await tx.remove_instance(uuid(1))
    assert await store.reports() == {}
    await fill(store, guest(1))
    assert await store.report(uuid(1)) is None


async def test_a_report_is_forgotten_with_the_change_of_its_guest_alone(store: Store) -> None:
    await fill(store, host(), guest(1), guest(2))
    for number in (1, 2):
        await store.set_report(uuid(number), FULL, 1_000)
    async with store.transaction() as tx:
        stored = await tx.get_instance(uuid(1))
        assert stored
        await tx.forget_told(uuid(1))
        await tx.update_instance(changed(stored, user_data="new"))
    assert set(await store.reports()) == {uuid(2)}


async def test_reports_are_listed_page_by_page_from_some_time_on(store: Store) -> None:
    await fill(store, host(), *(guest(number) for number in range(1, 5)))
    for number in range(1, 5):
        await store.set_report(uuid(number), Status(state=f"s{number}"), number * 1000)
    assert list(await store.reports_after("", 3, 0)) == [uuid(1), uuid(2), uuid(3)]
    assert list(await store.reports_after(uuid(3), 3, 0)) == [uuid(4)]
    assert list(await store.reports_after("", 3, 2000)) == [uuid(2), uuid(3), uuid(4)]
    [last] = (await store.reports_after(uuid(2), 9, 4000)).values()
    assert (last.status.state, last.received_at) == ("s4", 4000)
