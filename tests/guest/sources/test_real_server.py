"""Against mdsvc itself: both forms of the field, waiting for a change, reports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from mdguest import sources
from mdguest.cpuset import CpuSet
from mdguest.errors import Unreachable
from mdguest.layout import Layout
from mdguest.sources import metadata
from mdguest.sources.patience import Patience
from mdguest.system import System

from mdsvc.settings import Settings
from mdsvc.store import recent
from tests.http.conftest import served
from tests.http.fakes import FakeStore
from tests.http.guests import poor
from tests.promptly import within

MIXED = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "2-3"}
OTHER = {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "1-3"}
SOON = Patience(request=5.0, first_pause=0.01)

Serve = Callable[..., Awaitable[str]]


def mixed(specs: dict[str, str], **fields: Any) -> Any:
    return poor(flavor={"vcpus": 4, "memory_mb": 64, "extra_specs": specs}, **fields)


@pytest.fixture
async def serve(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """Starts mdsvc; gives ``--source``."""
    monkeypatch.setattr(recent, "SECONDS", 0)
    async with AsyncExitStack() as stack:

        async def it(store: FakeStore, **settings: Any) -> str:
            return f"metadata:http://127.0.0.1:{await served(stack, store, Settings(**settings))}"

        yield it


async def read(choice: str) -> Layout:
    return await asyncio.to_thread(sources.read, choice, System(), SOON)


async def wait(layout: Layout, seconds: float) -> Layout:
    return await asyncio.to_thread(sources.wait, layout, seconds, System(), SOON)


def without_own_document(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As from another server, which has the later documents alone."""
    monkeypatch.setattr(metadata, "_DOCUMENTS", metadata._DOCUMENTS[number:])


@pytest.mark.parametrize("form", ["cpuset", "list"])
@pytest.mark.parametrize("skipped", [0, 1, 2])
async def test_every_document_says_the_same_in_either_form(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, form: str, skipped: int
) -> None:
    without_own_document(monkeypatch, skipped)
    choice = await serve(FakeStore(mixed(MIXED)), dedicated_cpus_format=form)
    found = await read(choice)
    assert (found.dedicated, found.source) == (CpuSet.parse("2-3"), choice)
    assert bool(found.etag) is (skipped == 0)


@pytest.mark.parametrize("form", ["cpuset", "list"])
@pytest.mark.parametrize(("skipped", "expected"), [(0, CpuSet()), (1, CpuSet()), (2, None)])
async def test_a_guest_without_dedicated_cpus_is_told_so_but_by_the_leaf(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, form: str, skipped: int, expected: CpuSet | None
) -> None:
    without_own_document(monkeypatch, skipped)
    choice = await serve(FakeStore(poor()), dedicated_cpus_format=form)
    assert (await read(choice)).dedicated == expected


async def test_a_guest_that_the_server_does_not_know_is_told_nothing(serve: Serve) -> None:
    assert (await read(await serve(FakeStore()))).dedicated is None


# ---- waiting ----


async def test_a_change_ends_the_wait(serve: Serve) -> None:
    store = FakeStore(mixed(MIXED))
    before = await read(await serve(store))
    waiting = asyncio.create_task(wait(before, 25))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    store.put(mixed(OTHER))
    async with asyncio.timeout(20):
        after = await waiting
    assert after.dedicated == CpuSet.parse("1-3")
    assert after.source == before.source
    assert after.etag not in ("", before.etag)


async def test_a_change_that_was_missed_is_seen_at_once(serve: Serve) -> None:
    store = FakeStore(mixed(MIXED))
    before = await read(await serve(store))
    store.put(mixed(OTHER))
    async with asyncio.timeout(20):
        assert (await wait(before, 25)).dedicated == CpuSet.parse("1-3")


async def test_without_a_change_the_wait_ends_in_time_with_the_same(serve: Serve) -> None:
    before = await read(await serve(FakeStore(mixed(MIXED))))
    started = time.monotonic()
    with within(20):
        assert await wait(before, 1.9) == before
    assert time.monotonic() - started > 0.9
    for seconds in (0, -1, 0.5):
        assert await wait(before, seconds) == before


async def test_a_server_may_answer_at_once(serve: Serve) -> None:
    """As mdsvc does behind some proxies; whoever waits must leave time between calls."""
    before = await read(await serve(FakeStore(mixed(MIXED)), wait_seconds=0))
    async with asyncio.timeout(20):
        assert await wait(before, 25) == before


async def test_a_guest_that_goes_meanwhile_is_told_nothing(serve: Serve) -> None:
    store = FakeStore(mixed(MIXED))
    before = await read(await serve(store))
    waiting = asyncio.create_task(wait(before, 25))
    await asyncio.sleep(0.1)
    store.remove(poor().uuid)
    async with asyncio.timeout(20):
        assert await waiting == Layout(None, before.source)


async def test_a_server_that_goes_meanwhile_is_unreachable(serve: Serve) -> None:
    before = await read(await serve(FakeStore(mixed(MIXED))))
    gone = Layout(before.dedicated, "metadata:http://127.0.0.1:1", before.etag)
    with pytest.raises(Unreachable):
        await wait(gone, 0)


# ---- reports ----


async def test_mdsvc_keeps_what_is_reported(serve: Serve) -> None:
    store = FakeStore(mixed(MIXED))
    layout = await read(await serve(store))
    status: dict[str, object] = {
        "generation": layout.generation,
        "state": "isolated",
        "isolated_cpus": "2-3",
        "x": 1,
    }
    assert await asyncio.to_thread(sources.report, layout, status, System(), SOON)
    [report] = store.reports.values()
    told = (report.status.generation, report.status.state, str(report.status.isolated_cpus))
    assert told == (1, "isolated", "2-3")
